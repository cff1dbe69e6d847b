"""Ranges: how far apart are the best and the worst treated group?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from audit.statistics.estimate import Estimate
from audit.statistics.proportions import normal_quantile, wilson_bounds

Counts = Sequence[int] | np.ndarray


def largest_minus_smallest(
    successes: Counts, n: Counts, random: np.random.Generator, *, confidence: float = 0.95
) -> Estimate:
    """Largest rate minus smallest rate over groups: successes, n are (groups,)."""
    return largest_of_ranges([(successes, n)], random, confidence=confidence)


def largest_of_ranges(
    families: Sequence[tuple[Counts, Counts]], random: np.random.Generator, *, confidence: float = 0.95
) -> Estimate:
    """The largest, over families of rates (TPR and FPR, say), of largest minus smallest over groups."""
    kept = [(np.asarray(s)[np.asarray(n) > 0], np.asarray(n)[np.asarray(n) > 0]) for s, n in families]
    kept = [(s, n) for s, n in kept if len(n) > 1]
    if not kept:
        return Estimate.absent("fewer than two groups have rows to compare")
    tail = (1 - confidence) / 2
    value, low, high = 0.0, 0.0, 0.0
    pairs = sum(len(n) * (len(n) - 1) for _, n in kept)
    for s, n in kept:
        rate = s / n
        value = max(value, float(rate.max() - rate.min()))
        for z, side in ((normal_quantile(1 - tail / pairs), -1), (normal_quantile(1 - tail), 1)):
            down, up = wilson_bounds(s, n, z)
            d = rate[:, None] - rate[None, :]
            if side < 0:
                low = max(low, float((d - np.hypot((rate - down)[:, None], (up - rate)[None, :])).max()))
            else:
                high = max(high, float((d + np.hypot((up - rate)[:, None], (rate - down)[None, :])).max()))
    return Estimate(value, low, min(1.0, high), int(sum(n.sum() for _, n in kept)), "first version", confidence)


def smallest_over_largest(
    successes: Counts, n: Counts, random: np.random.Generator, *, confidence: float = 0.95
) -> Estimate:
    """Smallest rate over largest rate over groups: demographic parity ratio; 1 is parity."""
    s, rows = np.asarray(successes)[np.asarray(n) > 0], np.asarray(n)[np.asarray(n) > 0]
    if len(rows) < 2:
        return Estimate.absent("fewer than two groups have rows to compare", n=int(rows.sum()))
    if s.sum() == 0:
        return Estimate.absent("every group's rate is 0: a ratio does not exist", n=int(rows.sum()))
    rate = s / rows
    down, up = wilson_bounds(s, rows, normal_quantile(1 - (1 - confidence) / 4 / len(rows)))
    value = float(rate.min() / rate.max())
    high = min(1.0, float(up.min() / down.max())) if down.max() > 0 else 1.0
    return Estimate(value, float(down.min() / up.max()), max(value, high), int(rows.sum()), "first version", confidence)
