"""Proportions: how sure is a rate, a gap between two rates, a ratio of two rates?

Every interval here exists at 0 of n and at n of n, too. A value that cannot exist (a rate of no rows, a ratio to a rate
of 0) is absent, with its reason.
"""

from __future__ import annotations

from math import hypot, sqrt
from statistics import NormalDist

import numpy as np

from audit.statistics.estimate import Estimate

WILSON = "Wilson score (Wilson 1927)"
CLOPPER_PEARSON = "Clopper-Pearson, exact and conservative (Clopper and Pearson 1934)"
NEWCOMBE = "Newcombe hybrid score, method 10 (Newcombe 1998, Stat. Med. 17:873)"
NEWCOMBE_PAIRED = "Newcombe paired hybrid score, method 10 (Newcombe 1998, Stat. Med. 17:2635)"
MOVER_RATIO = "MOVER-R with Wilson arms (Donner and Zou 2012, Stat. Methods Med. Res. 21:347)"


def normal_quantile(probability: float) -> float:
    """The standard normal quantile; 1.96 for 0.975."""
    return NormalDist().inv_cdf(probability)


def two_sided_z(confidence: float) -> float:
    """How many standard errors each arm of a two-sided interval takes; 1.96 for 0.95."""
    if not 0 < confidence < 1:
        raise ValueError(f"confidence is {confidence}; it lies between 0 and 1")
    return normal_quantile(0.5 + confidence / 2)


def wilson_bounds(successes: np.ndarray, n: np.ndarray, z: float | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Wilson's (low, high) for arrays of any shape that broadcast; n must be at least 1.

    Source: Wilson 1927; recommended by Brown, Cai and DasGupta 2001, Statistical Science 16:101.
    """
    successes, n = np.asarray(successes, dtype=np.float64), np.asarray(n, dtype=np.float64)
    failures = n - successes
    centre = successes + z**2 / 2
    arm = z * np.sqrt(successes * failures / n + z**2 / 4)
    low, high = (centre - arm) / (n + z**2), (centre + arm) / (n + z**2)
    # Exactly 0 and 1 where the algebra says so, whatever floating point makes of it.
    return np.where(successes == 0, 0.0, np.maximum(low, 0)), np.where(failures == 0, 1.0, np.minimum(high, 1))


def proportion(successes: int, n: int, *, confidence: float = 0.95, method: str = "wilson") -> Estimate:
    """successes / n with its interval.

    Args:
        successes: rows that count, 0 to n.
        n: rows in all; of 0 rows the rate is absent.
        confidence: nominal coverage.
        method: "wilson" (covers about `confidence` on average over rates) or "clopper-pearson" (never less).
    Raises: ValueError for counts that cannot be, or an unknown method.
    """
    _check(successes, n)
    if n == 0:
        return Estimate.absent("no rows: a rate of nothing does not exist")
    rate = successes / n
    if method == "wilson":
        low, high = _wilson(successes, n, two_sided_z(confidence))
        return Estimate(rate, low, high, n, WILSON, confidence)
    if method == "clopper-pearson":
        from scipy.stats import beta

        tail = (1 - confidence) / 2
        low = float(beta.ppf(tail, successes, n - successes + 1)) if successes else 0.0
        high = float(beta.ppf(1 - tail, successes + 1, n - successes)) if successes < n else 1.0
        return Estimate(rate, low, high, n, CLOPPER_PEARSON, confidence)
    raise ValueError(f"method is {method!r}; it is 'wilson' or 'clopper-pearson'")


def difference_of_proportions(
    successes_a: int, n_a: int, successes_b: int, n_b: int, *, confidence: float = 0.95
) -> Estimate:
    """rate(a) - rate(b) for two separate sets of rows. 0 is parity.

    Raises: ValueError for counts that cannot be.
    Source: Newcombe 1998, Statistics in Medicine 17:873, method 10.
    """
    _check(successes_a, n_a)
    _check(successes_b, n_b)
    if n_a == 0 or n_b == 0:
        return Estimate.absent("one of the two sides has no rows", n=n_a + n_b)
    z = two_sided_z(confidence)
    a, b = successes_a / n_a, successes_b / n_b
    (a_low, a_high), (b_low, b_high) = _wilson(successes_a, n_a, z), _wilson(successes_b, n_b, z)
    low, high = a - b - hypot(a - a_low, b_high - b), a - b + hypot(a_high - a, b - b_low)
    return Estimate(a - b, low, high, n_a + n_b, NEWCOMBE, confidence)


def paired_difference_of_proportions(
    both: int, only_a: int, only_b: int, neither: int, *, confidence: float = 0.95
) -> Estimate:
    """rate(a) - rate(b) when a and b judge the same rows (two checkpoints on one data set).

    Args:
        both, only_a, only_b, neither: rows that succeed under both, one, the other, none.
    Raises: ValueError for negative counts.
    Source: Newcombe 1998, Statistics in Medicine 17:2635, method 10 (score intervals joined by a correlation that is
        corrected for continuity).
    """
    if min(both, only_a, only_b, neither) < 0:
        raise ValueError(f"negative count in {(both, only_a, only_b, neither)}")
    n = both + only_a + only_b + neither
    if n == 0:
        return Estimate.absent("no rows were judged by both")
    z = two_sided_z(confidence)
    count_a, count_b = both + only_a, both + only_b
    a, b = count_a / n, count_b / n
    (a_low, a_high), (b_low, b_high) = _wilson(count_a, n, z), _wilson(count_b, n, z)
    phi = _continuity_corrected_phi(both, only_a, only_b, neither)
    difference = (only_a - only_b) / n
    low = difference - _joined(a - a_low, b_high - b, phi)
    high = difference + _joined(a_high - a, b - b_low, phi)
    return Estimate(difference, low, high, n, NEWCOMBE_PAIRED, confidence)


def ratio_of_proportions(
    successes_a: int, n_a: int, successes_b: int, n_b: int, *, confidence: float = 0.95
) -> Estimate:
    """rate(a) / rate(b) for two separate sets of rows. 1 is parity; absent where rate(b) is 0.

    The interval starts at 0 where no row of a succeeds, and is still finite above.

    Raises: ValueError for counts that cannot be.
    Source: Donner and Zou 2012, Statistical Methods in Medical Research 21:347 (MOVER-R), on Wilson limits as in
        Newcombe 2013, Confidence Intervals for Proportions, chapter 13.
    """
    _check(successes_a, n_a)
    _check(successes_b, n_b)
    if n_a == 0 or n_b == 0:
        return Estimate.absent("one of the two sides has no rows", n=n_a + n_b)
    if successes_b == 0:
        return Estimate.absent(f"the rate below the line is 0 of {n_b}: a ratio to it does not exist", n=n_a + n_b)
    z = two_sided_z(confidence)
    a, b = successes_a / n_a, successes_b / n_b
    (a_low, a_high), (b_low, b_high) = _wilson(successes_a, n_a, z), _wilson(successes_b, n_b, z)
    product = a * b
    # The lower root is written with its conjugate, so that b_high = 2b does not divide by zero.
    under_low = product**2 - a_low * b_high * (2 * a - a_low) * (2 * b - b_high)
    low = a_low * (2 * a - a_low) / (product + sqrt(max(0.0, under_low))) if successes_a else 0.0
    under_high = product**2 - a_high * b_low * (2 * a - a_high) * (2 * b - b_low)
    high = (product + sqrt(max(0.0, under_high))) / (b_low * (2 * b - b_low))
    return Estimate(a / b, low, high, n_a + n_b, MOVER_RATIO, confidence)


def _wilson(successes: int, n: int, z: float) -> tuple[float, float]:
    low, high = wilson_bounds(np.asarray(successes), np.asarray(n), z)
    return float(low), float(high)


def _joined(arm_a: float, arm_b: float, phi: float) -> float:
    return sqrt(max(0.0, arm_a**2 - 2 * phi * arm_a * arm_b + arm_b**2))


def _continuity_corrected_phi(both: int, only_a: int, only_b: int, neither: int) -> float:
    n = both + only_a + only_b + neither
    margins = (both + only_a) * (only_b + neither) * (both + only_b) * (only_a + neither)
    if margins == 0:
        return 0.0
    determinant = float(both * neither - only_a * only_b)
    if determinant > 0:
        determinant = max(determinant - n / 2, 0.0)
    return determinant / sqrt(margins)


def share_of(rows: np.ndarray | None, missing: str) -> Estimate:
    """Which share of the rows counts.

    Args:
        rows: (rows,) bool; None where it could not be told, and `missing` says why.
    """
    return Estimate.absent(missing) if rows is None else proportion(int(rows.sum()), len(rows))


def _check(successes: int, n: int) -> None:
    if not 0 <= successes <= n:
        raise ValueError(f"{successes} successes of {n} rows cannot be")
