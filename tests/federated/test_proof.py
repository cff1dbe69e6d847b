"""Promises of proof: what Flower lets pass without a word is refused here, with the reason."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from federated.arrays import Update, norm, of_record, to_record
from federated.departure import Arrival, arrive, depart
from federated.environment import quiet_flower
from federated.options import LocalOptions, NoiseShares, RecordPrivacy
from federated.proof import CLIPPED, MASKED, NOISY, Proof, RecordProof, check, code_sha256
from privacy.accounting import Ledger, Phase

quiet_flower()

from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict  # noqa: E402
from flwr.clientapp import ClientApp  # noqa: E402
from flwr.clientapp.mod import fixedclipping_mod  # noqa: E402
from flwr.serverapp.strategy import DifferentialPrivacyClientSideFixedClipping, FedAvg, FedProx  # noqa: E402

from federated.grid import InProcessGrid  # noqa: E402

LIKE: Update = {"w": np.zeros(100, dtype=np.float32)}
LONG: Update = {"w": np.full(100, 100.0, dtype=np.float32)}  # of length 1,000
SHARES = NoiseShares(noise_multiplier=1.0, shares=3, noise_seed=5)
ROWS = RecordPrivacy(epsilon=8.0, delta=1e-5, clipping_norm=1.0, rounds=3)


def asked(**changed: Any) -> LocalOptions:
    return LocalOptions(**{"round": 1, "batch_size": 8, "learning_rate": 0.1, **changed})


def home() -> RecordDict:
    return RecordDict()


def leave(update: Update, local: LocalOptions, **changed: Any) -> RecordDict:
    return RecordDict(depart(update, local, home=home(), client=0, **changed).records)


# What Flower does not notice -----------------------------------------------------------------------------------------


def flower_round(strategy: Any, app: ClientApp) -> tuple[Update, list[Message]]:
    """One round of a Flower strategy over two clients: the global model after it, and the replies."""
    grid = InProcessGrid(app, clients=2)
    messages = list(strategy.configure_train(1, to_record(LIKE), ConfigRecord(), grid))
    replies = list(grid.send_and_receive(messages))
    arrays, _ = strategy.aggregate_train(1, replies)
    return of_record(arrays), replies


def app_that_ignores_the_config(*mods: Any) -> ClientApp:
    app = ClientApp(mods=list(mods))

    @app.train()
    def train(message: Message, _: Any) -> Message:
        content = RecordDict({"arrays": to_record(LONG), "metrics": MetricRecord({"num-examples": 1})})
        return Message(content, reply_to=message)

    return app


def test_flower_adds_noise_for_a_length_that_nobody_kept_and_here_the_reply_is_refused():
    everybody = {"fraction_train": 1.0, "min_train_nodes": 2, "min_available_nodes": 2}

    def strategy() -> Any:
        return DifferentialPrivacyClientSideFixedClipping(FedAvg(**everybody), 0.01, 1.0, 2)

    with_mod, _ = flower_round(strategy(), app_that_ignores_the_config(fixedclipping_mod))
    without, replies = flower_round(strategy(), app_that_ignores_the_config())
    assert norm(with_mod) == pytest.approx(1.0, abs=0.1)
    assert norm(without) == pytest.approx(1000.0, rel=0.01)  # noise for length 1, and the whole update came through
    for reply in replies:
        assert arrive(reply.content, asked(clip=1.0), like=LIKE) == "it brings no proof of what it applied"


def test_flowers_fedprox_equals_fedavg_where_the_client_ignores_it_and_here_the_reply_is_refused():
    app = app_that_ignores_the_config()
    everybody = {"min_train_nodes": 2, "min_available_nodes": 2}
    prox, _ = flower_round(FedProx(proximal_mu=10.0, **everybody), app)
    plain, _ = flower_round(FedAvg(**everybody), app)
    assert np.array_equal(prox["w"], plain["w"])
    content = leave(LONG, asked(), proximal_mu=0.0)
    found = arrive(content, asked(proximal_mu=10.0), like=LIKE)
    assert found == "FedProx's mu = 10 had to be applied in each step; it applied 0"


# What fits and what does not -----------------------------------------------------------------------------------------

FITTING: dict[str, dict[str, Any]] = {
    "plain": {},
    "clipped": {"clip": 1.0},
    "clipped and compressed": {"clip": 1.0, "compression": "int8"},
    "top-k": {"compression": "top-k:0.1"},
    "FedProx": {"proximal_mu": 0.1},
    "noise shares under a mask": {"clip": 1.0, "noise_shares": SHARES, "secure": True},
}


@pytest.mark.parametrize("name", FITTING)
def test_a_client_that_does_what_was_asked_is_believed(name: str):
    local = asked(**FITTING[name])
    found = arrive(leave(LONG, local, proximal_mu=local.proximal_mu), local, like=LIKE, code=code_sha256())
    assert isinstance(found, Arrival), found
    if local.clip is not None and local.noise_shares is None and local.compression is None:
        assert norm(found.update) <= 1.0


def test_what_left_came_through_the_wire_unchanged():
    local = asked(clip=1.0)
    leaving = depart(LONG, local, home=home(), client=0)
    found = arrive(RecordDict(leaving.records), local, like=LIKE)
    assert isinstance(found, Arrival) and found.proof == leaving.proof
    assert np.array_equal(found.update["w"], leaving.update["w"])


def test_a_masked_clients_proof_tells_no_length():
    proof = depart(LONG, asked(clip=1.0, noise_shares=SHARES, secure=True), home=home(), client=0).proof
    assert (proof.norm_after, proof.within, proof.clipped_to) == (None, None, 1.0)
    assert proof.mods == (CLIPPED, NOISY, MASKED)
    assert proof.noise_shares is not None and proof.noise_shares.noise_seed is None


def changed_proof(local: LocalOptions, **changed: Any) -> Proof:
    return depart(LONG, local, home=home(), client=0).proof.model_copy(update=changed)


@pytest.mark.parametrize(
    ("local", "changed", "why"),
    [
        ({"clip": 1.0}, {"mods": ()}, "clipping had to be applied, in this order; it applied nothing"),
        ({"clip": 1.0}, {"clipped_to": None}, "clipped to nothing"),
        ({"clip": 1.0}, {"clipped_to": 2.0}, "to clip its update to 1, and clipped to 2"),
        ({"clip": 1.0}, {"norm_after": 1.1}, "has length 1.1, and 1 is the longest"),
        ({"clip": 1.0}, {"norm_after": float("nan")}, "has length nan"),
        ({"clip": 1.0}, {"norm_after": None}, "has length None"),
        ({"clip": 1.0}, {"within": None}, "does not say whether"),
        ({"clip": 1.0}, {"round": 2}, "is of round 2"),
        ({"clip": 1.0, "noise_shares": SHARES}, {"noise_shares": None}, "one of 3 shares of noise 1, and added no"),
        (
            {"clip": 1.0, "noise_shares": SHARES},
            {"noise_shares": NoiseShares(noise_multiplier=1.0, shares=30)},
            "added one of 30 shares",
        ),
        ({"compression": "int8"}, {"compression": None}, "compression = int8 were asked for"),
        ({"secure": True}, {"secure": False}, "secure = True"),
        ({"record_privacy": ROWS}, {}, "train by DP-SGD, and did not"),
        ({}, {"code_sha256": "0" * 64}, "runs other code"),
    ],
)
def test_a_proof_that_does_not_fit_is_refused_with_the_reason(local: dict[str, Any], changed: dict[str, Any], why: str):
    options = asked(**local)
    found = check(options, changed_proof(options, **changed), code=code_sha256())
    assert found is not None and why in found


def test_a_length_is_measured_whatever_the_proof_says():
    local = asked(clip=1.0)
    content = leave(LONG, local)
    content["arrays"] = to_record(LONG)
    found = arrive(content, local, like=LIKE)
    assert found == "its update has length 1000, and 1 is the longest"


@pytest.mark.parametrize(
    "record", [None, {}, {"proof": "{"}, {"proof": "{}"}, {"proof": 7}, {"proof": '{"round": 1, "code_sha256": 3}'}]
)
def test_what_is_no_proof_is_no_proof(record: dict[str, Any] | None):
    assert Proof.of_record(record) is None


def test_a_reply_without_its_update_is_refused():
    content = leave(LONG, asked())
    del content["arrays"]
    assert "arrays" in str(arrive(content, asked(), like=LIKE))
    compressed = leave(LONG, asked(compression="int8"))
    compressed["compressed"] = ArrayRecord()
    assert "cannot be unpacked" in str(arrive(compressed, asked(compression="int8"), like=LIKE))


# Proof of DP-SGD -----------------------------------------------------------------------------------------------------


def proof_of_rows(*phases: Phase, **changed: Any) -> Proof:
    ledger = Ledger(phases or (Phase(2.0, 0.1, 10),))
    said: dict[str, Any] = {
        "noise_multiplier": 2.0, "clipping_norm": 1.0, "steps": 10, "epsilon": 1.0, "delta": 1e-5,
        "ledger": ledger.to_json(),
    }  # fmt: skip
    local = asked(record_privacy=ROWS)
    return changed_proof(local, record_privacy=RecordProof(**{**said, **changed}))


def test_a_clients_ledger_is_accounted_again_and_not_believed():
    local = asked(record_privacy=ROWS)
    assert check(local, proof_of_rows()) is None
    spent = check(local, proof_of_rows(Phase(2.0, 1.0, 100), epsilon=1.0))
    assert spent is not None and "above the budget of 8" in spent


@pytest.mark.parametrize(
    ("proof", "why"),
    [
        (lambda: proof_of_rows(noise_multiplier=3.0), "does not end in them"),
        (lambda: proof_of_rows(steps=11), "does not end in them"),
        (lambda: proof_of_rows(clipping_norm=5.0), "clip rows' gradients to 1, and clipped to 5"),
        (lambda: proof_of_rows(delta=0.1), "delta 1e-05 was asked for"),
        (lambda: proof_of_rows(ledger="{}"), "cannot be accounted for"),
        (lambda: proof_of_rows(ledger="[" * 5000), "cannot be accounted for"),
        (lambda: proof_of_rows(Phase(2.0, 0.1, 10), Phase(0, 0.1, 1)), "does not end in them"),
        (lambda: proof_of_rows(Phase(0, 0.1, 1), Phase(2.0, 0.1, 10)), "composes to epsilon inf"),
    ],
)
def test_a_proof_of_dp_sgd_that_does_not_fit_is_refused(proof: Any, why: str):
    found = check(asked(record_privacy=ROWS), proof())
    assert found is not None and why in found
