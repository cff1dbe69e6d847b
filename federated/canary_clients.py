"""Canary clients: what epsilon does a federation betray at the level of whole clients, from one training?

What it measures  Some clients are made up and send a random direction of the longest length that is allowed. In high
                  dimensions random directions are nearly orthogonal to everything, so the cosine between a canary and
                  what was released is N(0, 1/d) where the canary was left out, and larger where it took part.
Estimate          The normal law that fits the cosines of the canaries that took part, against N(0, 1/d): the epsilon
                  that tells these two apart. Right for the Gaussian mechanism as d grows and canaries stay few against
                  it; an estimate and no bound: with 500 canaries it is off by a third, more at a small delta.
Lower bound       Where coins left half of the canaries out, `bound` guesses them by their cosines (`privacy.one_run`).
What is seen      The step of one round, or the sum of all steps (the last model less the first). Under secure
                  aggregation this is all that a server sees; without it, it sees each canary's update itself, and
                  noise that the server adds later hides nothing from it: the cosine is 1.
Source            Andrew et al. 2023, arXiv:2302.03098; Steinke, Nasr and Jagielski 2023, arXiv:2305.08846 (the bound).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf, log, sqrt

import numpy as np

from core_model.errors import OptionUnfit
from federated.arrays import Update, norm
from privacy.accounting import check_delta
from privacy.one_run import OneRunBound, audit_scores, ways_to_guess

LEAST = 2  # canaries, to fit a normal law to
LARGEST = 10_000.0  # no epsilon above is looked for


@dataclass(frozen=True)
class OneShotEstimate:
    """An estimate of epsilon, with everything it rests on; it has no interval.

    Attributes:
        epsilon: 0 where the two laws cannot be told apart beyond delta.
        mean, deviation: of the canaries' cosines; those of canaries left out would be 0 and 1 / sqrt(dimensions).
    """

    epsilon: float
    delta: float
    canaries: int
    dimensions: int
    mean: float
    deviation: float


def canary_updates(
    like: Mapping[str, np.ndarray], count: int, *, length: float, random: np.random.Generator
) -> list[Update]:
    """Made-up updates, uniform over all directions.

    Args:
        like: names and shapes of the shared parameters.
        length: of each: the clipping norm, the most that a client may send.
        random: for a real audit from the operating system's entropy.
    """
    made = []
    for _ in range(count):
        drawn = {name: random.normal(size=array.shape).astype(np.float32) for name, array in like.items()}
        factor = np.float32(length / norm(drawn))
        made.append({name: array * factor for name, array in drawn.items()})
    return made


def canary_cosines(canaries: Sequence[Mapping[str, np.ndarray]], released: Mapping[str, np.ndarray]) -> np.ndarray:
    """Cosine of each canary with what was released, (canaries,), in [-1, 1]; 0 where nothing was released."""
    length = norm(released)
    if length == 0:
        return np.zeros(len(canaries))
    return np.array([_dot(canary, released) / (norm(canary) * length) for canary in canaries])


def one_shot_epsilon(cosines: np.ndarray, *, dimensions: int, delta: float) -> OneShotEstimate:
    """The estimate from the cosines of canaries that took part.

    Args:
        cosines: (canaries,).
        dimensions: numbers in an update.
    Raises: OptionUnfit for fewer than two canaries, or a delta that cannot be.
    """
    check_delta(delta)
    if len(cosines) < LEAST:
        raise OptionUnfit(f"{len(cosines)} canary clients", mend=f"{LEAST} or more; a thousand tell much")
    mean, deviation = float(np.mean(cosines)), float(np.std(cosines, ddof=1))
    scale = sqrt(dimensions)  # so that canaries left out have a deviation of 1
    epsilon = epsilon_between(mean * scale, deviation * scale, delta=delta)
    return OneShotEstimate(epsilon, delta, len(cosines), dimensions, mean, deviation)


def epsilon_between(mean: float, deviation: float, *, delta: float) -> float:
    """The least epsilon at which N(0, 1) and N(mean, deviation^2) are within (epsilon, delta) of each other.

    Returns: infinite where `deviation` is 0: each law then says for sure where a point came from.
    Source: Dwork and Roth 2014, definition 2.4, by the hockey-stick divergence.
    """
    if deviation == 0:
        return inf

    def exceeded(epsilon: float) -> float:
        out, took_part = (0.0, 1.0), (mean, deviation)
        return max(_hockey_stick(out, took_part, epsilon), _hockey_stick(took_part, out, epsilon)) - delta

    from scipy.optimize import brentq

    if exceeded(0.0) <= 0:
        return 0.0
    if exceeded(LARGEST) > 0:
        return LARGEST
    return float(brentq(exceeded, 0.0, LARGEST, xtol=1e-6))


def canary_bound(
    cosines: np.ndarray, included: np.ndarray, *, delta: float, random: np.random.Generator, confidence: float = 0.95
) -> OneRunBound:
    """A lower bound on epsilon where each canary took part by a fair coin of its own.

    Args:
        cosines: (canaries,) of all of them, those that were left out, too.
        included: (canaries,) bool, the coins; they were not looked at for the cosines.
    Raises: OptionUnfit as `privacy.one_run.audit_scores`.
    """
    return audit_scores(
        cosines, included, how=ways_to_guess(len(cosines)), delta=delta, confidence=confidence, random=random
    )


def _dot(one: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray]) -> float:
    return sum(float(np.vdot(array.astype(np.float64), other[name])) for name, array in one.items())


def _hockey_stick(p: tuple[float, float], q: tuple[float, float], epsilon: float) -> float:
    """P(S) - e^epsilon Q(S) over the set S in which p is more than e^epsilon times q; both normal (mean, deviation).

    log p - log q is a quadratic a x^2 + b x + c, so that S is an interval, its complement, or a half-line.
    """
    from scipy.stats import norm as normal

    (m, s), (n, t) = p, q
    a = (1 / t**2 - 1 / s**2) / 2
    b = m / s**2 - n / t**2
    c = (n**2 / t**2 - m**2 / s**2) / 2 + log(t / s) - epsilon

    def below(x: float) -> float:
        """P - e^epsilon Q of everything below x, without overflow."""
        return float(normal.cdf(x, m, s) - np.exp(min(epsilon + normal.logcdf(x, n, t), 700.0)))

    def above(x: float) -> float:
        return float(normal.sf(x, m, s) - np.exp(min(epsilon + normal.logsf(x, n, t), 700.0)))

    if abs(a) < 1e-12:
        if b == 0:
            return 0.0
        return above(-c / b) if b > 0 else below(-c / b)
    root = b**2 - 4 * a * c
    if root <= 0:  # nowhere, or everywhere; everywhere cannot be, since both integrate to one
        return 0.0
    low, high = sorted([(-b - sqrt(root)) / (2 * a), (-b + sqrt(root)) / (2 * a)])
    if a > 0:
        return below(low) + above(high)
    inside = float(normal.cdf(high, m, s) - normal.cdf(low, m, s))
    theirs = float(normal.cdf(high, n, t) - normal.cdf(low, n, t))
    return inside - (float(np.exp(min(epsilon + log(theirs), 700.0))) if theirs > 0 else 0.0)
