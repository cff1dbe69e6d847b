"""When a break is noticed: an exact paired test, whose false alarms are bounded for any rows.

Before and after the break the same tests are run on the same rows. Tests of one row belong together: a row counts as
worse where more of its tests fail than before, as better where fewer do. If nothing were broken, either would be
equally likely; the break is noticed where so many worse among the rows that moved have a chance of at most alpha. Kinds
of tests are looked at apart, for a model that is stuck on one answer passes more tests of invariance than before; their
chances are multiplied by the number of kinds (Bonferroni).

Source: the sign test, for clusters; of single labelled rows that is McNemar's exact test (McNemar 1947, Psychometrika
12:153), one-sided.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

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


def moved_by_kind(
    before: np.ndarray, after: np.ndarray, clusters: np.ndarray, kinds: Sequence[str]
) -> dict[str, tuple[int, int]]:
    """Of each kind of tests that there is, clusters that are worse than before, and better."""
    named = np.asarray(kinds, dtype=object)
    chosen = {kind: named == kind for kind in dict.fromkeys(kinds)}
    return {kind: moved(before[some], after[some], clusters[some]) for kind, some in chosen.items()}


def chance_in_all(by_kind: Mapping[str, tuple[int, int]]) -> float:
    """The smallest chance of any kind, times the number of kinds; at most 1."""
    return min(1.0, len(by_kind) * min((chance_of(*counts) for counts in by_kind.values()), default=1.0))


def is_noticed(before: np.ndarray, after: np.ndarray, clusters: np.ndarray, kinds: Sequence[str]) -> bool:
    """Whether these tests notice the break, at 5%.

    Args:
        kinds: (tests,) the kind of each test.
    """
    return chance_in_all(moved_by_kind(before, after, clusters, kinds)) <= ALPHA


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
