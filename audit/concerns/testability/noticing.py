"""When a break is noticed: an exact paired test, whose false alarms are bounded for any rows.

Before and after the break the same tests are run on the same rows. Tests of one row belong together: a row counts as
worse where more of its tests fail than before, as better where fewer do. If nothing were broken, either would be
equally likely; the break is noticed where so many worse among the rows that moved have a chance of at most alpha.

Source: the sign test, for clusters; of single labelled rows that is McNemar's exact test (McNemar 1947, Psychometrika
12:153), one-sided.
"""

from __future__ import annotations

import numpy as np

ALPHA = 0.05


def moved(before: np.ndarray, after: np.ndarray, clusters: np.ndarray) -> tuple[int, int]:
    """Clusters that are worse than before, and better.

    Args:
        before, after: (tests,) bool, passed. clusters: (tests,) which belong together.
    """
    _, place = np.unique(clusters, return_inverse=True)
    lost = np.bincount(place, weights=before.astype(np.int64) - after.astype(np.int64))
    return int((lost > 0).sum()), int((lost < 0).sum())


def chance_of(worse: int, better: int) -> float:
    """The chance of so many worse or more, if either way were equally likely; 1 where nothing moved."""
    from scipy.stats import binom

    return float(binom.sf(worse - 1, worse + better, 0.5))


def is_noticed(before: np.ndarray, after: np.ndarray, clusters: np.ndarray, alpha: float = ALPHA) -> bool:
    """Whether these tests notice the break."""
    return chance_of(*moved(before, after, clusters)) <= alpha


def smallest_noticed_break(rows: int, *, alpha: float = ALPHA, power: float = 0.8) -> float | None:
    """The smallest share of rows, right before, that a break must turn for these rows to notice it so often.

    Args:
        rows: answered rightly before; none of the others is taken to become right.
    Returns: a share; None where even a break of every row would not be noticed.
    """
    from scipy.stats import binom

    fewest = next(k for k in range(1, 60) if chance_of(k, 0) <= alpha)
    if rows < fewest:
        return None
    low, high = 0.0, 1.0
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if binom.sf(fewest - 1, rows, middle) < power else (low, middle)
    return float(high)
