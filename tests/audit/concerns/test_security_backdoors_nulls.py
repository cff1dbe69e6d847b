"""Promises of the nulls that a run fits itself: they are as wrong as they say, and see what stands out."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import betabinom

from audit.concerns.security.backdoors_nulls import beta_binomial, largest_p_value, share_p_value


def words(random: np.random.Generator, count: int, a: float, b: float) -> tuple[np.ndarray, np.ndarray]:
    rows = random.integers(5, 12, count)
    return random.binomial(rows, random.beta(a, b, count)), rows


def test_the_fit_finds_the_distribution_that_shares_were_drawn_from():
    hits, rows = words(np.random.default_rng(0), 4000, 2.0, 6.0)
    a, b = beta_binomial(hits, rows)
    assert a / (a + b) == pytest.approx(0.25, abs=0.01) and a + b == pytest.approx(8, rel=0.15)


def test_no_better_parameters_lie_nearby():
    """Oracle: scipy's own likelihood, on a grid around the fit."""
    hits, rows = words(np.random.default_rng(1), 40, 1.5, 5.0)
    a, b = beta_binomial(hits, rows)
    best = betabinom.logpmf(hits, rows, a, b).sum()
    grid = [(a * x, b * y) for x in (0.8, 0.95, 1.05, 1.25) for y in (0.8, 0.95, 1.05, 1.25)]
    assert all(betabinom.logpmf(hits, rows, *other).sum() <= best for other in grid)


def test_words_without_any_hit_leave_a_small_share():
    a, b = beta_binomial(np.zeros(30, dtype=int), np.full(30, 8))
    assert 0 < a / (a + b) < 0.01


def test_a_word_like_the_others_is_called_surprising_as_often_as_stated():
    """Simulation: 400 words beside 40 of their kind each; p below 5% in about 5% or fewer (shares are discrete)."""
    random = np.random.default_rng(2)
    called = 0
    for _ in range(400):
        hits, rows = words(random, 41, 2.0, 8.0)
        called += share_p_value(int(hits[0]), int(rows[0]), hits[1:], rows[1:]) < 0.05
    assert called <= 400 * 0.05 + 2 * np.sqrt(400 * 0.05 * 0.95)


def test_a_word_that_holds_all_its_rows_stands_out():
    hits, rows = words(np.random.default_rng(3), 40, 2.0, 8.0)
    assert share_p_value(12, 12, hits, rows) < 1e-3 and share_p_value(3, 12, hits, rows) > 0.1


@pytest.mark.parametrize("draw", ["normal", "exponential", "uniform"])
def test_the_best_of_many_leads_by_chance_no_more_often_than_stated(draw):
    """Simulation: the ten largest of 5,000; tails lighter than exponential make the test careful, not bold."""
    random = np.random.default_rng(4)
    values = np.sort(getattr(random, draw)(size=(600, 5000)), axis=1)[:, -10:]
    called = np.mean([largest_p_value(one) < 0.05 for one in values])
    assert called <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 600)
    if draw == "exponential":
        assert called > 0.03


def test_a_planted_lead_is_seen_and_order_does_not_matter():
    random = np.random.default_rng(5)
    values = np.sort(random.normal(size=5000))[-10:]
    assert largest_p_value(values) > 0.05
    values[-1] += 3
    assert largest_p_value(values) == largest_p_value(values[::-1]) < 0.001


def test_values_without_spread_say_nothing():
    assert largest_p_value(np.array([5.0, 1.0, 1.0, 1.0])) == 1.0
