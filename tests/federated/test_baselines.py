"""Promises of --with-solo and --with-pooled: ordinary checkpoints, on the right rows, and nothing finished is lost."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from core_model.checkpoint import open_checkpoint
from core_model.data import open_table
from core_model.training import train
from core_model.training_options import TrainingOptions
from core_model.training_record import read_record
from federated import baselines
from federated.options import PrivacyPromise
from federated.record import read_federated_record
from privacy.claim import read_claim
from tests.federated.test_command import federate, write
from tests.federated.world import LABELS, folder, settings

FLAGS = ("--partition", "column:site", "--with-solo", "--with-pooled")
PLACES = (*(f"solo/client-00{client}" for client in range(4)), "pooled")


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("baselines") / "m"
    assert federate(out, *FLAGS, "--local-epochs", "2") == 0
    return out


def hashes(out: Path) -> dict[str, str]:
    return {place: record.model_sha256 for place in PLACES if (record := read_record(out / place))}


def test_each_is_an_ordinary_checkpoint_of_its_own_rows_and_the_federations_budget(made):
    federation = read_federated_record(made)
    for place, client in zip(PLACES, [*federation.partition["clients"], {"rows": 64}], strict=True):
        record = read_record(made / place)
        assert record.data["rows"] == client["rows"]
        assert record.base["sha256"] == federation.base["sha256"]
        assert record.options["epochs"] == 2 * 2 and record.seed == federation.options["seed"]
        assert open_checkpoint(made / place).labels == LABELS


def test_a_client_alone_is_what_the_trainer_makes_of_its_rows(made, tmp_path):
    """The oracle is `core_model.training.train`, called by hand on the rows of site 1."""
    table = open_table(str(folder() / "train.jsonl"), group_columns=["site"])
    options = TrainingOptions(epochs=4, seed=0, batch_size=8, learning_rate=1e-3, warmup_steps=0, precision="float32")
    rows = table.select(np.flatnonzero(table.groups["site"] == "site 1"))
    alone = train(options, data=rows, base=open_checkpoint(folder() / "base"), out=tmp_path / "alone")
    assert alone.record.model_sha256 == read_record(made / "solo/client-001").model_sha256


def test_resuming_a_finished_federation_trains_only_what_is_missing(tmp_path, made, monkeypatch, capsys):
    """Cut off after two of four clients; then asked for what is left."""
    flags = (*FLAGS, "--local-epochs", "2")
    plain, done = baselines._train, []

    def counted(training, options, given, shown):
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(given["out"])
        plain(training, options, given, shown)

    with monkeypatch.context() as patch:
        patch.setattr(baselines, "_train", counted)
        assert federate(tmp_path / "m", *flags) == 130
    assert "--resume train what is missing" in capsys.readouterr().err
    assert len(hashes(tmp_path / "m")) == 2
    times = {place: (tmp_path / "m" / place / "model.safetensors").stat().st_mtime_ns for place in PLACES[:2]}
    assert federate(tmp_path / "m", *flags, "--resume") == 0
    assert hashes(tmp_path / "m") == hashes(made)
    assert times == {p: (tmp_path / "m" / p / "model.safetensors").stat().st_mtime_ns for p in PLACES[:2]}


def test_where_rows_are_promised_privacy_the_baselines_are_private_too(tmp_path):
    promise = ("--private", "--epsilon", "50", "--privacy-unit", "example", "--noise-seed", "5")
    few = ("--clients", "2", "--local-steps", "2", "--with-solo", "--with-pooled")
    assert federate(tmp_path / "m", *few, *promise) == 0
    for place in ("solo/client-000", "solo/client-001", "pooled"):
        claim = read_claim(tmp_path / "m" / place)
        assert claim.epsilon <= 50 and claim.unit == "example"
    assert read_claim(tmp_path / "m").epsilon <= 50


def test_steps_are_counted_as_steps():
    with_steps = settings(local_steps=3, rounds=4, optimizer="adam").federation
    alone, pooled = baselines.solo_options(with_steps, 4), baselines.pooled_options(with_steps, 4)
    assert (alone.max_steps, alone.epochs, alone.optimizer) == (12, None, "adam")
    assert pooled.max_steps == 12 * 4


def test_a_client_of_one_class_cannot_learn_alone_and_the_others_go_on(tmp_path, capsys):
    write("one-class.jsonl", lambda place, label: "positive" if place % 3 == 0 else label)
    flags = ("--partition", "column:site", "--with-solo", "--labels", "negative,positive", "--json")
    assert federate(tmp_path / "m", *flags, data="one-class.jsonl") == 0
    told = capsys.readouterr()
    assert "not trained: site 0 alone" in told.err and "one class, 'positive'" in told.err
    assert [Path(p).name for p in json.loads(told.out)["solo"]] == ["client-001", "client-002"]


BAD = {
    "an optimizer that the trainer has not": (("--optimizer", "sgd"), "--optimizer adamw"),
    "a run that kept nothing": (("--resume", "--keep-updates", "--local-epochs", "2"), "leave --keep-updates out"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_letter(made, capsys, case):
    flags, said = BAD[case]
    assert federate(made, *FLAGS, *flags) == 2
    told = capsys.readouterr().err
    assert said in told and "Traceback" not in told
    assert len(hashes(made)) == 5


def test_an_interrupted_training_is_not_overwritten(tmp_path, capsys):
    state = tmp_path / "m/solo/client-002/.training_state"
    state.mkdir(parents=True)
    (state / "state.json").write_text("{}")
    assert federate(tmp_path / "m", *FLAGS) == 2
    assert "client-002 holds an interrupted training run" in capsys.readouterr().err
    assert not (tmp_path / "m" / "config.json").exists()


def test_a_promise_to_clients_leaves_the_baselines_plain():
    promised = settings(private=PrivacyPromise(epsilon=8)).federation
    assert baselines.solo_options(promised, 2).clip_norm == 1.0
