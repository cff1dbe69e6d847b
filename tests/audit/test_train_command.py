"""Promises of `aboveboard train`: what it prints, what it leaves, and one clear letter for what does not fit."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from audit.commands.train import train
from audit.commands.train_progress import duration, line
from core_model.errors import BadInput
from core_model.progress import Progress
from tests.core_model.training_world import planted_rows, tiny_base
from tests.factories import write_rows


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("data")
    for name, rows, seed in (("train", 96, 0), ("eval", 40, 1)):
        write_rows(
            folder / f"{name}.jsonl",
            [
                {"comment": text, "tone": ("negative", "positive")[y], "source": "ab"[row % 2], "year": 2020}
                for row, (text, y) in enumerate(planted_rows(rows, seed))
            ],
        )
    write_rows(folder / "one.jsonl", [{"comment": text, "tone": "positive"} for text, _ in planted_rows(9, 2)])
    write_rows(folder / "other.jsonl", [{"comment": "a b", "tone": "mixed"}, {"comment": "c d", "tone": "positive"}])
    return {file.stem: str(file) for file in folder.iterdir()}


def run(*arguments: str) -> Result:
    return CliRunner().invoke(train, list(arguments))


def columns() -> list[str]:
    return ["--text-column", "comment", "--label-column", "tone"]


def test_fine_tuning_leaves_a_checkpoint_and_says_what_to_do_with_it(files, tmp_path: Path):
    out = tmp_path / "m"
    result = run(
        "--base", str(tiny_base().path), "--data", files["train"], "--eval-data", files["eval"], *columns(),
        "--epochs", "1", "--out", str(out),
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert (out / "model.safetensors").exists()
    assert "over 40 rows" in result.stdout
    assert f"aboveboard audit {out} --data {files['eval']} --train-data {files['train']}" in result.stdout
    assert "epoch 1 of 1" in result.stderr
    assert "rows/s" in result.stderr


def test_json_is_one_object_on_stdout(files, tmp_path: Path):
    result = run(
        "--base", str(tiny_base().path), "--data", files["train"], *columns(), "--epochs", "1", "--json",
        "--out", str(tmp_path / "m"),
    )  # fmt: skip
    answer = json.loads(result.stdout)
    assert answer["checkpoint"] == str(tmp_path / "m")
    assert answer["evaluation"] is None
    assert answer["data"]["rows"] == 96


def test_from_scratch_by_an_architecture_file(files, tmp_path: Path):
    shape = tmp_path / "encoder.toml"
    shape.write_text("layers = 1\nhidden = 16\nheads = 2\nvocabulary = 200\nmax_length = 32\n")
    result = run(
        "--base", "none", "--architecture", str(shape), "--data", files["train"], *columns(), "--epochs", "1",
        "--clip-norm", "0", "--schedule", "cosine", "--json", "--out", str(tmp_path / "m"),
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout)
    assert answer["base"] is None
    assert answer["architecture"]["hidden"] == 16
    assert answer["options"]["clip_norm"] is None
    assert answer["options"]["learning_rate"] == 5e-4


def test_mitigations_are_recorded_and_said(files, tmp_path: Path):
    result = run(
        "--base", str(tiny_base().path), "--data", files["train"], *columns(), "--epochs", "1", "--reweigh", "source",
        "--augment", "identity-swap", "--out", str(tmp_path / "m"),
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "note: Rows are weighed by 'source'" in result.stdout
    assert "of 96 training rows hold an identity term of aboveboard's own list" in result.stdout
    record = json.loads((tmp_path / "m" / "training_record.json").read_text())
    assert record["mitigation"]["reweighing"]["rows"] == 96 + record["mitigation"]["identity_swap"]["rows_added"]
    assert (record["options"]["reweigh"], record["identity"]["reweigh"]) == ("source", "source")


def test_columns_that_were_guessed_are_said(tmp_path: Path):
    write_rows(tmp_path / "d.jsonl", [{"text": t, "label": y} for t, y in planted_rows(32, 0)])
    result = run(
        "--base",
        str(tiny_base().path),
        "--data",
        str(tmp_path / "d.jsonl"),
        "--epochs",
        "1",
        "--out",
        str(tmp_path / "m"),
    )
    assert result.exit_code == 0, result.output
    assert "--text-column text" in result.stderr


@pytest.mark.parametrize(
    ("changes", "letter"),
    [
        ({"--batch-size": "0"}, r"batch_size = 0(.|\n)*--batch-size(.|\n)*greater than or equal to 1"),
        ({"--epochs": "-1"}, r"epochs = -1"),
        ({"--learning-rate": "nan"}, r"learning_rate = nan"),
        ({"--precision": "fp8"}, r"precision = 'fp8'(.|\n)*bf16"),
        ({"--task": "clasification"}, r"task = 'clasification'(.|\n)*classification"),
        ({"--task": "feature-extraction"}, r"--task classification"),
        ({"--early-stopping": "2"}, "--eval-data"),
        ({"--country": "ATLANTIS"}, "ATLANTIS"),
        ({"--augment": "identity-swop"}, r"augment = 'identity-swop'(.|\n)*'identity-swap'"),
        ({"--identity-terms": "terms.toml"}, r"read by augment alone(.|\n)*--augment identity-swap"),
        ({"--augment": "identity-swap", "--identity-terms": "/no.toml"}, r"/no\.toml cannot be read"),
        ({"--reweigh": "sourse"}, r"'sourse' \(asked for by --reweigh\)(.|\n)*--reweigh source"),
        ({"--reweigh": "year"}, r"column 'year' of train\.jsonl has one value, '2020'"),
        ({"--reweigh": "tone"}, r"is the label column"),
        ({"--base": "none"}, r"--architecture"),
        ({"--base": "/nowhere/at/all"}, "/nowhere/at/all"),
        ({"--data": "/nowhere.jsonl"}, r"/nowhere\.jsonl"),
        ({"--label-column": "tine"}, r"--label-column tone"),
        ({"--data": "one"}, "one class"),
        ({"--eval-data": "other"}, r"'mixed' in 1 rows"),
        ({"--out": "/proc/no"}, r"/proc/no"),
    ],
)
def test_what_does_not_fit_is_one_letter_with_its_mend(files, tmp_path: Path, changes: dict[str, str], letter: str):
    given: dict[str, Any] = {
        "--base": str(tiny_base().path), "--data": files["train"], "--text-column": "comment",
        "--label-column": "tone", "--out": str(tmp_path / "m"), **{k: files.get(v, v) for k, v in changes.items()},
    }  # fmt: skip
    result = run(*(word for pair in given.items() for word in pair))
    assert isinstance(result.exception, BadInput), result.output
    with pytest.raises(BadInput, match=letter):
        raise result.exception
    assert result.exception.exit_code == 2
    assert not (tmp_path / "m" / "config.json").exists()


def test_help_has_examples_and_imports_nothing_heavy():
    script = (
        "import sys\nfrom click.testing import CliRunner\nfrom audit.commands.train import train\n"
        "said = CliRunner().invoke(train, ['--help']).output\nassert 'aboveboard train --base none' in said\n"
        "print([m for m in ('torch', 'transformers', 'datasets', 'accelerate', 'pydantic') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_line_of_progress_says_where_how_well_how_fast_and_how_long():
    said = Progress("training", 40, 574, 1, 2, loss=0.51234, examples_per_second=61.4, seconds_left=287.0)
    assert line(said) == "epoch 1 of 2, step 40 of 574, loss 0.5123, 61 rows/s, 4 min 47 s left"
    after = Progress("evaluated", 287, 574, 1, 2, loss=0.4, accuracy=0.81)
    assert line(after) == "epoch 1 of 2, step 287 of 574, evaluated, evaluation loss 0.4000, accuracy 0.8100"


@pytest.mark.parametrize(("seconds", "said"), [(0.4, "0 s"), (59.6, "1 min 00 s"), (3700, "1 h 01 min")])
def test_durations_are_said_as_people_say_them(seconds: float, said: str):
    assert duration(seconds) == said
