"""Ranges: how far apart are the best and the worst treated group?

The largest rate minus the smallest, over groups, is what fairness limits speak of (demographic parity difference,
equalized odds difference). Its estimate is too large where groups are alike, since noise alone spreads them, and a
percentile bootstrap adds that noise once more: with 20 equal groups it never covers the truth, which is 0. The interval
here joins two one-sided tests instead, and holds for equal groups, for different ones, and in between.

Upper end  Some pair of groups is truly the extreme one, and it is one fixed pair, so its own one-sided limit is valid
           without a correction for the number of pairs; the largest such limit holds whichever pair it is
           (intersection-union test: Berger 1982, Technometrics 24:295).
Lower end  A range r is excluded when some pair lies further apart than r by more standard errors than the largest over
           all pairs that may bind would reach by chance. At r = 0 all pairs bind: that is Tukey's studentized range.
           Above, pairs that are seen to be closer than r count by so much less: generalized moment selection
           (Andrews and Soares 2010, Econometrica 78:119; a test of many inequalities as in Romano, Shaikh and Wolf
           2014, Econometrica 82:1979).
Arms       Wilson's, joined as in MOVER (Zou and Donner 2008, Stat. Med. 27:1693): none vanishes at 0 or 100%.

Both ends are conservative where many groups vie for an extreme; docs/statistics.md shows coverage and width.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from audit.statistics.estimate import Estimate
from audit.statistics.proportions import normal_quantile, two_sided_z, wilson_bounds

Counts = Sequence[int] | np.ndarray

METHOD = (
    "largest one-sided limit of any pair above, studentized range with moment selection below "
    "(Andrews and Soares 2010), Wilson arms; conservative"
)
DRAWS = 2000  # of the noise; its own error moves the tail of 0.025 by about 0.0035
KAPPA = 1.0  # standard errors of benefit of the doubt before a pair counts less; chosen by simulation


@dataclass(frozen=True)
class _Family:
    """Estimates that are compared with each other: (groups,) values, and z -> their (down, up) arms."""

    values: np.ndarray
    arms: Callable[[float], tuple[np.ndarray, np.ndarray]]


def largest_minus_smallest(
    successes: Counts, n: Counts, random: np.random.Generator, *, confidence: float = 0.95
) -> Estimate:
    """Largest rate minus smallest rate over groups; 0 is parity.

    Args:
        successes, n: (groups,) counts. Groups of no rows are left out.
        random: draws the noise behind the lower end's critical value.
    Returns: absent where fewer than two groups have rows.
    Raises: ValueError for counts that cannot be.
    """
    return largest_of_ranges([(successes, n)], random, confidence=confidence)


def largest_of_ranges(
    families: Sequence[tuple[Counts, Counts]], random: np.random.Generator, *, confidence: float = 0.95
) -> Estimate:
    """The largest, over families of rates, of largest minus smallest over groups.

    Equalized odds difference: the families are the true-positive and the false-positive rates of the same groups.

    Args:
        families: (successes, n) of each family, each (groups,). Groups of no rows are left out.
        random: draws the noise behind the lower end's critical value.
    Returns: absent where no family has two groups with rows; n counts the rows of all families.
    Raises: ValueError for counts that cannot be.
    """
    pairs = [pair for s, n in families if len((pair := _with_rows(s, n))[1]) > 1]
    if not pairs:
        return Estimate.absent("fewer than two groups have rows to compare")
    tail = _tail(confidence)
    compared = [_rates(s, n) for s, n in pairs]
    value = max(float(np.ptp(s / n)) for s, n in pairs)
    low = _lower_end(compared, tail, random)
    high = max(_upper_end(family, tail) for family in compared)
    rows = int(sum(n.sum() for _, n in pairs))
    return Estimate(value, min(low, value), min(max(high, value), 1.0), rows, METHOD, confidence)


def smallest_over_largest(
    successes: Counts, n: Counts, random: np.random.Generator, *, confidence: float = 0.95
) -> Estimate:
    """Smallest rate over largest rate over groups (demographic parity ratio); 1 is parity.

    It is the range of the logarithms of the rates, read backwards. The interval starts at 0 where a rate is 0.

    Args:
        successes, n: (groups,) counts. Groups of no rows are left out.
        random: draws the noise behind the critical value of the end that is nearer to 1.
    Returns: absent where fewer than two groups have rows, or every rate is 0.
    Raises: ValueError for counts that cannot be.
    """
    s, rows = _with_rows(successes, n)
    total = int(rows.sum())
    if len(rows) < 2:
        return Estimate.absent("fewer than two groups have rows to compare", n=total)
    if s.sum() == 0:
        return Estimate.absent("every group's rate is 0: a ratio to 0 does not exist", n=total)
    tail = _tail(confidence)
    family = _log_rates(s, rows)
    value = float((s / rows).min() / (s / rows).max())
    low = float(np.exp(-_upper_end(family, tail))) if s.min() > 0 else 0.0
    high = float(np.exp(-_lower_end([family], tail, random)))
    return Estimate(value, min(low, value), max(high, value), total, f"{METHOD}; on the log scale", confidence)


def _upper_end(family: _Family, tail: float) -> float:
    """The largest, over pairs, of the pair's own upper limit at level 1 - tail."""
    down, up = family.arms(normal_quantile(1 - tail))
    reach = _differences(family) + np.hypot(up[:, None], down[None, :])
    np.fill_diagonal(reach, -np.inf)
    return float(reach.max())


def _lower_end(families: Sequence[_Family], tail: float, random: np.random.Generator) -> float:
    """The smallest range that is not excluded at level tail; 0 where nothing shows a difference."""
    if _reach(families, normal_quantile(1 - tail)) <= 0:
        return 0.0  # not even one pair alone would show a difference
    parts = [_studentized_pairs(family, random) for family in families]
    gap, scale, noise = (np.concatenate(part) for part in zip(*parts, strict=True))

    def excluded(r: float) -> bool:
        shift = np.minimum(0, (gap - r) / scale + KAPPA).astype(np.float32)
        binding = shift > -4  # a pair this much closer than r is never the largest
        largest = (noise[binding] + shift[binding, None]).max(axis=0)
        return _reach(families, _critical(largest, tail)) > r

    studentized_range = np.abs(noise).max(axis=0)
    low = _reach(families, _critical(studentized_range, tail))
    if low <= 0:
        return 0.0
    # The studentized range excludes all below `low`; moment selection may exclude more.
    likely = (gap - low) / scale + KAPPA > -4
    gap, scale, noise = gap[likely], scale[likely], noise[likely]
    high = float(gap.max())
    for _ in range(10):
        middle = (low + high) / 2
        low, high = (middle, high) if excluded(middle) else (low, middle)
    return low


def _critical(largest: np.ndarray, tail: float) -> float:
    """The upper quantile of the draws, as the next larger draw."""
    place = min(len(largest) - 1, int((1 - tail) * len(largest)))
    return float(np.partition(largest, place)[place])


def _studentized_pairs(family: _Family, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Gap, its standard error, and draws of its noise in standard errors, of each pair, larger minus smaller."""
    down, up = family.arms(2.0)
    sigma = np.where(np.isfinite(down), (down + up) / 4, up / 2)
    i, j = np.triu_indices(len(sigma), 1)
    i, j = np.where(family.values[i] >= family.values[j], (i, j), (j, i))
    scale = np.hypot(sigma[i], sigma[j])
    draws = sigma.astype(np.float32)[:, None] * random.standard_normal((len(sigma), DRAWS), dtype=np.float32)
    return family.values[i] - family.values[j], scale, (draws[i] - draws[j]) / scale.astype(np.float32)[:, None]


def _reach(families: Sequence[_Family], z: float) -> float:
    """The largest, over all pairs, of the pair's lower limit with arms of z standard errors."""
    limits = []
    for family in families:
        down, up = family.arms(z)
        limits.append((_differences(family) - np.hypot(down[:, None], up[None, :])).max())
    return float(max(limits))


def _differences(family: _Family) -> np.ndarray:
    return family.values[:, None] - family.values[None, :]


def _rates(successes: np.ndarray, n: np.ndarray) -> _Family:
    rate = successes / n

    def arms(z: float) -> tuple[np.ndarray, np.ndarray]:
        low, high = wilson_bounds(successes, n, z)
        return rate - low, high - rate

    return _Family(rate, arms)


def _log_rates(successes: np.ndarray, n: np.ndarray) -> _Family:
    # Half a row keeps the logarithm of a rate of 0 finite (Walter 1975, Biometrika 62:371).
    log_rate = np.log((successes + 0.5) / (n + 0.5))

    def arms(z: float) -> tuple[np.ndarray, np.ndarray]:
        low, high = wilson_bounds(successes, n, z)
        with np.errstate(divide="ignore"):  # a rate of 0 reaches down to minus infinity
            return log_rate - np.log(low), np.maximum(np.log(high) - log_rate, 0)

    return _Family(log_rate, arms)


def _with_rows(successes: Counts, n: Counts) -> tuple[np.ndarray, np.ndarray]:
    s, rows = np.asarray(successes), np.asarray(n)
    if s.shape != rows.shape or s.ndim != 1 or ((s < 0) | (s > rows)).any():
        raise ValueError(f"counts that cannot be: successes {s.tolist()} of n {rows.tolist()}")
    return s[rows > 0], rows[rows > 0]


def _tail(confidence: float) -> float:
    two_sided_z(confidence)  # refuses what is not a confidence
    return (1 - confidence) / 2
