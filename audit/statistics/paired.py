"""Paired bootstrap: how much better is A than B on the same rows?"""

from __future__ import annotations

import numpy as np

from audit.statistics.bootstrap import Statistic, bootstrap_rows, bootstrap_table
from audit.statistics.estimate import Estimate
from audit.statistics.proportions import paired_difference_of_proportions


def paired_shares(a: np.ndarray, b: np.ndarray, *, confidence: float = 0.95) -> Estimate:
    """Share of a minus share of b, (n,) of bool each, over the same rows: `paired_difference_of_proportions`."""
    cells = (a & b, a & ~b, ~a & b, ~a & ~b)
    return paired_difference_of_proportions(*(int(cell.sum()) for cell in cells), confidence=confidence)


def paired_bootstrap_table(
    counts: np.ndarray,
    statistic_a: Statistic,
    statistic_b: Statistic,
    random: np.random.Generator,
    *,
    resamples: int = 2000,
    confidence: float = 0.95,
) -> Estimate:
    """statistic_a - statistic_b on one joint table of A's and B's outcomes; each resample serves both.

    Args:
        counts: rows in each cell of the joint table, flattened to (cells,).
        statistic_a, statistic_b: from joint tables (resamples, cells) to values (resamples,).
    """
    return bootstrap_table(
        counts,
        lambda tables: np.asarray(statistic_a(tables)) - np.asarray(statistic_b(tables)),
        random,
        resamples=resamples,
        confidence=confidence,
    )


def paired_bootstrap_rows(
    rows_a: np.ndarray,
    rows_b: np.ndarray,
    combine: Statistic,
    random: np.random.Generator,
    *,
    resamples: int = 2000,
    confidence: float = 0.95,
    clusters: np.ndarray | None = None,
) -> Estimate:
    """combine(means of A) - combine(means of B) over the same n rows; each resample serves both.

    Args:
        rows_a, rows_b: per-row statistics of A and of B, (n, k) or (n,), rows in the same order.
        combine: from means (resamples, k) to values (resamples,).
        clusters: (n,) which rows belong together.
    """
    a, b = (np.asarray(r, dtype=np.float64).reshape(len(r), -1) for r in (rows_a, rows_b))
    if a.shape != b.shape:
        raise ValueError(f"rows of A are {a.shape}, rows of B {b.shape}: pairs need the same rows in the same order")
    k = a.shape[1]
    return bootstrap_rows(
        np.hstack([a, b]),
        lambda means: np.asarray(combine(means[:, :k])) - np.asarray(combine(means[:, k:])),
        random,
        resamples=resamples,
        confidence=confidence,
        clusters=clusters,
    )
