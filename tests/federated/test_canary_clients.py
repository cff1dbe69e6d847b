"""Promises of canary clients: they find the epsilon that a mechanism has, betray a missing one, and never exceed it."""

from __future__ import annotations

from math import exp, sqrt

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.stats import kstest
from scipy.stats import norm as normal

from core_model.errors import OptionUnfit
from federated.arrays import Update, norm
from federated.canary_clients import (
    canary_bound,
    canary_cosines,
    canary_updates,
    epsilon_between,
    one_shot_epsilon,
)
from federated.client_privacy import noise_share, private_mean
from privacy.accounting import Ledger, Phase

DIMENSIONS = 20_000
LIKE: Update = {"a": np.zeros((100, 150), dtype=np.float32), "b": np.zeros(5_000, dtype=np.float32)}
DELTA = 1e-3


def gaussian_epsilon(noise: float, delta: float = DELTA) -> float:
    """Of one release, exactly: Balle and Wang 2018, arXiv:1805.06530, theorem 8."""
    mu = 1 / noise
    return float(brentq(lambda e: normal.cdf(mu / 2 - e / mu) - exp(e) * normal.cdf(-mu / 2 - e / mu) - delta, 0, 50))


def canaries(count: int, seed: int = 0) -> list[Update]:
    return canary_updates(LIKE, count, length=1.0, random=np.random.default_rng(seed))


def released(updates: list[Update], noise: float, seed: int = 9) -> Update:
    return private_mean(
        updates, like=LIKE, clipping_norm=1.0, noise_multiplier=noise, expected_clients=10,
        generator=np.random.default_rng(seed),
    )  # fmt: skip


# The arithmetic ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("noise", [0.5, 1.0, 4.0])
def test_two_normal_laws_of_one_deviation_have_the_epsilon_of_the_gaussian_mechanism(noise: float):
    assert epsilon_between(1 / noise, 1.0, delta=DELTA) == pytest.approx(gaussian_epsilon(noise), abs=1e-4)
    assert Ledger((Phase(noise, 1.0, 1, "none"),)).epsilon(DELTA) == pytest.approx(gaussian_epsilon(noise), rel=0.01)


@pytest.mark.parametrize(("mean", "deviation"), [(1.0, 0.7), (2.0, 1.3), (0.0, 1.5), (-1.0, 0.8), (0.3, 1.001)])
def test_laws_of_two_deviations_are_what_a_slow_sum_says(mean: float, deviation: float):
    epsilon = epsilon_between(mean, deviation, delta=DELTA)
    x = np.linspace(-40, 40, 800_001)
    p, q = normal.pdf(x, mean, deviation), normal.pdf(x)
    sticks = [np.clip(one - exp(epsilon) * other, 0, None).sum() * (x[1] - x[0]) for one, other in ((p, q), (q, p))]
    assert max(sticks) == pytest.approx(DELTA, rel=1e-3)


def test_laws_that_are_alike_have_no_epsilon_and_laws_that_never_meet_have_no_bound():
    assert epsilon_between(0.0, 1.0, delta=DELTA) == 0.0
    assert epsilon_between(1e-4, 1.0, delta=DELTA) == 0.0
    assert epsilon_between(1.0, 0.0, delta=DELTA) == float("inf")


def test_canaries_have_the_longest_length_and_those_left_out_are_orthogonal():
    made = canaries(400)
    assert [norm(canary) for canary in made[:5]] == pytest.approx([1.0] * 5, rel=1e-5)
    cosines = canary_cosines(made, released(canaries(5, seed=1), 1.0))
    assert kstest(cosines * sqrt(DIMENSIONS), normal.cdf).pvalue > 0.001
    assert canary_cosines(made[:2], LIKE) == pytest.approx([0, 0])


# What a server sees --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("noise", [1.0, 2.0])
def test_the_estimate_finds_the_epsilon_of_the_mechanism(noise: float):
    """Andrew et al. 2023: the cosines are N(1 / (noise sqrt(d)), 1 / d) where canaries are few against d."""
    taking_part = canaries(500)
    cosines = canary_cosines(taking_part, released(taking_part, noise))
    found = one_shot_epsilon(cosines, dimensions=DIMENSIONS, delta=DELTA)
    assert found.mean * sqrt(DIMENSIONS) == pytest.approx(1 / noise, abs=4 / sqrt(500))
    assert found.deviation * sqrt(DIMENSIONS) == pytest.approx(1.0, abs=4 / sqrt(2 * 500))
    # A deviation that is 3% off, one standard error of 500 canaries, moves a small epsilon by a quarter.
    assert gaussian_epsilon(noise) / 2 < found.epsilon < gaussian_epsilon(noise) * 2


def test_a_federation_without_noise_is_found_out_even_in_the_sum():
    taking_part = canaries(100)
    silent = one_shot_epsilon(
        canary_cosines(taking_part, released(taking_part, 0.0)), dimensions=DIMENSIONS, delta=DELTA
    )
    assert silent.epsilon > 50


def test_a_plain_update_is_its_canary_whatever_noise_the_server_adds_later():
    [canary] = canaries(1)
    assert canary_cosines([canary], canary) == pytest.approx([1.0])


def test_the_sum_of_noisy_shares_tells_as_little_as_noise_of_the_server():
    taking_part = canaries(60)
    shares = [
        noise_share(
            canary, clipping_norm=1.0, noise_multiplier=2.0, shares=60, generator=np.random.default_rng(1000 + place)
        )
        for place, canary in enumerate(taking_part)
    ]
    total = {name: np.sum([share[name] for share in shares], axis=0) for name in LIKE}
    found = one_shot_epsilon(canary_cosines(taking_part, total), dimensions=DIMENSIONS, delta=DELTA)
    assert found.epsilon < 3 * gaussian_epsilon(2.0)  # and without noise it is above 50, as the test above has it


def bound_at(noise: float) -> float:
    every, coins = canaries(200), np.random.default_rng(5).random(200) < 0.5
    step = released([canary for canary, taken in zip(every, coins, strict=True) if taken], noise)
    return canary_bound(canary_cosines(every, step), coins, delta=1e-5, random=np.random.default_rng(6)).epsilon


def test_the_bound_stays_below_what_is_true_and_rises_where_noise_is_missing():
    assert 0.0 < bound_at(0.5) <= gaussian_epsilon(0.5, 1e-5)
    assert bound_at(0.0) > 3.0  # 200 right guesses of 200


def test_one_canary_is_not_enough_for_an_estimate():
    with pytest.raises(OptionUnfit, match="1 canary clients"):
        one_shot_epsilon(np.array([0.1]), dimensions=10, delta=DELTA)
