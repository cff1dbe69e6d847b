"""Ranking: does the score put positives before negatives?"""

from __future__ import annotations

from math import sqrt

import numpy as np

from audit.statistics.estimate import Estimate
from audit.statistics.proportions import two_sided_z


def auroc(scores: np.ndarray, positives: np.ndarray, *, confidence: float = 0.95) -> Estimate:
    """Area under the ROC curve: the chance that a positive row outscores a negative one, ties counting half.

    Args:
        scores: (rows,) higher means more likely positive.
        positives: (rows,) bool.
    """
    scores, positives = np.asarray(scores, dtype=np.float64), np.asarray(positives, dtype=bool)
    m, k = int(positives.sum()), int((~positives).sum())
    if m == 0 or k == 0:
        return Estimate.absent(f"{m} positive and {k} negative rows: ranking needs both", n=m + k)
    pos, neg = scores[positives], scores[~positives]
    all_ranks = _midranks(scores)
    v_pos = (all_ranks[positives] - _midranks(pos)) / k  # (m,) share of negatives that each positive outscores
    v_neg = 1 - (all_ranks[~positives] - _midranks(neg)) / m
    value = float(v_pos.mean())
    variance = (v_pos.var(ddof=1) / m if m > 1 else 0.0) + (v_neg.var(ddof=1) / k if k > 1 else 0.0)
    z = two_sided_z(confidence)
    if 0 < value < 1 and variance > 0:
        logit, error = np.log(value / (1 - value)), sqrt(variance) / (value * (1 - value))
        low, high = (float(1 / (1 + np.exp(-(logit + s * z * error)))) for s in (-1, 1))
        return Estimate(value, low, high, m + k, "DeLong on the logit scale (DeLong et al. 1988)", confidence)
    return Estimate(value, None, None, m + k, "none", confidence, "being built")


def _midranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 1, ties sharing their mean rank; O(n log n)."""
    _, index, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts - 1) / 2)[index]
