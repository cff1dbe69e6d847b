"""Medians: half of the rows lie below; the interval is made of order statistics and asks for no distribution."""

from __future__ import annotations

from typing import Any

import numpy as np

from audit.statistics.estimate import Estimate

ORDER_STATISTICS = "order statistics, binomial (Conover 1999, section 3.2; scipy.stats.quantile_test)"


def median(values: np.ndarray, *, confidence: float = 0.95) -> Estimate:
    """The median of values, (n,), with an interval that covers at least `confidence`.

    Returns: absent without values; a value without an interval where there are too few for one.
    """
    values = np.asarray(values, dtype=np.float64)
    if not len(values):
        return Estimate.absent("no rows")
    from scipy.stats import quantile_test

    middle = float(np.median(values))
    # The value tested against does not move the interval.
    bounds: Any = quantile_test(values, q=middle, p=0.5).confidence_interval(confidence)  # stubs know no interval
    low, high = float(bounds.low), float(bounds.high)
    if not (np.isfinite(low) and np.isfinite(high)):
        why = f"{len(values)} values are too few for an interval of a median"
        return Estimate(middle, None, None, len(values), "none", confidence, why)
    return Estimate(middle, low, high, len(values), ORDER_STATISTICS, confidence)
