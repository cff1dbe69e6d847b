"""The bootstrap: an interval for any statistic of a table of counts, or of means over rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from audit.statistics.estimate import Estimate

Statistic = Callable[[np.ndarray], np.ndarray]
BLOCK = 100  # resamples per child seed; part of what a seed means, so never a tuning knob
CHUNK = 1 << 21  # random numbers held at a time; changes memory, never results

TABLE = "Bayesian bootstrap of the table, prior of one row spread over its cells, equal tails (Rubin 1981)"


def bootstrap_table(
    counts: np.ndarray,
    statistic: Statistic,
    random: np.random.Generator,
    *,
    resamples: int = 2000,
    confidence: float = 0.95,
) -> Estimate:
    """Statistic of a contingency table, with its interval.

    Args:
        counts: rows in each cell, (cells,) integers.
        statistic: from tables (resamples, cells) to values (resamples,); tables hold fractions of rows.
        random: seeds the resamples.
    """
    counts = np.asarray(counts, dtype=np.float64).ravel()
    n = int(counts.sum())
    if n == 0:
        return Estimate.absent("the table holds no rows")
    with np.errstate(divide="ignore", invalid="ignore"):
        value = float(np.asarray(statistic(counts[None, :])).ravel()[0])
        draws = np.asarray(statistic(_table_draws(counts, random, resamples)))
    return interval_of_draws(value, draws, n=n, method=TABLE, confidence=confidence)


def bootstrap_rows(
    rows: np.ndarray,
    combine: Statistic,
    random: np.random.Generator,
    *,
    resamples: int = 2000,
    confidence: float = 0.95,
    clusters: np.ndarray | None = None,
) -> Estimate:
    """Statistic of means over rows, with its interval.

    Args:
        rows: per-row statistics, (n, k); (n,) is taken as (n, 1).
        combine: from means (resamples, k) to values (resamples,).
        random: seeds the resamples.
        clusters: (n,) which rows belong together; whole clusters are resampled.
    """
    rows = np.asarray(rows, dtype=np.float64)
    rows = rows[:, None] if rows.ndim == 1 else rows
    n = len(rows)
    if n == 0:
        return Estimate.absent("no rows")
    sizes = np.ones((n, 1))
    units = np.hstack([rows, sizes])
    if clusters is not None:
        _, index = np.unique(np.asarray(clusters), return_inverse=True)
        units = np.stack([np.bincount(index, weights=column) for column in units.T], axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        value = float(np.asarray(combine(rows.mean(axis=0, keepdims=True))).ravel()[0])
        sums = np.concatenate([w @ units for w in weight_blocks(len(units), random, resamples)])
        draws = np.asarray(combine(sums[:, :-1] / sums[:, -1:]))
    return interval_of_draws(value, draws, n=n, method="Bayesian bootstrap (Rubin 1981)", confidence=confidence)


def bootstrap_mean(
    values: np.ndarray,
    random: np.random.Generator,
    *,
    clusters: np.ndarray | None = None,
    resamples: int = 2000,
    confidence: float = 0.95,
    bounds: tuple[float, float] | None = None,
) -> Estimate:
    """Mean of values, (n,), with its interval. `bounds`: the smallest and largest that a value can be."""
    return bootstrap_rows(
        np.asarray(values), lambda m: m[:, 0], random, clusters=clusters, resamples=resamples, confidence=confidence
    )


def weight_blocks(n: int, random: np.random.Generator, resamples: int) -> Iterator[np.ndarray]:
    """Bayesian-bootstrap weights, (some, n) at a time, `resamples` in all."""
    blocks = -(-resamples // BLOCK)
    for number, child in enumerate(random.spawn(blocks)):
        left = min(BLOCK, resamples - number * BLOCK)
        step = max(1, CHUNK // max(1, n))
        for start in range(0, left, step):
            yield child.standard_exponential((min(step, left - start), n))


def _table_draws(counts: np.ndarray, random: np.random.Generator, resamples: int) -> np.ndarray:
    blocks = random.spawn(-(-resamples // BLOCK))
    prior = 1 / len(counts)
    draws = np.concatenate([child.standard_gamma(counts + prior, size=(BLOCK, len(counts))) for child in blocks])
    draws = draws[:resamples]
    return draws / draws.sum(axis=1, keepdims=True) * counts.sum()


def interval_of_draws(value: float, draws: np.ndarray, *, n: int, method: str, confidence: float) -> Estimate:
    """Equal-tailed interval of resampled values, stretched to hold the value itself."""
    if not np.isfinite(value):
        return Estimate.absent("the statistic does not exist on these rows", n=n)
    tail = (1 - confidence) / 2
    finite = draws[np.isfinite(draws)]
    if len(finite) < (1 - tail) * len(draws):
        reason = f"the statistic does not exist in {len(draws) - len(finite)} of {len(draws)} resamples"
        return Estimate(value, None, None, n, method, confidence, reason)
    low, high = np.quantile(finite, [tail, 1 - tail])
    return Estimate(value, min(float(low), value), max(float(high), value), n, method, confidence)
