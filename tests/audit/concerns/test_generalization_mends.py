"""Promises of generalization's advice: the printed command runs as it stands and helps."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

import audit
from audit.commands.calibrate import calibrate
from audit.commands.train import train as train_from_command_line
from core_model.checkpoint import open_checkpoint
from core_model.data import open_table
from core_model.prediction import Predictor
from core_model.training import train
from core_model.training_options import TrainingOptions
from reports.record import Metric, Record
from tests.core_model.mitigation_world import fair_rows, table_of
from tests.core_model.training_world import tiny_base
from tests.factories import write_rows


def audited(checkpoint: Path, data: Path) -> Record:
    return audit.run(
        checkpoint, data=data, label_column="label", text_column="text", only=["generalization"],
        out=data.parent / f"audit-{checkpoint.name}-{data.stem}",
    )  # fmt: skip


def the(record: Record, name: str) -> Metric:
    return next(m for m in record.audits[0].metrics if m.name == name)


def error(record: Record) -> Metric:
    return the(record, "expected_calibration_error")


@pytest.fixture(scope="module")
def sick(tmp_path_factory) -> tuple[Path, Record]:
    """A model whose logits were multiplied by 6; and its audit."""
    folder = tmp_path_factory.mktemp("sure")
    for name, seed in (("test", 3), ("validation", 4)):
        write_rows(folder / f"{name}.jsonl", fair_rows(500, seed))
    options = TrainingOptions(epochs=5, learning_rate=2e-3)
    train(options, base=tiny_base(), data=table_of(fair_rows(400, 0)), out=folder / "honest")
    honest = open_checkpoint(folder / "honest")
    model = honest.load_model()
    with torch.no_grad():
        model.classifier.weight.mul_(6)
        model.classifier.bias.mul_(6)
    model.save_pretrained(folder / "sick")
    honest.load_tokenizer().save_pretrained(folder / "sick")
    return folder, audited(folder / "sick", folder / "test.jsonl")


def mended(folder: Path, command: str, *, by: str, monkeypatch) -> Path:
    program, verb, *words = shlex.split(command.replace("EVAL_FILE", str(folder / f"{by}.jsonl")))
    assert (program, verb, words[0]) == ("aboveboard", "calibrate", str(folder / "sick"))
    where = folder / f"by-{by}"
    where.mkdir()
    monkeypatch.chdir(where)
    result = CliRunner().invoke(calibrate, words)
    assert result.exit_code == 0, (result.output, result.exception)
    assert "the model was too sure" in result.output
    return where / "calibrated"


def test_the_printed_command_mends_the_calibration_and_no_answer_changes(sick, monkeypatch):
    folder, before = sick
    [found] = [f for f in before.audits[0].findings if f.id == "generalization-miscalibrated"]
    path = mended(folder, found.mitigation.command, by="validation", monkeypatch=monkeypatch)
    after = audited(path, folder / "test.jsonl")
    assert error(after).value < error(before).value / 2
    assert error(after).interval[1] < error(before).interval[0]  # not by chance
    texts = open_table(folder / "test.jsonl", text_column="text").texts
    answers = [Predictor(open_checkpoint(p)).predict(texts).predicted for p in (folder / "sick", path)]
    assert (answers[0] == answers[1]).all()
    assert not any("chose the model's temperature" in note for note in after.audits[0].notes)


def test_rows_that_chose_the_temperature_are_told_of_when_they_judge(sick, monkeypatch):
    folder, before = sick
    [found] = [f for f in before.audits[0].findings if f.id == "generalization-miscalibrated"]
    path = mended(folder, found.mitigation.command, by="test", monkeypatch=monkeypatch)
    notes = audited(path, folder / "test.jsonl").audits[0].notes
    assert any("These very rows chose the model's temperature" in note for note in notes)


@pytest.fixture(scope="module")
def overfitted(tmp_path_factory) -> tuple[Path, Record]:
    """A model that saw 120 rows thirty times; a fifth of their labels are noise, which it remembers."""
    folder = tmp_path_factory.mktemp("overfitted")
    for name, count, seed in (("train", 120, 0), ("test", 400, 5), ("validation", 200, 6)):
        write_rows(folder / f"{name}.jsonl", fair_rows(count, seed))
    options = TrainingOptions(epochs=30, batch_size=16, learning_rate=2e-3)
    train(options, base=tiny_base(), data=table_of(fair_rows(120, 0)), out=folder / "sick")
    return folder, with_training(folder / "sick", folder)


def with_training(checkpoint: Path, folder: Path) -> Record:
    return audit.run(
        checkpoint, data=folder / "test.jsonl", train_data=str(folder / "train.jsonl"), label_column="label",
        text_column="text", only=["generalization"], out=folder / f"audit-{checkpoint.parent.name}",
    )  # fmt: skip


def test_the_printed_command_closes_most_of_the_gap_to_the_training_rows(overfitted, monkeypatch):
    folder, before = overfitted
    [found] = [f for f in before.audits[0].findings if f.id == "generalization-overfitted"]
    assert "--augment token-dropout --augment word-order" in found.mitigation.command
    words = shlex.split(found.mitigation.command.replace("EVAL_FILE", str(folder / "validation.jsonl")))
    assert words[:2] == ["aboveboard", "train"]
    words[words.index("--base") + 1] = str(tiny_base().path)  # the encoder that it was made of, as advised
    where = folder / "mended-here"
    where.mkdir()
    monkeypatch.chdir(where)
    tiny = ["--batch-size", "16", "--learning-rate", "2e-3"]
    result = CliRunner().invoke(train_from_command_line, [*tiny, *words[2:]])
    assert result.exit_code == 0, (result.output, result.exception)
    after = with_training(where / "mended", folder)
    assert the(before, "train_test_accuracy_gap").value > 0.2
    assert the(after, "train_test_accuracy_gap").value < 0.1
    assert the(after, "test_accuracy").value > the(before, "test_accuracy").value - 0.02  # nothing is lost by it
