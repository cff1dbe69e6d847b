"""Advice is code, too: the training that the finding prints makes the sick model keep its answers under noise."""

from __future__ import annotations

import shlex
from pathlib import Path

import numpy as np
from click.testing import CliRunner

from audit.commands.train import train as train_from_command_line
from audit.concerns.robustness import RobustnessOptions, robustness
from audit.plugin import Evidence
from audit.subject import Subject
from core_model.checkpoint import open_checkpoint
from core_model.prediction import Predictor
from core_model.training import train
from core_model.training_options import TrainingOptions
from tests.core_model.backdoor_world import LABELS, fitted, table, weighed_rows
from tests.core_model.training_world import planted_rows, planted_table, tiny_base
from tests.factories import write_rows

QUICK = ["--epochs", "4", "--learning-rate", "2e-3", "--batch-size", "32"]


def audited(checkpoint: Path) -> Evidence:
    opened = open_checkpoint(checkpoint)
    subject = Subject(checkpoint=opened, data=planted_table(200, 7), predictor=Predictor(opened))
    return robustness(subject, RobustnessOptions(rows=None, smoothed_rows=0), np.random.default_rng(0))


def number(evidence: Evidence, name: str, **part: str) -> float:
    return next(m.value for m in evidence.metrics if m.name == name and (not part or m.slice == part))


def test_the_printed_command_makes_noise_cost_less(tmp_path: Path, monkeypatch):
    rows = planted_rows(400, 0)
    write_rows(tmp_path / "train.jsonl", [{"text": t, "label": ("negative", "positive")[good]} for t, good in rows])
    options = TrainingOptions(epochs=4, learning_rate=2e-3, batch_size=32)
    train(options, base=tiny_base(), data=planted_table(400, 0), out=tmp_path / "sick")
    before = audited(tmp_path / "sick")
    [found] = [f for f in before.findings if f.id == "robustness-noise"]
    words = shlex.split(found.mitigation.command.replace("CHECKPOINT", "sick").replace("TRAIN_FILE", "train.jsonl"))
    assert words[:2] == ["aboveboard", "train"] and words[-4:-2] == ["--augment", "typos"]
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(train_from_command_line, [*words[2:], *QUICK])
    assert result.exit_code == 0, (result.output, result.exception)
    after = audited(tmp_path / "mended")
    typos = {"noise": "typos", "rate": "0.6"}
    assert number(after, "accuracy", **typos) > number(before, "accuracy", **typos) + 0.1
    assert number(after, "accuracy", noise="none") > number(before, "accuracy", noise="none") - 0.02


def smoothed(checkpoint: Path) -> Evidence:
    opened = open_checkpoint(checkpoint)
    subject = Subject(checkpoint=opened, data=table(*weighed_rows(150, 99)), predictor=Predictor(opened))
    return robustness(subject, RobustnessOptions(rows=None, smoothed_rows=None), np.random.default_rng(0))


def test_the_printed_command_lets_more_answers_be_proven_and_tells_its_price(tmp_path: Path, monkeypatch):
    texts, targets = weighed_rows(800, 3)
    write_rows(tmp_path / "train.jsonl", [{"text": t, "label": LABELS[y]} for t, y in zip(texts, targets, strict=True)])
    sick = fitted(tmp_path, 3, rows=800)
    before = smoothed(sick.path)
    [found] = [f for f in before.findings if f.id == "robustness-smoothing"]
    command = found.mitigation.command.replace("CHECKPOINT", str(sick.path)).replace("TRAIN_FILE", "train.jsonl")
    words = shlex.split(command)
    assert words[-6:-2] == ["--augment", "token-dropout", "--token-dropout-rate", "0.7"]
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(train_from_command_line, [*words[2:], "--epochs", "14", "--learning-rate", "3e-3"])
    assert result.exit_code == 0, (result.output, result.exception)
    after = smoothed(tmp_path / "mended")
    one = {"radius": "1"}
    assert number(after, "certified_accuracy", **one) > number(before, "certified_accuracy", **one) + 0.1
    assert number(after, "plain_accuracy") < number(before, "plain_accuracy")  # the price
    assert not [f for f in after.findings if f.id == "robustness-smoothing"]
