"""Promises of the demos of text tasks: from real text to a report; without apt a letter; the plain demo as it was."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path

import pytest

from audit.commands import demo_text
from audit.main import run
from core_model.corpora.writing import write_rows

WORDS = ["open", "close", "the", "red", "green", "door", "window", "now", "again", "slowly"]


def write(folder: Path) -> None:
    draw = random.Random(0)
    for part, rows in (("train", 80), ("validation", 10), ("test", 40)):
        texts = [" ".join(draw.choices(WORDS, k=draw.randint(5, 9))) for _ in range(rows)]
        write_rows(folder, part, [{"text": t, "target": t.upper()} for t in texts], {"licence": "cc0-1.0"})


@pytest.mark.parametrize("task", ["translation", "language-modeling"])
def test_a_new_model_learns_and_is_audited(task, tmp_path, monkeypatch, capsys):
    kind = "encoder-decoder" if task == "translation" else "decoder"
    columns = {"text_column": "text", **({"reference_column": "target"} if task == "translation" else {})}
    tiny = demo_text.TextDemo(
        name="tiny", write=write, columns=columns, options={**demo_text.FROM_SCRATCH, "max_length": 16},
        shape={"kind": kind, "layers": 1, "hidden": 16, "heads": 2, "vocabulary": 300, "max_length": 32},
    )  # fmt: skip
    monkeypatch.setattr(demo_text, "text_demo", lambda name, pretrained: tiny)
    command = ["demo", "--task", task, "--minutes", "0.1", "--profile", "quick", "--out", str(tmp_path), "--json"]
    assert run(command) == 0
    record = json.loads((tmp_path / "audit" / "audit.json").read_text(encoding="utf-8"))
    measured = {audit["id"] for audit in record["audits"] if audit["status"] == "measured"}
    assert {"evaluability", "generalization", "emissions"} <= measured
    assert record["subject"]["task"] == task and record["data"]["rows"] == 40
    capsys.readouterr()
    trained = (tmp_path / "tiny" / "model.safetensors").stat().st_mtime_ns
    assert run(command) == 0 and "keeping the checkpoint" in capsys.readouterr().err
    assert (tmp_path / "tiny" / "model.safetensors").stat().st_mtime_ns == trained


def test_without_apt_the_demo_says_what_to_do(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("ABOVEBOARD_CACHE_DIR", str(tmp_path / "empty"))
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert run(["demo", "--task", "translation", "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert "DataMissing: this machine has no apt-get" in said and "Try: use a Debian image" in said


def test_minutes_are_refused_where_epochs_end_the_training(capsys):
    assert run(["demo", "--minutes", "3"]) == 2
    assert "leave --minutes out" in capsys.readouterr().err
