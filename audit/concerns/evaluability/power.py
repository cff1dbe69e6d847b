"""What these rows could show: how far apart two models must be before this test tells them apart."""

from __future__ import annotations

import numpy as np

from audit.evidence import metric
from audit.statistics import Estimate, minimum_detectable_effect
from reports.record import Metric

POINT = 0.01  # of accuracy


def power_metrics(correct: np.ndarray, disagreement: float | None) -> tuple[list[Metric], float]:
    """The smallest gain that these rows would show when this model is compared with another on them.

    Args:
        correct: (rows,) bool.
        disagreement: share of rows on which exactly one of the two models is right. None: half of what two models of
            this accuracy would have if their errors had nothing to do with each other, accuracy * (1 - accuracy).
    Returns: the metrics, and the disagreement that was taken.
    Source: Card et al. 2020, arXiv:2010.06595.
    """
    n, accuracy = len(correct), float(np.mean(correct))
    psi = disagreement if disagreement is not None else accuracy * (1 - accuracy)
    psi = min(1.0, max(psi, POINT, 1 / n))  # two models that never differ cannot be told apart by any number of rows
    smallest = minimum_detectable_effect(n, accuracy, paired_disagreement=psi)
    rows = rows_to_detect(POINT, accuracy, psi)
    planned = Estimate(rows, None, None, n, smallest.method, reason="a planning figure: it follows from n and accuracy")
    assumed = f"Two-sided 5% test, power 80%, one model alone right on {psi:.1%} of the rows."
    lines = [
        metric(
            "minimum_detectable_effect", smallest, unit="difference in accuracy", better="lower",
            definition=f"The smallest difference in accuracy to another model that these rows would show. {assumed}",
            source="Card et al. 2020, arXiv:2010.06595",
        ),
        metric(
            "rows_to_detect_one_point", planned, unit="rows",
            definition=f"Rows that would show a difference of 1 point of accuracy. {assumed}",
            source="Card et al. 2020, arXiv:2010.06595",
        ),
    ]  # fmt: skip
    return lines, psi


def rows_to_detect(effect: float, rate: float, disagreement: float) -> int:
    """The fewest rows whose minimum detectable effect is at most `effect`; by bisection over rows."""

    def shows(n: int) -> bool:
        found = minimum_detectable_effect(n, rate, paired_disagreement=disagreement).value
        return found is not None and found <= effect

    high = 1
    while not shows(high):
        high *= 2
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if shows(middle) else (middle, high)
    return high
