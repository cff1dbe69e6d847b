"""How often intervals hold the truth, for tests that simulate data sets."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from audit.statistics import Estimate

DATA_SETS = 2000


def share_covered(
    measure: Callable[[np.random.Generator], Estimate], truth: float, *, data_sets: int = DATA_SETS, seed: int = 0
) -> float:
    """Share of simulated data sets whose interval holds the truth; every one must have an interval."""
    held = 0
    for child in np.random.default_rng(seed).spawn(data_sets):
        estimate = measure(child)
        assert estimate.interval is not None, estimate.reason
        assert estimate.low <= estimate.value <= estimate.high
        held += estimate.covers(truth)
    return held / data_sets
