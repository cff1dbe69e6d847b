"""Promises of a whole run: it learns, it says what travelled, and what was asked for is really done."""

from __future__ import annotations

import json

import numpy as np
import pytest

from core_model.checkpoint import open_checkpoint
from core_model.training_record import TrainingRecord
from federated.options import PrivacyPromise
from federated.record import read_federated_record
from federated.state import FederationState
from federated.telling import line
from privacy.claim import read_claim, supported
from tests.federated.world import folder, run

TIMES = ("seconds",)


def told(record) -> list[dict]:
    return [{name: value for name, value in entry.items() if name not in TIMES} for entry in record.rounds]


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    lines: list[str] = []
    out = tmp_path_factory.mktemp("plain") / "m"
    result = run(out, held_out=0.25, tell=lambda said: lines.append(line(said)))
    return result, lines


def test_the_result_is_an_ordinary_checkpoint_with_both_records(plain):
    result, _ = plain
    checkpoint = open_checkpoint(result.path)
    assert checkpoint.labels == ("negative", "positive")
    assert checkpoint.load_model().num_parameters() == checkpoint.parameters
    record = TrainingRecord.model_validate(checkpoint.training_record)
    assert record.model_sha256 == result.record.model_sha256 == checkpoint.files["model.safetensors"]
    assert record.evaluation == result.record.evaluation
    assert read_federated_record(result.path) == result.record
    assert not FederationState(result.path).folder.exists()


def test_the_record_says_who_had_which_rows_and_what_travelled(plain):
    result, _ = plain
    clients = result.record.partition["clients"]
    assert [client["rows"] for client in clients] == [16] * 4
    assert [client["held_out"] for client in clients] == [4] * 4
    rows = [json.loads(text) for text in (folder() / "train.jsonl").read_text().splitlines()]
    for label in ("negative", "positive"):
        assert sum(c["labels"][label] for c in clients) == sum(row["label"] == label for row in rows)
    first = result.record.rounds[0]
    assert first["asked"] == first["counted"] == [0, 1, 2, 3] and first["rejected"] == []
    numbers = sum(t.numel() for t in open_checkpoint(result.path).load_model().parameters())
    assert 4 * 4 * numbers < first["bytes_up"] < 1.5 * 4 * 4 * numbers + 100_000  # float32, four clients, and frames
    assert result.record.bytes_up == sum(entry["bytes_up"] for entry in result.record.rounds)
    assert first["clients_evaluation"]["n"] == 16 and len(first["clients_evaluation"]["clients"]) == 4


def test_progress_is_one_line_a_round(plain):
    _, lines = plain
    assert len(lines) == 2
    for part in ("round 1 of 2, loss 0.", "4 of 4 clients", "kB down", "kB up", "evaluation loss", "left"):
        assert part in lines[0]


def test_a_federation_of_one_client_learns_what_training_alone_learns(tmp_path):
    """FedAvg over one client is that client's training: the step is its own update, round by round."""
    from federated.local_training import train_locally
    from federated.rounds import local_options
    from federated.workbench import workbench
    from tests.federated.world import settings

    result = run(tmp_path / "m", clients=1)
    bench = workbench(settings(clients=1))
    model = bench.shared
    for number in (1, 2):
        update = train_locally(bench, 0, model, local_options(bench.federation, number)).update
        model = {name: model[name] + update[name] for name in model}
    saved = {n: p.detach().numpy() for n, p in open_checkpoint(result.path).load_model().named_parameters()}
    for name, array in model.items():
        np.testing.assert_allclose(saved[name], array, atol=1e-6)


def test_a_share_of_the_clients_is_asked_and_another_share_each_round(tmp_path):
    record = run(tmp_path / "m", clients=8, participation=0.5, rounds=6).record
    asked = [entry["asked"] for entry in record.rounds]
    assert all(len(clients) == 4 for clients in asked)
    assert len({tuple(clients) for clients in asked}) > 1
    assert told(run(tmp_path / "again", clients=8, participation=0.5, rounds=6).record) == told(record)


VARIANTS = {
    "fedprox": {"strategy": "fedprox", "proximal_mu": 0.1},
    "fedadam": {"strategy": "fedadam"},
    "fedmedian": {"strategy": "fedmedian"},
    "krum": {"strategy": "krum"},
    "trimmed-mean": {"strategy": "trimmed-mean", "malicious": 1},
    "dirichlet": {"partition": "dirichlet:1.0"},
    "steps": {"local_steps": 3, "optimizer": "sgd"},
}


@pytest.mark.parametrize("name", VARIANTS)
def test_every_strategy_and_scheme_ends_with_a_model(tmp_path, name):
    result = run(tmp_path / "m", **VARIANTS[name])
    assert open_checkpoint(result.path).labels and all(len(e["counted"]) == 4 for e in result.record.rounds)


def test_adapters_send_little_and_are_merged_in_the_end(tmp_path, plain):
    result = run(tmp_path / "m", adapters=2)
    assert result.record.bytes_up < plain[0].record.bytes_up / 2
    names = [name for name, _ in open_checkpoint(result.path).load_model().named_parameters()]
    assert not any("lora" in name for name in names) and (result.path / "adapter/adapter_config.json").is_file()


def test_what_is_held_still_is_not_sent(tmp_path, plain):
    from safetensors.numpy import load_file

    result = run(tmp_path / "m", freeze=("body",))
    assert result.record.bytes_up < plain[0].record.bytes_up / 4
    kept, moved = (load_file(path / "model.safetensors") for path in (folder() / "base", result.path))
    assert {n for n in moved if n not in kept or not (kept[n] == moved[n]).all()} == {
        "classifier.weight", "classifier.bias",
    }  # fmt: skip


def test_compressed_updates_are_smaller_on_the_wire(tmp_path, plain):
    whole = plain[0].record.rounds[0]["bytes_up"]
    for method, most in (("int8", 0.45), ("top-k:0.05", 0.3)):
        record = run(tmp_path / method.replace(":", "-"), compress=method).record
        assert record.rounds[0]["bytes_up"] < most * whole
        assert record.rounds[0]["counted"] == [0, 1, 2, 3]


def test_each_client_keeps_a_head_of_its_own(tmp_path):
    from safetensors.numpy import load_file

    result = run(tmp_path / "m", personalize="head", held_out=0.25)
    base = open_checkpoint(folder() / "base").load_model().state_dict()
    saved = open_checkpoint(result.path).load_model().state_dict()
    heads = [load_file(result.path / result.record.personal["files"][str(client)]) for client in range(4)]
    assert all(set(head) == {"classifier.weight", "classifier.bias"} for head in heads)
    assert not np.array_equal(heads[0]["classifier.weight"], heads[1]["classifier.weight"])
    assert np.array_equal(saved["classifier.weight"], base["classifier.weight"])  # the shared head never moved
    assert result.record.evaluation is None and len(result.record.clients_evaluation["clients"]) == 4


def test_a_secure_sum_is_the_plain_one_but_for_rounding(tmp_path):
    plain, masked = run(tmp_path / "plain"), run(tmp_path / "masked", secure=True)
    one, two = (open_checkpoint(r.path).load_model().state_dict() for r in (plain, masked))
    assert max(float((one[name] - two[name]).abs().max()) for name in one) < 1e-4
    assert masked.record.secure["quantization_error"] <= 1e-5
    assert {holds["part"] for holds in masked.record.secure["adversaries"]} >= {"the sum", "a poisoned update"}


PROMISES = {
    "to clients": {"private": PrivacyPromise(epsilon=8, clipping_norm=0.3, noise_seed=1)},
    "to clients that enter by coins": {
        "private": PrivacyPromise(epsilon=8, clipping_norm=0.3, noise_seed=1), "participation": 0.5,
    },
    "to clients under masks": {"private": PrivacyPromise(epsilon=8, clipping_norm=0.3, noise_seed=1), "secure": True},
    "to rows": {"private": PrivacyPromise(epsilon=8, unit="example", noise_seed=1)},
}  # fmt: skip


@pytest.mark.parametrize("name", PROMISES)
def test_a_promise_is_kept_and_borne_out_by_the_record(tmp_path, name):
    result = run(tmp_path / "m", **PROMISES[name])
    claim = read_claim(result.path)
    assert 0 < claim.epsilon <= 8
    assert claim.unit == ("example" if name == "to rows" else "client")
    assert supported(claim, json.loads((result.path / "training_record.json").read_text())) == []
    spent = [entry["epsilon"] for entry in result.record.rounds]
    assert spent == sorted(spent) and spent[-1] <= 8
    assert all(entry["train_loss"] is None for entry in result.record.rounds)  # no noise covers a loss
    if "coins" in name:  # the promise rests on nobody's knowing
        assert {entry["asked"] for entry in result.record.rounds} == {None}
        assert result.record.bytes_up is None
