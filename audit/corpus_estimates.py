"""From per-row statistics to estimates: a corpus metric with its interval, alone, against another, on some rows.

A share of rows is a proportion; a mean of values in [0, 1] has the bootstrap with known bounds, so that both have an
interval at 0 and 1, too; BLEU, chrF, perplexity and bits per byte have the studentized bootstrap of their sums. No text
is read again.
Sources: Koehn 2004 (bootstrap of BLEU); Dror et al. 2018, "The Hitchhiker's Guide to Testing Statistical Significance".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from audit.statistics import (
    Estimate,
    bootstrap_mean,
    bootstrap_rows,
    paired_bootstrap_rows,
    paired_difference_of_proportions,
    proportion,
)
from core_model.corpus_metric import CorpusMetric

Array = np.ndarray


def estimate(
    metric: CorpusMetric, random: np.random.Generator, *, confidence: float = 0.95, resamples: int = 2000
) -> Estimate:
    """The metric of its rows, with its interval; absent without rows or where it does not exist on them."""
    if len(metric) == 0:
        return Estimate.absent("no rows")
    if metric.form == "share":
        return proportion(int(metric.statistics[:, 0].sum()), len(metric), confidence=confidence)
    if metric.form == "mean":
        values = metric.statistics[:, 0]
        return bootstrap_mean(values, random, bounds=(0, 1), confidence=confidence, resamples=resamples)
    return bootstrap_rows(metric.statistics, of_means(metric), random, confidence=confidence, resamples=resamples)


def paired_difference(
    a: CorpusMetric, b: CorpusMetric, random: np.random.Generator, *, confidence: float = 0.95, resamples: int = 2000
) -> Estimate:
    """A minus B, two systems on the same rows: each resample serves both.

    Raises: ValueError when the two are not one metric with one signature over as many rows.
    """
    if (a.name, a.signature, len(a)) != (b.name, b.signature, len(b)):
        raise ValueError(f"{a.name} ({a.signature}, {len(a)} rows) against {b.name} ({b.signature}, {len(b)} rows)")
    if a.form == "share":
        mine, theirs = a.statistics[:, 0] > 0, b.statistics[:, 0] > 0
        both, only_a, only_b = (int(np.sum(x)) for x in (mine & theirs, mine & ~theirs, ~mine & theirs))
        neither = len(a) - both - only_a - only_b
        return paired_difference_of_proportions(both, only_a, only_b, neither, confidence=confidence)
    how: dict[str, Any] = {"confidence": confidence, "resamples": resamples}
    if a.form == "mean":
        return bootstrap_mean(a.statistics[:, 0] - b.statistics[:, 0], random, bounds=(-1, 1), **how)
    return paired_bootstrap_rows(a.statistics, b.statistics, of_means(a), random, **how)


def without(metric: CorpusMetric, left_out: Array, random: np.random.Generator) -> Estimate:
    """What some rows add: the metric of all rows minus that of the others, each resample serving both.

    Args:
        left_out: (rows,) bool; not all of them.
    """
    n, k = metric.statistics.shape
    kept = metric.statistics * ~np.asarray(left_out, bool)[:, None]

    def all_minus_kept(means: Array) -> Array:
        return metric.value(means[:, :k] * n) - metric.value(means[:, k:] * n)

    return bootstrap_rows(np.hstack([metric.statistics, kept]), all_minus_kept, random)


def spread(metric: CorpusMetric) -> float:
    """Standard deviation of what single rows contribute: the metric's standard error times the root of the rows.

    From the jackknife's pseudo-values, which for a mean of rows are the rows' own values.
    Source: Efron and Tibshirani 1993, chapter 11.
    """
    n, total = len(metric), metric.statistics.sum(axis=0)
    pseudo = n * metric.value(total) - (n - 1) * metric.value(total - metric.statistics)
    known = np.asarray(pseudo)[np.isfinite(pseudo)]
    return float(np.std(known, ddof=1)) if len(known) > 1 else 0.0


def of_means(metric: CorpusMetric) -> Callable[[Array], Array]:
    """The value function, told means instead of sums; BLEU's smoothing counts with whole n-grams."""
    n = len(metric)
    return lambda means: metric.value(means * n)
