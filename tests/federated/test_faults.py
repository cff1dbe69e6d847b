"""Promises under fault: a hostile, dead or slow client is named and not averaged; the last good model is kept."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

import numpy as np
import pytest

import federated.client
from core_model.checkpoint import open_checkpoint
from federated.arrays import Update, of_record, to_record
from federated.roster import ClientsGone
from federated.state import FederationState
from tests.federated.world import run

Spoil = Callable[[Update], Update]


class Troubled:
    """The client app, and trouble with some clients from some round on."""

    def __init__(self, trouble: dict[int, Callable], since: int = 1) -> None:
        self.app, self.trouble, self.since = federated.client.app, trouble, since

    def __call__(self, message, context):
        client = context.node_config["partition-id"]
        if message.metadata.message_type != "train" or client not in self.trouble:
            return self.app(message, context)
        if message.content["config"]["server-round"] < self.since:
            return self.app(message, context)
        return self.trouble[client](lambda: self.app(message, context))


def spoiled(spoil: Spoil) -> Callable:
    """A client whose update is changed after its proof was written."""

    def answer(call):
        reply = call()
        reply.content["arrays"] = to_record(spoil(of_record(reply.content["arrays"])))
        return reply

    return answer


def dies(call):
    raise RuntimeError("killed in the middle of a step")


def sleeps(call):
    time.sleep(0.6)
    return call()


def without_proof(call):
    reply = call()
    del reply.content["proof"]
    return reply


def boasts(call):
    reply = call()
    reply.content["metrics"]["num-examples"] = 10**9
    return reply


def no_array(call):
    from flwr.app import Array, ArrayRecord

    reply = call()
    names = reply.content["arrays"]
    broken = {name: Array("float32", array.shape, "numpy.ndarray", b"no array") for name, array in names.items()}
    reply.content["arrays"] = ArrayRecord(broken)
    return reply


def scaled(factor: float) -> Callable:
    return spoiled(lambda update: {name: array * np.float32(factor) for name, array in update.items()})


TROUBLE = {
    "NaN": (spoiled(lambda u: {n: np.full_like(a, np.nan) for n, a in u.items()}), "not finite"),
    "wrong shapes": (spoiled(lambda u: {n: a.ravel() for n, a in u.items()}), "wrong shapes"),
    "a missing array": (spoiled(lambda u: dict(list(u.items())[1:])), "wrong names"),
    "a huge norm": (scaled(1e4), "its update is too long"),
    "a dead client": (dies, "failed: RuntimeError: killed in the middle of a step"),
    "no proof": (without_proof, "no proof of what it applied"),
    "more rows than it has": (boasts, "claims 1000000000 rows"),
    "bytes that are no array": (no_array, "it cannot be unpacked"),
}


@pytest.mark.parametrize("name", TROUBLE)
def test_trouble_with_one_client_is_named_and_the_others_make_the_model(tmp_path, monkeypatch, name):
    trouble, why = TROUBLE[name]
    monkeypatch.setattr(federated.client, "app", Troubled({2: trouble}))
    result = run(tmp_path / "m")
    for entry in result.record.rounds:
        assert entry["asked"] == [0, 1, 2, 3] and entry["counted"] == [0, 1, 3]
        [rejected] = entry["rejected"]
        assert (rejected["client"], rejected["name"]) == (2, "client 2") and why in rejected["why"]
    without = dict(open_checkpoint(result.path).load_model().named_parameters())
    assert all(np.isfinite(p.detach().numpy()).all() and abs(p).max() < 10 for p in without.values())


def test_the_rejected_clients_weigh_nothing(tmp_path, monkeypatch):
    """Whatever two different poisons do, the model is the one of the three others."""
    shas = []
    for place, trouble in enumerate((scaled(1e4), scaled(-1e6))):
        with monkeypatch.context() as patch:
            patch.setattr(federated.client, "app", Troubled({2: trouble}))
            shas.append(run(tmp_path / str(place)).record.model_sha256)
    assert shas[0] == shas[1]
    assert shas[0] != run(tmp_path / "whole").record.model_sha256


def test_a_slow_client_is_left_out_at_the_deadline(tmp_path, monkeypatch):
    run(tmp_path / "warm", rounds=1)
    monkeypatch.setattr(federated.client, "app", Troubled({1: sleeps}))
    result = run(tmp_path / "m", deadline=0.5)
    for entry in result.record.rounds:
        assert [r["client"] for r in entry["rejected"]] == [1]
        assert "no answer within 0.5 s" in entry["rejected"][0]["why"]


def test_with_too_few_sound_answers_the_run_ends_and_its_last_good_model_is_kept(tmp_path, monkeypatch):
    good = run(tmp_path / "good", rounds=1)
    with monkeypatch.context() as patch:
        patch.setattr(federated.client, "app", Troubled({0: dies, 1: dies, 3: dies}, since=2))
        with pytest.raises(ClientsGone) as told:
            run(tmp_path / "m", rounds=4, min_clients=2)
    said = str(told.value)
    assert "round 2: 1 of 4 clients gave a sound answer, 2 are needed (--min-clients)" in said
    assert "the model of round 1 is kept" in said and "client 0: failed" in said and told.value.exit_code == 2
    kept, best = (open_checkpoint(tmp_path / name).load_model().state_dict() for name in ("m", "good"))
    assert all(np.array_equal(kept[name], best[name]) for name in best)
    assert good.record.rounds[0]["counted"] == [0, 1, 2, 3]
    # When the clients are well again the run goes on, as if nothing had been.
    resumed = run(tmp_path / "m", resume=True, rounds=4, min_clients=2)
    assert resumed.record.model_sha256 == run(tmp_path / "whole", rounds=4, min_clients=2).record.model_sha256


def test_all_clients_gone_in_the_first_round_is_a_clear_end(tmp_path, monkeypatch):
    monkeypatch.setattr(federated.client, "app", Troubled(dict.fromkeys(range(4), dies)))
    with pytest.raises(ClientsGone, match=r"0 of 4 clients gave a sound answer.*nothing was learnt yet"):
        run(tmp_path / "m")
    assert not (tmp_path / "m" / "config.json").exists()


def test_krum_and_the_median_bear_a_poison_of_ordinary_length(tmp_path, monkeypatch):
    """Screening cannot see it: an update turned round is no longer than others'."""
    honest = open_checkpoint(run(tmp_path / "honest", clients=5).path).load_model().state_dict()
    distance = {}
    for strategy in ("fedavg", "fedmedian", "krum"):
        with monkeypatch.context() as patch:
            patch.setattr(federated.client, "app", Troubled({0: scaled(-9)}))
            out = run(tmp_path / strategy, clients=5, strategy=strategy, malicious=int(strategy == "krum")).path
        poisoned = open_checkpoint(out).load_model().state_dict()
        distance[strategy] = sum(float((poisoned[name] - honest[name]).square().sum()) for name in honest)
    assert distance["fedmedian"] < distance["fedavg"] / 2 and distance["krum"] < distance["fedavg"] / 2


def test_a_secure_round_goes_on_without_a_client_that_dies(tmp_path, monkeypatch):
    monkeypatch.setattr(federated.client, "app", Troubled({2: dies}))
    result = run(tmp_path / "m", clients=5, secure=True)
    assert all(entry["counted"] == [0, 1, 3, 4] for entry in result.record.rounds)
    assert "killed in the middle" in result.record.rounds[0]["rejected"][0]["why"]


def test_a_secure_round_with_too_few_survivors_ends_and_the_last_model_is_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(federated.client, "app", Troubled(dict.fromkeys(range(3), dies), since=2))
    with pytest.raises(ClientsGone, match=r"round 2: secure aggregation: 2 clients are left.*round 1 is kept") as told:
        run(tmp_path / "m", clients=5, secure=True)
    assert told.value.exit_code == 2 and open_checkpoint(tmp_path / "m").labels


def test_a_client_that_does_not_clip_is_refused_under_a_promise(tmp_path, monkeypatch):
    from federated.options import PrivacyPromise

    promise = PrivacyPromise(epsilon=8, clipping_norm=0.01)
    monkeypatch.setattr(federated.client, "app", Troubled({2: scaled(50)}))
    result = run(tmp_path / "m", private=promise)
    assert all(entry["counted"] == [0, 1, 3] for entry in result.record.rounds)
    assert "its update has length" in result.record.rounds[0]["rejected"][0]["why"]


def test_ctrl_c_keeps_the_rounds_that_were_done(tmp_path, monkeypatch):
    def presses(call):
        os.kill(os.getpid(), signal.SIGINT)
        return call()

    with monkeypatch.context() as patch:
        patch.setattr(federated.client, "app", Troubled({1: presses}, since=2))
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "m", rounds=3)
    assert FederationState(tmp_path / "m").exists
    resumed = run(tmp_path / "m", rounds=3, resume=True)
    assert resumed.record.model_sha256 == run(tmp_path / "whole", rounds=3).record.model_sha256
