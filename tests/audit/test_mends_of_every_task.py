"""Advice is code, too: the commands that findings print are run, and the number that they speak of gets better."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from audit.main import run
from core_model.tasks import Task
from reports.reading import read_record
from reports.record import Record
from tests.audit.task_checkpoints import column_flags, write_task_checkpoint, write_task_rows

QUICK = ["--profile", "quick", "--only", "evaluability,generalization"]


@pytest.fixture(scope="module", params=[Task.TRANSLATION, Task.LANGUAGE_MODELING], ids=str)
def sick(request, tmp_path_factory) -> tuple[Task, Path, Record]:
    """An audit of a model that learned next to nothing, on rows of which some stand in its training rows."""
    task, folder = request.param, tmp_path_factory.mktemp("sick")
    write_task_checkpoint(folder / "model", task, steps=15)
    write_task_rows(folder / "test.jsonl", task)
    write_task_rows(folder / "train.jsonl", task, 96, seed=1)
    arguments = ["--data", str(folder / "test.jsonl"), "--train-data", str(folder / "train.jsonl")]
    command = ["audit", str(folder / "model"), *arguments, *column_flags(task), *QUICK, "--out", str(folder / "before")]
    assert run(command) == 0
    return task, folder, read_record(folder / "before" / "audit.json")


def printed(record: Record, finding: str) -> list[str]:
    """The command of a finding, as a shell would take it, without the program's name."""
    found = next(f for a in record.audits for f in a.findings if f.id == finding)
    return shlex.split(found.mitigation.command)[1:]


def number(record: Record, audit: str, key: str) -> float:
    return next(m.value for m in record.audit(audit).metrics if m.key == key)


def test_training_on_lowers_the_loss_on_rows_that_it_did_not_see(sick, monkeypatch):
    task, folder, before = sick
    monkeypatch.chdir(folder)
    assert run([*printed(before, "evaluability-worst-rows"), "--epochs", "6", "--learning-rate", "0.003"]) == 0
    data = ["--data", "test.jsonl", *column_flags(task)]
    assert run(["audit", "mended", *data, *QUICK, "--out", "after"]) == 0
    after = read_record(folder / "after" / "audit.json")
    assert after.subject.task == task
    key = "negative_log_likelihood"
    assert number(after, "generalization", key) < 0.9 * number(before, "generalization", key)


def test_the_rows_without_overlap_are_audited_as_printed_and_hold_none(sick, monkeypatch):
    _, folder, before = sick
    assert number(before, "evaluability", "exact_duplicate_overlap") > 0
    monkeypatch.chdir(folder / "before")
    assert run([*printed(before, "evaluability-train-test-overlap"), *QUICK]) == 0
    clean = read_record(folder / "before" / "without-overlap" / "audit.json")
    assert number(clean, "evaluability", "exact_duplicate_overlap") == 0
    assert number(clean, "evaluability", "near_duplicate_overlap") == 0
