"""Promises of canary clients: fair coins, the same ones after a restart, and never more rounds than are paid for."""

from __future__ import annotations

from math import ceil, sqrt
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest

from benchmarks.federated_canaries import EPSILON, bound_of_a_federation
from core_model.errors import CheckpointDamaged, OptionUnfit
from federated import client_promise
from federated.arrays import norm
from federated.canary_run import NAME, CanaryRun
from federated.client_privacy import private_mean
from federated.client_promise import refuse_unfit
from federated.options import FederationOptions, PrivacyPromise

LIKE = {"a": np.zeros((40, 50), np.float32), "b": np.zeros(1000, np.float32)}


def canaries(folder: Path, count: int = 400, seed: int | None = 3) -> CanaryRun:
    return CanaryRun(folder / NAME, count=count, length=10.0, seed=seed)


def test_about_half_take_part_and_a_restart_knows_which(tmp_path):
    first = canaries(tmp_path, seed=None)
    assert binomtest(int(first.included.sum()), 400).pvalue > 1e-4
    again = canaries(tmp_path, seed=None)
    assert np.array_equal(first.included, again.included)
    one, other = (next(run.of_round(1, rate=1.0, sampling="none", like=LIKE)) for run in (first, again))
    assert all(np.array_equal(one[name], other[name]) for name in LIKE)
    assert norm(one) == pytest.approx(10.0, rel=1e-5)
    (tmp_path / "other").mkdir()
    assert not np.array_equal(first.included, canaries(tmp_path / "other", seed=None).included)


def test_those_that_take_part_come_by_the_coins_and_turns_of_the_promise(tmp_path):
    run = canaries(tmp_path)
    assert np.array_equal(run.taking_part(1, rate=1.0, sampling="none"), np.flatnonzero(run.included))
    came = [run.taking_part(number, rate=0.3, sampling="poisson") for number in range(1, 51)]
    assert set(np.concatenate(came)) <= set(np.flatnonzero(run.included))
    assert binomtest(sum(map(len, came)), 50 * int(run.included.sum()), 0.3).pvalue > 1e-4


@pytest.mark.parametrize("rate", [0.3, 0.5, 2 / 3])
def test_in_turns_nobody_comes_more_often_than_a_client_pays_for(tmp_path, rate: float):
    run = canaries(tmp_path)
    rounds = 17
    came = np.bincount(
        np.concatenate([run.taking_part(number, rate=rate, sampling="none") for number in range(1, rounds + 1)]),
        minlength=run.count,
    )
    assert came.max() <= ceil(rounds * rate) and came[run.included].min() >= int(rounds * rate)


def test_what_they_send_is_clipped_as_everybody_s_update_is(tmp_path):
    run = canaries(tmp_path, count=8)
    step = private_mean(
        run.of_round(1, rate=1.0, sampling="none", like=LIKE), like=LIKE, clipping_norm=1.0, noise_multiplier=0.0,
        expected_clients=1.0, generator=np.random.default_rng(0),
    )  # fmt: skip
    # Directions are nearly orthogonal: the sum of k of length 1 is about sqrt(k) long.
    assert norm(step) == pytest.approx(sqrt(run.included.sum()), rel=0.1)
    told = run.told(step)
    cosines, included = np.array(told["cosines"]), np.array(told["included"])
    assert cosines[included].min() > 0.2 > 0.1 > np.abs(cosines[~included]).max()
    assert told["dimensions"] == 3000 and told["synthetic"]
    assert told["seed"] == str(run.seed)  # as text: JSON numbers keep 53 bits


def test_silent_noise_is_caught_in_every_run_and_honest_noise_in_none(tmp_path, monkeypatch):
    """Over three rounds of a promise to ten clients; `benchmarks.federated` has more runs."""
    honest = [bound_of_a_federation(tmp_path / f"honest-{run}") for run in range(4)]
    monkeypatch.setattr(
        client_promise, "private_mean", lambda updates, **how: private_mean(updates, **{**how, "noise_multiplier": 0.0})
    )
    silent = [bound_of_a_federation(tmp_path / f"silent-{run}") for run in range(4)]
    assert max(honest) <= EPSILON < min(silent)


def test_a_seed_that_cannot_be_read_is_never_replaced_by_another_one(tmp_path):
    (tmp_path / NAME).write_text("{}")
    with pytest.raises(CheckpointDamaged, match="nobody knows any more who took part"):
        canaries(tmp_path)


@pytest.mark.parametrize(("changed", "why"), [({"unit": "example"}, "promises something to rows"),
                                              ({"canary_clients": 1}, "needs 2 at least")])  # fmt: skip
def test_canaries_that_would_prove_nothing_are_refused(changed: dict[str, object], why: str):
    promise = PrivacyPromise.model_validate({"epsilon": 1.0, "canary_clients": 100, **changed})
    with pytest.raises(OptionUnfit, match=why):
        refuse_unfit(FederationOptions(clients=4, private=promise))
