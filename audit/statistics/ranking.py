"""Ranking: does the score put positives before negatives?

The area under the ROC curve, with an interval that exists where every positive outranks every negative, too.
"""

from __future__ import annotations

from math import sqrt

import numpy as np

from audit.statistics.estimate import Estimate
from audit.statistics.proportions import two_sided_z

DELONG = "DeLong on the logit scale (DeLong et al. 1988; Pepe 2003)"
NEWCOMBE = "Newcombe 2006, method 5 (Stat. Med. 25:559)"
FEW = 5  # misranked rows of either class below which DeLong's variance is not to be trusted


def auroc(scores: np.ndarray, positives: np.ndarray, *, confidence: float = 0.95) -> Estimate:
    """Area under the ROC curve: the chance that a positive row outscores a negative one, ties counting half.

    Two methods: DeLong's variance on the logit scale; and, where so few rows are ranked wrongly (or rightly) that this
    variance is not to be trusted, Newcombe's method 5, which exists at areas of 0 and 1.

    Args:
        scores: (rows,) higher means more likely positive.
        positives: (rows,) bool.
        confidence: nominal coverage.
    Returns: absent where one of the two classes has no row. O(n log n).
    Raises: ValueError when a score is NaN.
    Source: DeLong, DeLong and Clarke-Pearson 1988, Biometrics 44:837, by ranks as in Sun and Xu 2014, IEEE SPL 21:1389;
        Pepe 2003 for the logit; Newcombe 2006, Statistics in Medicine 25:559.
    """
    scores, positives = np.asarray(scores, dtype=np.float64), np.asarray(positives, dtype=bool)
    if np.isnan(scores).any():
        raise ValueError("a score is NaN")
    m, k = int(positives.sum()), int((~positives).sum())
    if m == 0 or k == 0:
        return Estimate.absent(f"{m} positive and {k} negative rows: ranking needs both", n=m + k)
    ranks = _midranks(scores)
    beaten = (ranks[positives] - _midranks(scores[positives])) / k  # (m,) share of negatives below each positive
    beating = 1 - (ranks[~positives] - _midranks(scores[~positives])) / m  # (k,) share of positives above each negative
    area = float(beaten.mean())
    z = two_sided_z(confidence)
    if min(_informative(beaten), _informative(beating)) < FEW:
        low, high = _newcombe(area, m, k, z)
        return Estimate(area, low, high, m + k, NEWCOMBE, confidence)
    error = sqrt(beaten.var(ddof=1) / m + beating.var(ddof=1) / k) / (area * (1 - area))
    logit = np.log(area / (1 - area))
    low, high = (float(1 / (1 + np.exp(-(logit + sign * z * error)))) for sign in (-1, 1))
    return Estimate(area, low, high, m + k, DELONG, confidence)


def _informative(shares: np.ndarray) -> int:
    """Rows that are not ranked perfectly, or not perfectly wrongly, whichever are fewer."""
    return int(min((shares < 1).sum(), (shares > 0).sum()))


def _newcombe(area: float, m: int, k: int, z: float) -> tuple[float, float]:
    """Limits t with |area - t| = z * sqrt(variance(t)), Hanley and McNeil's variance with both classes of mean size."""
    mean_size = (m + k) / 2

    def distance(t: float) -> float:
        variance = t * (1 - t) * (1 + (mean_size - 1) * ((1 - t) / (2 - t) + t / (1 + t))) / (m * k)
        return abs(area - t) - z * sqrt(variance)

    def crossing(outside: float) -> float:
        inside = area
        for _ in range(60):
            middle = (inside + outside) / 2
            inside, outside = (inside, middle) if distance(middle) > 0 else (middle, outside)
        return outside

    return (crossing(0.0) if area > 0 else 0.0), (crossing(1.0) if area < 1 else 1.0)


def _midranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 1, ties sharing their mean rank."""
    _, index, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts - 1) / 2)[index]
