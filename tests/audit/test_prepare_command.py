"""Promises of `aboveboard prepare`: what it prints, what it leaves, and one clear letter for what does not fit."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from audit.commands.prepare import prepare
from audit.main import run
from core_model.preprocessing import PreparationOptions
from tests.core_model.training_world import planted_rows, tiny_base
from tests.factories import write_rows


@pytest.fixture
def file(tmp_path: Path) -> str:
    rows = [
        {"comment": f"{text} <b>{i}</b>", "tone": ("bad", "good")[y]}
        for i, (text, y) in enumerate(planted_rows(120, 0))
    ]
    return str(write_rows(tmp_path / "rows.jsonl", [*rows, rows[3]]))


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(prepare, list(arguments))


def columns() -> list[str]:
    return ["--text-column", "comment", "--label-column", "tone", "--near-duplicates", "keep"]


def test_steps_parts_and_card_are_told(file, tmp_path):
    out = tmp_path / "out"
    result = invoke("--data", file, *columns(), "--out", str(out))
    assert result.exit_code == 0, result.output
    assert "exact duplicates: 121 rows in, 120 out" in result.stdout
    assert "dropped 1: the same row as an earlier one (row 121)" in result.stdout
    assert "changed 121: html" in result.stdout
    assert f"card: {out / 'data_card.md'}" in result.stdout
    assert "reading and cleaning" not in result.stdout
    assert "writing: 120 rows" in result.stderr


def test_json_is_the_card(file, tmp_path):
    result = invoke("--data", file, *columns(), "--json", "--out", str(tmp_path / "out"))
    assert json.loads(result.stdout) == json.loads((tmp_path / "out" / "data_card.json").read_text())


def test_what_is_prepared_can_be_trained_on(file, tmp_path):
    from audit.commands.train import train

    prepared = tmp_path / "out"
    invoke("--data", file, *columns(), "--out", str(prepared))
    result = CliRunner().invoke(
        train,
        ["--base", str(tiny_base().path), "--data", str(prepared / "train.jsonl"), "--eval-data",
         str(prepared / "test.jsonl"), "--text-column", "comment", "--label-column", "tone", "--epochs", "1", "--out",
         str(tmp_path / "model")],
    )  # fmt: skip
    assert result.exit_code == 0, result.output


def test_each_option_of_the_library_is_a_flag(file):
    flags = {parameter.name for parameter in prepare.params if isinstance(parameter, click.Option)}
    assert flags == {*PreparationOptions.model_fields, "data", "out", "as_json"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--text-column", "coment"], "--text-column comment"),
        (["--similarity", "3"], "--similarity: Input should be less than or equal to 1"),
        (["--min-word", "3"], "--min-words"),
        (["--task", "translaton"], "translation"),
        (["--text-column", "comment", "--min-words", "900"], "--min-words"),
    ],
)
def test_what_does_not_fit_is_a_letter_and_exit_code_2(file, tmp_path, capfd, arguments, said):
    out = tmp_path / "out"
    assert run(["prepare", "--data", file, *arguments, "--out", str(out)]) == 2
    assert said in capfd.readouterr().err
    assert not out.exists()


def test_ctrl_c_says_that_nothing_was_written(file, tmp_path, monkeypatch):
    def stopped(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("core_model.preprocessing.prepare", stopped)
    result = invoke("--data", file, *columns(), "--out", str(tmp_path / "out"))
    assert result.exit_code == 130
    assert "nothing was written" in result.stderr


def test_help_is_quick_and_shows_examples():
    code = (
        "import sys; from audit.main import run; run(['prepare', '--help']); print('heavy' * ('numpy' in sys.modules))"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "Examples:" in told
    assert "heavy" not in told
