"""Promises of `aboveboard train --task ...`: columns in each task's own words, a clear letter for what does not fit."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from audit.commands.train import train
from core_model.data import Table
from core_model.errors import BadInput
from core_model.tasks import Task
from tests.core_model.task_worlds import SHAPES, world
from tests.core_model.training_world import tiny_base
from tests.factories import write_rows

FLAGS = {
    Task.LANGUAGE_MODELING: {"--text-column": "said"},
    Task.TRANSLATION: {"--source-column": "en", "--target-column": "de"},
    Task.SUMMARIZATION: {"--source-column": "long", "--target-column": "short"},
    Task.QUESTION_ANSWERING: {"--question-column": "asked", "--context-column": "read", "--answer-column": "told"},
}


def rows_of(table: Table, names: list[str]) -> list[dict[str, str]]:
    columns = [column for column in (table.texts, table.pairs, table.references) if column is not None]
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def shape_file(folder: Path, task: Task) -> Path:
    values = SHAPES[task].model_dump(exclude_none=True)
    file = folder / "shape.toml"
    file.write_text("".join(f"{key} = {json.dumps(value)}\n" for key, value in values.items()))
    return file


@pytest.mark.parametrize("task", list(FLAGS))
def test_a_task_is_trained_by_its_own_words(task: Task, tmp_path: Path):
    flags = FLAGS[task]
    data = write_rows(tmp_path / "train.jsonl", rows_of(world(task, 24), list(flags.values())))
    held_out = write_rows(tmp_path / "test.jsonl", rows_of(world(task, 8, seed=1), list(flags.values())))
    said = [word for pair in flags.items() for word in pair]
    result = CliRunner().invoke(
        train,
        ["--task", task.value, "--base", "none", "--architecture", str(shape_file(tmp_path, task)), "--data", str(data),
         "--eval-data", str(held_out), *said, "--epochs", "1", "--out", str(tmp_path / "m")],
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert ("windows" if task is Task.QUESTION_ANSWERING else "tokens") in result.stdout
    assert " ".join(said) in result.stdout.replace("\n", " ")
    record = json.loads((tmp_path / "m" / "training_record.json").read_text())
    assert record["task"] == task.value
    assert record["data"]["reference_column"] == flags.get("--target-column", flags.get("--answer-column"))


@pytest.mark.parametrize(
    ("rows", "flags", "letter"),
    [
        ([{"en": "a", "de": "b"}], ["--source-column", "en"], "--target-column COLUMN"),
        ([{"en": "a", "de": "b"}], ["--source-column", "en", "--target-column", "dee"], "Try: --target-column de"),
        ([{"en": "a", "de": "b"}], ["--source-column", "en", "--target-column", "en"], "also the target"),
        ([{"en": "a", "de": ""}, {"en": "a", "de": "b"}], ["--source-column", "en", "--target-column", "de"], "row 1"),
        ([{"en": "a", "de": "b"}] * 2, ["--source-column", "en", "--target-column", "de"], "no head for translation"),
    ],
)
def test_what_does_not_fit_gets_a_letter(rows, flags, letter: str, tmp_path: Path):
    data = write_rows(tmp_path / "pairs.jsonl", rows)
    result = CliRunner().invoke(
        train, ["--task", "translation", "--base", str(tiny_base().path), "--data", str(data), *flags, "--out", "m"]
    )
    assert isinstance(result.exception, BadInput)
    assert letter in str(result.exception)
    assert result.exception.exit_code == 2


def test_a_classifier_has_no_target(tmp_path: Path):
    data = write_rows(tmp_path / "rows.jsonl", [{"text": "a", "label": "x", "de": "b"}] * 2)
    result = CliRunner().invoke(
        train, ["--base", str(tiny_base().path), "--data", str(data), "--target-column", "de", "--out", "m"]
    )
    assert "leave --target-column out" in str(result.exception)
