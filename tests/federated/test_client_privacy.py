"""Promises of the mechanism: what one client can move, and how much noise is on it, whoever adds it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.stats import kstest
from scipy.stats import norm as normal

from federated.arrays import Update, norm, subtract
from federated.client_privacy import clip_update, noise_against, noise_share, private_mean

LIKE: Update = {"a": np.zeros((20, 30), dtype=np.float32), "b": np.zeros(400, dtype=np.float32)}


def update_of(length: float, seed: int = 0) -> Update:
    random = np.random.default_rng(seed)
    made = {name: random.normal(size=array.shape).astype(np.float32) for name, array in LIKE.items()}
    return {name: np.float32(length / norm(made)) * array for name, array in made.items()}


def flat(update: Update) -> np.ndarray:
    return np.concatenate([array.ravel() for array in update.values()])


@pytest.mark.parametrize("length", [0.01, 0.999, 1.0001, 3.0, 1e6, 1e30])
def test_what_is_clipped_is_never_longer_and_points_the_same_way(length: float):
    update = update_of(length)
    clipped, after = clip_update(update, 1.0)
    assert after == norm(clipped) <= 1.0
    assert after == pytest.approx(min(length, 1.0), rel=1e-5)
    one, other = flat(update).astype(np.float64), flat(clipped).astype(np.float64)
    assert one @ other / np.linalg.norm(one) / np.linalg.norm(other) == pytest.approx(1.0, abs=1e-6)


def test_an_update_of_all_arrays_is_clipped_as_one():
    clipped, _ = clip_update({"a": np.full(9, 3, np.float32), "b": np.full(16, 3, np.float32)}, 3.0)
    assert clipped["a"] == pytest.approx(np.full(9, 3 * 3 / 15), rel=1e-5)  # 15 is the length over both


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_numbers_that_are_not_finite_are_refused(bad: float):
    broken = {**update_of(1.0), "b": np.full(400, bad, dtype=np.float32)}
    with pytest.raises(ValueError, match="not finite"):
        clip_update(broken, 1.0)


def mean_of(updates: list[Update], seed: int = 0, **changed: Any) -> Update:
    settings: dict[str, Any] = {"clipping_norm": 1.0, "noise_multiplier": 2.0, "expected_clients": 8.0}
    return private_mean(updates, like=LIKE, generator=np.random.default_rng(seed), **{**settings, **changed})


def test_without_noise_it_is_the_sum_of_clipped_updates_over_the_public_number():
    updates = [update_of(length, seed) for seed, length in enumerate((0.5, 2.0, 7.0))]
    slow = np.zeros(1000)
    for update in updates:
        slow += flat(update) * min(1.0, 1.0 / norm(update))
    assert flat(mean_of(updates, noise_multiplier=0.0)) == pytest.approx(slow / 8, abs=1e-7)


def test_one_client_more_or_less_moves_the_mean_by_no_more_than_the_norm_over_the_public_number():
    updates = [update_of(1.0, seed) for seed in range(5)]
    hostile = update_of(1e20, 99)
    moved = subtract(mean_of([*updates, hostile], noise_multiplier=0.0), mean_of(updates, noise_multiplier=0.0))
    assert norm(moved) == pytest.approx(1 / 8, rel=1e-4)


def test_the_noise_has_the_deviation_that_is_accounted_and_is_there_without_clients():
    noise = flat(mean_of([], noise_multiplier=2.0, clipping_norm=3.0))
    assert kstest(noise, normal(scale=2.0 * 3.0 / 8).cdf).pvalue > 0.001
    assert np.std(noise) == pytest.approx(0.75, rel=0.1)


def shared(clients: int, shares: int) -> np.ndarray:
    silent = dict(LIKE)
    parts = [
        noise_share(silent, clipping_norm=3.0, noise_multiplier=2.0, shares=shares, generator=np.random.default_rng(s))
        for s in range(clients)
    ]
    return np.sum([flat(part) for part in parts], axis=0)


def test_the_fewest_survivors_shares_make_the_whole_noise_and_more_make_more():
    assert kstest(shared(4, shares=4), normal(scale=6.0).cdf).pvalue > 0.001
    assert kstest(shared(9, shares=4), normal(scale=6.0 * 1.5).cdf).pvalue > 0.001
    assert np.std(shared(3, shares=4)) < 6.0 * 0.95  # too little: `ClientPromise.of_sum` refuses such a sum


def test_clients_that_tell_their_shares_take_them_away():
    known = shared(4, shares=4) - shared(1, shares=4)  # the first client tells its own
    assert np.std(known) == pytest.approx(noise_against(2.0, shares=4, colluding=1) * 3.0, rel=0.1)
    assert noise_against(2.0, shares=4, colluding=4) == 0.0
