"""Promises of `--tensorboard`: what a run tells is read back by TensorBoard's own reader, and nothing else is there."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from audit.main import run
from core_model import training_loop
from tests.core_model.training_world import planted_rows, tiny_base
from tests.factories import write_rows
from tests.federated.test_command import federate, folder

reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")


@pytest.fixture(scope="module")
def rows(tmp_path_factory) -> Path:
    made = tmp_path_factory.mktemp("rows")
    for name, count, seed in (("train", 64, 0), ("eval", 24, 1)):
        write_rows(made / f"{name}.jsonl", [{"text": text, "label": "ny"[y]} for text, y in planted_rows(count, seed)])
    return made


@pytest.fixture
def every_step(monkeypatch):
    """A run that tells of each step, however quick it is."""
    monkeypatch.setattr(training_loop, "REPORT_SECONDS", 0.0)


def train(rows: Path, place: Path, *more: str) -> int:
    return run(
        ["train", "--base", str(tiny_base().path), "--data", str(rows / "train.jsonl"), "--text-column", "text",
         "--label-column", "label", "--batch-size", "16", "--tensorboard", str(place / "runs"),
         "--out", str(place / "model"), *more]
    )  # fmt: skip


def read(place: Path, name: str = "model") -> dict[str, dict[int, float]]:
    """Tag -> step -> value."""
    events = reader.EventAccumulator(str(place / "runs" / name), size_guidance={"scalars": 0}).Reload()
    return {tag: {event.step: event.value for event in events.Scalars(tag)} for tag in events.Tags()["scalars"]}


def close(of: dict[int, float]) -> object:
    """Events are single precision."""
    return pytest.approx(of, rel=1e-6)


def test_loss_rate_and_evaluations_are_those_of_the_record(rows, tmp_path, every_step):
    more = ("--eval-data", str(rows / "eval.jsonl"), "--epochs", "2", "--learning-rate", "1e-3")
    assert train(rows, tmp_path, *more, "--warmup-steps", "0") == 0
    history = json.loads((tmp_path / "model" / "training_record.json").read_text())["history"]
    found = read(tmp_path)
    assert set(found) == {"training/loss", "training/learning_rate", "training/rows_per_second", "training/mean_loss",
                          "evaluation/loss", "evaluation/accuracy"}  # fmt: skip
    assert list(found["training/loss"]) == list(range(1, 9)) and len(history) == 2
    assert found["training/learning_rate"] == close(
        {step: 1e-3 * (9 - step) / 8 for step in range(1, 9)}
    )  # linear to 0
    assert found["training/mean_loss"] == close({entry["step"]: entry["train_loss"] for entry in history})
    for key in ("loss", "accuracy"):
        assert found[f"evaluation/{key}"] == close({one["step"]: one["evaluation"][key] for one in history})
    losses = found["training/loss"]
    assert sum(losses[step] for step in range(1, 5)) / 4 == pytest.approx(history[0]["train_loss"], rel=1e-5)


def test_a_private_run_tells_what_epsilon_was_spent(rows, tmp_path, every_step):
    assert train(rows, tmp_path, "--epochs", "1", "--private", "--epsilon", "8") == 0
    spent = list(read(tmp_path)["privacy/epsilon"].values())
    claim = json.loads((tmp_path / "model" / "privacy.json").read_text())["epsilon"]
    assert spent == sorted(spent) and 0 < spent[0] <= spent[-1] <= claim * (1 + 1e-6)


def test_a_federation_tells_of_its_rounds(tmp_path):
    more = ("--clients", "3", "--eval-data", str(folder() / "test.jsonl"), "--tensorboard", str(tmp_path / "runs"))
    assert federate(tmp_path / "model", *more) == 0
    rounds = json.loads((tmp_path / "model" / "federated_record.json").read_text())["rounds"]
    found = read(tmp_path)
    assert list(found["training/loss"]) == list(found["evaluation/loss"]) == [1, 2]
    assert found["federation/clients"] == {1: 3, 2: 3} and len(rounds) == 2
    assert "privacy/epsilon" not in found


def test_another_runs_events_are_not_mixed_with_these(rows, tmp_path, capsys):
    (tmp_path / "runs" / "model").mkdir(parents=True)
    (tmp_path / "runs" / "model" / "events.out.tfevents.1.elsewhere").write_bytes(b"")
    assert train(rows, tmp_path, "--epochs", "1") == 2
    assert "holds the events of another run" in capsys.readouterr().err and not (tmp_path / "model").exists()


def test_without_the_package_a_letter_comes_before_the_training(rows, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    assert train(rows, tmp_path, "--epochs", "1") == 2
    assert "pip install 'aboveboard[tensorboard]'" in capsys.readouterr().err
    assert not (tmp_path / "model").exists() and not (tmp_path / "runs").exists()
