"""The lower bound is the paper's, is 0 on nothing, stays below the truth, and finds a planted leak."""

from __future__ import annotations

from math import exp, log

import numpy as np
import pytest
from pytest import approx
from scipy.stats import binom, binomtest

from core_model.errors import OptionUnfit
from privacy.one_run import Guesses, audit_scores, epsilon_lower_bound, guess, p_value, ways_to_guess
from tests.privacy.test_accounting import analytic_gaussian

SIMULATIONS = 400
MOST_MISSES = 20  # 5% of them


@pytest.mark.parametrize(
    ("canaries", "guesses", "correct", "delta", "printed"),
    [(1000, 100, 75, 1e-4, 0.673), (100_000, 1510, 1439, 1e-5, 2.675)],  # arXiv:2305.08846v1, appendix D and section 7
)
def test_the_papers_own_examples(canaries, guesses, correct, delta, printed):
    # The paper rounds the one (0.67298) and cuts the other (2.67585).
    assert epsilon_lower_bound(correct, guesses, canaries, delta=delta) == approx(printed, abs=1e-3)


@pytest.mark.parametrize(("correct", "guesses", "canaries"), [(60, 80, 100), (30, 30, 400), (1, 2, 3), (70, 90, 1000)])
@pytest.mark.parametrize("epsilon", [0.0, 0.5, 2.0])
@pytest.mark.parametrize("delta", [0.0, 1e-5, 1e-2])
def test_the_p_value_is_theorem_5_2_term_by_term(correct, guesses, canaries, epsilon, delta):
    right = exp(epsilon) / (exp(epsilon) + 1)
    tail = sum(binom.pmf(k, guesses, right) for k in range(correct, guesses + 1))
    alpha = max(
        sum(binom.pmf(k, guesses, right) for k in range(correct - i, correct)) / i for i in range(1, correct + 1)
    )
    slow = min(1.0, tail + 2 * canaries * delta * alpha)
    assert p_value(correct, guesses, canaries, epsilon=epsilon, delta=delta) == approx(slow, rel=1e-9, abs=1e-300)


@pytest.mark.parametrize(("correct", "guesses"), [(75, 100), (510, 1000), (999, 1000), (40, 40)])
def test_without_delta_the_bound_is_clopper_pearsons_as_odds(correct, guesses):
    rate = binomtest(correct, guesses, alternative="greater").proportion_ci(0.95, method="exact").low
    assert epsilon_lower_bound(correct, guesses, guesses) == approx(max(0.0, log(rate / (1 - rate))), abs=1e-5)


def test_delta_and_more_canaries_only_weaken_the_bound():
    bounds = [epsilon_lower_bound(90, 100, 1000, delta=delta) for delta in (0, 1e-6, 1e-4, 1e-2)]
    assert bounds == sorted(bounds, reverse=True) and bounds[0] > bounds[-1] == 0
    assert epsilon_lower_bound(90, 100, 100, delta=1e-4) > epsilon_lower_bound(90, 100, 10_000, delta=1e-4)


def test_guesses_no_better_than_chance_bound_nothing():
    assert epsilon_lower_bound(0, 0, 100) == epsilon_lower_bound(50, 100, 100) == epsilon_lower_bound(0, 100, 100) == 0


@pytest.mark.parametrize("how", ["all fixed beforehand", "best of five"])
def test_on_null_scores_the_bound_is_zero(how):
    """Scores that know nothing of the coins: a bound above 0 is an error, allowed in 5% of all audits."""
    random = np.random.default_rng(1)
    ways = [Guesses(100, 100)] if how == "all fixed beforehand" else ways_to_guess(400)
    misses = 0
    for _ in range(SIMULATIONS):
        scores, included = random.normal(size=400), random.random(400) < 0.5
        bound = audit_scores(scores, included, how=ways, delta=1e-5, random=random)
        misses += bound.epsilon > 0
    assert misses <= MOST_MISSES


def test_picking_the_best_way_without_paying_for_it_would_fail_on_null_scores():
    """The same five ways, each at full confidence: what the correction is for."""
    random = np.random.default_rng(1)
    misses = 0
    for _ in range(SIMULATIONS):
        scores, included = random.normal(size=400), random.random(400) < 0.5
        misses += any(
            audit_scores(scores, included, how=[way], delta=0.0, random=random).epsilon > 0
            for way in ways_to_guess(400)
        )
    assert misses > MOST_MISSES


@pytest.mark.parametrize("epsilon", [0.1, 0.5, 2.0, 4.0])
@pytest.mark.parametrize("canaries", [50, 1000])
def test_randomized_response_is_bounded_below_its_truth(epsilon, canaries):
    """Each coin is told truly with probability e^epsilon / (1 + e^epsilon): exactly epsilon-private, and known.

    No simulation is needed: the chance of each number of correct guesses is the binomial's.
    """
    counts = np.arange(canaries + 1)
    chances = binom.pmf(counts, canaries, exp(epsilon) / (1 + exp(epsilon)))
    likely = counts[chances > 1e-9]
    bounds = {v: epsilon_lower_bound(int(v), canaries, canaries) for v in likely}
    wrong = sum(chances[v] for v in likely if bounds[v] > epsilon)
    assert wrong <= 0.05
    if canaries == 1000:
        assert sum(chances[v] for v in likely if bounds[v] > 0.85 * epsilon - 0.2) > 0.9  # and near it, nearly always


def test_randomized_response_from_coin_to_bound_in_simulations():
    random, epsilon, above = np.random.default_rng(2), 2.0, 0
    for _ in range(SIMULATIONS):
        included = random.random(400) < 0.5
        told = np.where(random.random(400) < exp(epsilon) / (1 + exp(epsilon)), included, ~included)
        bound = audit_scores(told * 1.0, included, how=[Guesses(100, 100)], delta=0.0, random=random)
        above += bound.epsilon > epsilon
    assert above <= MOST_MISSES


def test_with_many_canaries_the_bound_comes_near_the_truth():
    right = exp(2.0) / (1 + exp(2.0))
    bounds = [epsilon_lower_bound(round(m * right), m, m) for m in (100, 1000, 10_000, 1_000_000)]
    assert bounds == sorted(bounds) and bounds[-1] == approx(2.0, abs=0.01)


@pytest.mark.parametrize("noise", [0.5, 1.0, 4.0])
def test_scores_of_a_gaussian_mechanism_are_bounded_below_its_exact_epsilon(noise):
    random, delta = np.random.default_rng(3), 1e-3
    truth, above = analytic_gaussian(noise, delta), 0
    for _ in range(SIMULATIONS // 4):
        included = random.random(500) < 0.5
        scores = included + noise * random.normal(size=500)
        above += audit_scores(scores, included, how=ways_to_guess(500), delta=delta, random=random).epsilon > truth
    assert above <= MOST_MISSES // 4


def test_a_mechanism_that_sometimes_tells_all_is_paid_for_by_delta():
    """With probability delta a coin is published, else randomized response: (epsilon, delta)-private and no better."""
    random, epsilon, delta = np.random.default_rng(4), 1.0, 0.01
    right = delta + (1 - delta) * exp(epsilon) / (1 + exp(epsilon))
    correct = random.binomial(300, right, size=SIMULATIONS)
    assert sum(epsilon_lower_bound(int(v), 300, 300, delta=delta) > epsilon for v in correct) <= MOST_MISSES


def test_a_planted_leak_is_found():
    random = np.random.default_rng(5)
    included = random.random(1000) < 0.5
    bound = audit_scores(included * 1.0, included, how=ways_to_guess(1000), delta=1e-5, random=random)
    assert bound.epsilon > 4 and bound.correct == bound.guesses and bound.tried == 5


@pytest.mark.parametrize("fixed", [Guesses(500, 500), Guesses(100, 100)])
def test_a_planted_leak_gives_the_most_that_so_many_guesses_can(fixed):
    random = np.random.default_rng(6)
    included = np.arange(1000) < 500
    bound = audit_scores(included * 1.0, included, how=[fixed], delta=0.0, random=random)
    rate = 0.05 ** (1 / fixed.count)  # all right: rate^r = 5%
    assert bound.epsilon == approx(log(rate / (1 - rate)), abs=1e-5)


def test_scores_turned_upside_down_bound_nothing():
    included = np.arange(1000) < 500
    bound = audit_scores(-1.0 * included, included, how=ways_to_guess(1000), delta=0.0, random=np.random.default_rng(7))
    assert bound.epsilon == 0 and bound.correct == 0


def test_ties_are_broken_by_lot_and_not_by_the_order_of_the_file():
    included = np.arange(1000) < 500  # the coins in file order
    bound = audit_scores(np.zeros(1000), included, how=[Guesses(500, 500)], delta=0.0, random=np.random.default_rng(8))
    assert 400 < bound.correct < 600 and bound.epsilon == 0


def test_guesses_are_the_ends_and_the_middle_abstains():
    guesses = guess(np.array([0.3, 9.0, -2.0, 0.5, 1.0]), Guesses(1, 2), np.random.default_rng(0))
    assert guesses.tolist() == [-1, 1, -1, 0, 0]


def test_infinite_scores_are_ends_and_missing_ones_are_refused():
    assert guess(np.array([np.inf, 0.0, -np.inf]), Guesses(1, 1), np.random.default_rng(0)).tolist() == [1, 0, -1]
    with pytest.raises(OptionUnfit, match="1 canaries have no score"):
        guess(np.array([np.nan, 0.0]), Guesses(1, 1), np.random.default_rng(0))


@pytest.mark.parametrize(
    ("counts", "settings"),
    [((3, 2, 10), {}), ((1, 20, 10), {}), ((-1, 2, 10), {}), ((1, 2, 10), {"delta": 1.0}),
     ((1, 2, 10), {"delta": -0.1}), ((1, 2, 10), {"confidence": 1.0}), ((1, 2, 10), {"confidence": 0.0})],
)  # fmt: skip
def test_counts_and_probabilities_that_cannot_be_are_refused(counts, settings):
    with pytest.raises(OptionUnfit):
        epsilon_lower_bound(*counts, **settings)


def test_scores_and_coins_of_different_length_are_refused():
    for scores, included, how in ((3, 4, [Guesses(1, 1)]), (3, 3, []), (3, 3, [Guesses(2, 2)])):
        with pytest.raises(OptionUnfit):
            audit_scores(
                np.zeros(scores), np.zeros(included, bool), how=how, delta=0.0, random=np.random.default_rng(0)
            )


def test_the_ways_to_guess_depend_on_the_number_of_canaries_alone():
    assert [way.count for way in ways_to_guess(1000)] == [1000, 500, 200, 100, 50]
    assert [way.count for way in ways_to_guess(1)] == [1]


def test_the_p_value_of_a_bound_crosses_its_error_probability_at_the_bound():
    scores, included = np.arange(200.0), np.arange(200) >= 95
    bound = audit_scores(
        scores, included, how=ways_to_guess(200), delta=1e-6, confidence=0.95, random=np.random.default_rng(0)
    )
    assert bound.epsilon > 1 and bound.p_value(bound.epsilon) == pytest.approx(0.05, rel=1e-3)
    assert bound.p_value(0.5 * bound.epsilon) < 0.05 < bound.p_value(1.5 * bound.epsilon) <= 1
