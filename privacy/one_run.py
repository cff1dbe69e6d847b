"""One-run audit: what epsilon does one training betray, from guesses about randomly included canaries?

What it measures  m canaries are each put into the training data by a fair coin. An auditor who sees the model guesses
                  for r of them whether they were in, and v guesses are right. Under (epsilon, delta)-privacy so many
                  right guesses are improbable below some epsilon: the largest one that is rejected is the lower bound.
How to read it    Above the accountant's epsilon: a bug in the training or the accounting was found. Near 0: little is
                  proved, because a weak attack on a leaking model gives 0, too.
What must hold    The coins are fair and independent of each other; the scores are computed without knowing them; how
                  many guesses are made is fixed before scores and coins meet, or the choice is paid for (below).
Source            Steinke, Nasr and Jagielski 2023, arXiv:2305.08846, theorem 5.2 and the program of appendix D.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp

import numpy as np

from core_model.errors import OptionUnfit

LARGEST = 50.0  # no epsilon above is looked for: e^50 odds need more canaries than anybody trains on
PRECISION = 1e-6


@dataclass(frozen=True)
class Guesses:
    """How many canaries to call "in" (the highest scores) and "out" (the lowest); of the others nothing is said."""

    called_in: int
    called_out: int

    @property
    def count(self) -> int:
        """Guesses in all."""
        return self.called_in + self.called_out


@dataclass(frozen=True)
class OneRunBound:
    """A lower bound on epsilon, with everything it rests on.

    Attributes:
        epsilon: not rejected from here on; 0 where the guesses are no better than chance can be.
        delta, confidence: of the bound; `confidence` holds over all the choices that were tried.
        canaries, guesses, correct: the counts m, r and v behind it.
        tried: how many ways to guess shared the error probability.
    """

    epsilon: float
    delta: float
    confidence: float
    canaries: int
    guesses: int
    correct: int
    tried: int = 1

    def p_value(self, epsilon: float) -> float:
        """Of a training that is (epsilon, delta)-private; paid for all the ways to guess (Bonferroni)."""
        found = p_value(self.correct, self.guesses, self.canaries, epsilon=epsilon, delta=self.delta)
        return min(1.0, self.tried * found)


def p_value(correct: int, guesses: int, canaries: int, *, epsilon: float, delta: float) -> float:
    """Probability of at least so many correct guesses, at most, from an (epsilon, delta)-private training.

    beta + 2 m delta max_i P[v - i <= B < v] / i with B ~ Binomial(r, e^epsilon / (1 + e^epsilon)), beta = P[B >= v].

    Source: Steinke et al. 2023, theorem 5.2.
    """
    from scipy.special import betainc, gammaln, xlog1py, xlogy

    right = 1 / (1 + exp(-epsilon))  # how often randomized response tells the truth
    value = float(betainc(correct, guesses - correct + 1, right)) if correct else 1.0  # beta, the binomial's upper tail
    if delta > 0 and correct:
        fewer = np.arange(correct - 1, -1, -1)  # v - 1, v - 2 ... 0
        log_choices = gammaln(guesses + 1) - gammaln(fewer + 1) - gammaln(guesses - fewer + 1)
        exactly = np.exp(log_choices + xlogy(fewer, right) + xlog1py(guesses - fewer, -right))
        alpha = float(np.max(np.cumsum(exactly) / np.arange(1, correct + 1)))
        value += 2 * canaries * delta * alpha
    return min(value, 1.0)


def epsilon_lower_bound(
    correct: int, guesses: int, canaries: int, *, delta: float = 0.0, confidence: float = 0.95
) -> float:
    """The largest epsilon that so many correct guesses reject, at this confidence; 0 where none is rejected.

    Args:
        correct, guesses, canaries: v <= r <= m.
        delta: of the claim that is audited.
        confidence: one-sided; 0.95 in the field.
    Raises: OptionUnfit for counts or probabilities that cannot be.
    """
    _check(correct, guesses, canaries, delta, confidence)
    error = 1 - confidence

    def rejected(epsilon: float) -> bool:
        return p_value(correct, guesses, canaries, epsilon=epsilon, delta=delta) < error

    if guesses == 0 or not rejected(0.0):
        return 0.0
    # Upwards from 0 to the first epsilon that is not rejected: with delta the p-value need not rise everywhere, and
    # only the first crossing keeps the error probability at 1 - confidence.
    high = 1.0
    while rejected(high):
        high += 1.0
        if high > LARGEST:
            return LARGEST
    low = high - 1.0
    while high - low > PRECISION:
        middle = (low + high) / 2
        low, high = (middle, high) if rejected(middle) else (low, middle)
    return low


def guess(scores: np.ndarray, how: Guesses, random: np.random.Generator) -> np.ndarray:
    """Guesses from scores: 1 for the highest, -1 for the lowest, 0 (abstained) between them.

    Args:
        scores: (canaries,) higher means more likely in the training data. Equal scores are ordered by lot: their order
            in the file may follow the coins.
    Returns: (canaries,) of -1, 0, 1.
    Raises: OptionUnfit when more guesses are asked for than there are canaries, or a score is not a number.
    """
    scores = np.asarray(scores, dtype=np.float64)
    if min(how.called_in, how.called_out) < 0 or how.count > len(scores):
        raise OptionUnfit(
            f"{how.called_in} + {how.called_out} guesses of {len(scores)} canaries", mend="at most one guess a canary"
        )
    if np.isnan(scores).any():
        raise OptionUnfit(f"{int(np.isnan(scores).sum())} canaries have no score", mend="a score for every canary")
    order = np.lexsort((random.random(len(scores)), scores))  # ascending
    guesses = np.zeros(len(scores), dtype=np.int8)
    guesses[order[len(scores) - how.called_in :]] = 1
    guesses[order[: how.called_out]] = -1
    return guesses


def audit_scores(
    scores: np.ndarray, included: np.ndarray, *, how: Sequence[Guesses], delta: float, confidence: float = 0.95,
    random: np.random.Generator,
) -> OneRunBound:  # fmt: skip
    """The lower bound from scores, where `how` was fixed before any score was seen.

    With several ways to guess, each is held to an error probability of (1 - confidence) / their number (Bonferroni), so
    that the best of them may be reported.

    Args:
        scores: (canaries,) higher means more likely in.
        included: (canaries,) bool, the coins.
        how: ways to guess; see `ways_to_guess`.
    Raises: OptionUnfit for lengths, counts or probabilities that cannot be.
    """
    included = np.asarray(included, dtype=bool)
    if len(included) != len(scores) or not how:
        raise OptionUnfit(
            f"{len(scores)} scores, {len(included)} coins, {len(how)} ways to guess",
            mend="one score and one coin a canary, and at least one way to guess",
        )
    truth = np.where(included, 1, -1)
    each = 1 - (1 - confidence) / len(how)
    bounds = []
    for way in how:
        guesses = guess(scores, way, random)
        correct = int((guesses == truth).sum())
        epsilon = epsilon_lower_bound(correct, way.count, len(scores), delta=delta, confidence=each)
        bounds.append(OneRunBound(epsilon, delta, confidence, len(scores), way.count, correct, len(how)))
    return max(bounds, key=lambda bound: bound.epsilon)


def ways_to_guess(canaries: int) -> list[Guesses]:
    """Five ways that depend on nothing but the number of canaries: all of them, and the surest 1/2, 1/5, 1/10, 1/20.

    Few sure guesses bound a large epsilon better, many guesses a small one; five ways cost each a factor of 5 in its
    error probability, which takes little from a bound.
    """
    sizes = {max(1, canaries // share) for share in (1, 2, 5, 10, 20)}
    return [Guesses(called_in=size - size // 2, called_out=size // 2) for size in sorted(sizes, reverse=True)]


def _check(correct: int, guesses: int, canaries: int, delta: float, confidence: float) -> None:
    if not 0 <= correct <= guesses <= canaries:
        raise OptionUnfit(
            f"{correct} correct of {guesses} guesses about {canaries} canaries cannot be",
            mend="correct <= guesses <= canaries",
        )
    if not 0 <= delta < 1:
        raise OptionUnfit(f"delta is {delta}", mend="0 or more, and below 1")
    if not 0 < confidence < 1:
        raise OptionUnfit(f"confidence is {confidence}", mend="a number between 0 and 1, such as 0.95")
