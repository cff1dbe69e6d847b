"""Promises of `aboveboard tune`: a study from files to a page, and one clear letter for what does not fit."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import core_model.tuning as tuning
from audit.commands.tune import tune
from audit.commands.tune_progress import line
from audit.main import run as command
from core_model.errors import BadInput
from core_model.progress import Progress
from core_model.tuning import TuningProgress
from tests.core_model.training_world import planted_rows, tiny_base
from tests.factories import write_rows
from tests.reports.pages import Page

SEARCH = ["--search", "learning_rate=1e-4,1e-2", "--search", "batch_size=8,16"]


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("data")
    for name, rows, seed in (("train", 64, 0), ("eval", 24, 1), ("test", 40, 2)):
        written = [{"comment": text, "tone": ("negative", "positive")[y]} for text, y in planted_rows(rows, seed)]
        if name == "test":  # the search has seen these
            written += [{"comment": text, "tone": ("negative", "positive")[y]} for text, y in planted_rows(5, 0)]
        write_rows(folder / f"{name}.jsonl", written)
    return {file.stem: str(file) for file in folder.iterdir()}


def run(*arguments: str) -> Result:
    return CliRunner().invoke(tune, list(arguments))


def arguments(files: dict[str, str], out: Path, **changes: str) -> list[str]:
    given = {
        "--base": str(tiny_base().path), "--data": files["train"], "--eval-data": files["eval"],
        "--text-column": "comment", "--label-column": "tone", "--trials": "3", "--set": "epochs=1", "--out": str(out),
        **{k: files.get(v, v) for k, v in changes.items()},
    }  # fmt: skip
    return [word for pair in given.items() if pair[1] for word in pair]


@pytest.fixture(scope="module")
def study(files, tmp_path_factory) -> tuple[Path, Result]:
    out = tmp_path_factory.mktemp("study") / "s"
    return out, run(*arguments(files, out, **{"--test-data": "test"}), *SEARCH)


def test_a_study_leaves_checkpoint_record_page_and_says_how_it_went(study):
    out, result = study
    assert result.exit_code == 0, result.output
    assert {"best", "study.sqlite", "tuning.json", "tuning.html"} <= {file.name for file in out.iterdir()}
    record = json.loads((out / "tuning.json").read_text())
    assert f"best: evaluation loss {record['best']['value']:.4f} in trial {record['best']['trial']}" in result.stdout
    assert "trials: 3 complete" in result.stdout
    assert "trial 3 of 3, complete" in result.stderr
    assert "the search costs privacy" in result.stdout


def test_the_winner_is_measured_on_rows_that_no_trial_has_seen(study):
    test = json.loads((study[0] / "tuning.json").read_text())["test"]
    rows, left_out = len({text for text, _ in planted_rows(40, 2)}), test["rows_left_out"]
    assert left_out >= 5 and test["data"]["rows"] == 45 - left_out <= rows
    loss, accuracy, _ = test["measures"]
    assert loss["name"] == "loss" and loss["interval"][0] < loss["value"] < loss["interval"][1]
    assert accuracy["n"] == test["data"]["rows"]
    assert f"over {accuracy['n']} unseen rows" in study[1].stdout


def test_the_page_holds_what_the_record_holds(study):
    page = Page((study[0] / "tuning.html").read_text())
    record = json.loads((study[0] / "tuning.json").read_text())
    assert "Every trial, in order" in page.text
    assert record["best"]["model_sha256"] in (study[0] / "tuning.html").read_text()
    assert page.ways_out() == []


def test_json_is_one_object_and_a_share_is_held_out_by_content(files, tmp_path: Path):
    result = run(*arguments(files, tmp_path / "s", **{"--eval-data": "", "--eval-share": "0.3"}), *SEARCH, "--json",
                 "--lang", "de")  # fmt: skip
    answer = json.loads(result.stdout)
    assert answer["data"]["rows"] + answer["evaluation_data"]["rows"] == 64
    assert answer["test"] is None and len(answer["trials"]) == 3
    assert "Der Gewinner sieht besser aus, als er ist." in Path(answer["report"]).read_text(encoding="utf-8")
    assert Path(answer["best_checkpoint"], "model.safetensors").exists()


def test_ctrl_c_keeps_the_study_and_says_how_to_go_on(files, tmp_path: Path, monkeypatch):
    plain, calls = tuning.train, []

    def interrupted(*given: Any, **rest: Any) -> Any:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return plain(*given, **rest)

    monkeypatch.setattr(tuning, "train", interrupted)
    result = run(*arguments(files, tmp_path / "s"), *SEARCH)
    assert result.exit_code == 130
    assert "the same command and --resume" in result.stderr
    again = run(*arguments(files, tmp_path / "s"), *SEARCH, "--resume", "--json")
    endings = [trial["ending"] for trial in json.loads(again.stdout)["trials"]]
    assert endings == ["complete", "tried again", "complete", "complete"]


@pytest.mark.parametrize(
    ("changes", "letter"),
    [
        ({"--trials": "1"}, r"trials = 1(.|\n)*greater than or equal to 2"),
        ({"--objective": "f1"}, "objective = 'f1'"),
        ({"--task": "clasification"}, r"task = 'clasification'"),
        ({"--search": "learning_rte=1..2"}, r"--search learning_rate="),
        ({"--search": "learning_rate=1e-3..1e-5"}, "is empty"),
        ({"--search": "no.toml"}, "no.toml"),
        ({"--set": "epoch=1"}, "--set epochs="),
        ({"--eval-data": ""}, "--eval-share 0.1"),
        ({"--eval-share": "0.1"}, "both name evaluation rows"),
        ({"--eval-data": "", "--eval-share": "1.5"}, "no share of the rows"),
        ({"--eval-data": "/nowhere.jsonl"}, "nowhere.jsonl"),
        ({"--test-data": "train"}, "stand in the data that the search saw"),
        ({"--base": "none"}, "--architecture FILE.toml"),
        ({"--base": "/nowhere/at/all"}, "/nowhere/at/all"),
        ({"--label-column": "tine"}, "--label-column tone"),
        ({"--out": "/proc/no"}, "/proc/no"),
    ],
)
def test_what_does_not_fit_is_one_letter_with_its_mend(files, tmp_path: Path, changes: dict[str, str], letter: str):
    result = run(*arguments(files, tmp_path / "s", **changes), *([] if "--search" in changes else SEARCH))
    assert isinstance(result.exception, BadInput), result.output
    with pytest.raises(BadInput, match=letter):
        raise result.exception
    assert result.exception.exit_code == 2
    assert not (tmp_path / "s" / "study.sqlite").exists()  # before hours of search, not after


def test_an_unknown_language_is_refused_before_the_search(files, tmp_path: Path, capsys):
    assert command(["tune", *arguments(files, tmp_path / "s", **{"--lang": "dee"}), *SEARCH]) == 2
    assert "there are en, de, zh" in capsys.readouterr().err
    assert not (tmp_path / "s").exists()


def test_a_study_in_the_way_is_refused_and_left_as_it_is(files, study):
    before = (study[0] / "study.sqlite").read_bytes()
    result = run(*arguments(files, study[0]), *SEARCH)
    with pytest.raises(BadInput, match="--resume"):
        raise result.exception
    assert (study[0] / "study.sqlite").read_bytes() == before


def test_help_has_examples_and_imports_nothing_heavy():
    script = (
        "import sys\nfrom click.testing import CliRunner\nfrom audit.commands.tune import tune\n"
        "said = CliRunner().invoke(tune, ['--help']).output\nassert 'aboveboard tune --base none' in said\n"
        "print([m for m in ('torch', 'transformers', 'optuna', 'sqlalchemy', 'pydantic') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_line_of_progress_says_which_trial_how_it_goes_and_how_long():
    training = Progress("training", 4, 8, 1, 2, loss=0.5)
    under_way = TuningProgress(3, 20, {"dropout": 0.1}, 0.41, training, None, 75.0)
    assert line(under_way) == (
        "trial 3 of 20, epoch 1 of 2, step 4 of 8, loss 0.5000, best 0.4100, 1 min 15 s left for all trials"
    )
    begun = TuningProgress(1, 20, {"learning_rate": 0.00123456, "clip_norm": None})
    assert line(begun) == "trial 1 of 20, learning_rate=0.00123 clip_norm=none"
    over = TuningProgress(1, 20, {"epochs": 3}, 0.4, ending="pruned: \x1b[31mworse")
    assert line(over) == "trial 1 of 20, pruned: worse, epochs=3, best 0.4000"
