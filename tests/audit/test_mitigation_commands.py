"""Promises of the mitigations at the command line: they run, are told and recorded; what does not fit is one letter."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from audit.commands.calibrate import calibrate
from audit.commands.train import train
from core_model.errors import BadInput
from tests.core_model.mitigation_world import biased_rows, fair_rows
from tests.core_model.training_world import tiny_base
from tests.factories import write_rows


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("data")
    for name, rows in (("train", biased_rows(96)), ("validation", fair_rows(80, 5)), ("few", fair_rows(12, 6))):
        write_rows(folder / f"{name}.jsonl", [{**row, "one": "x"} for row in rows])
    write_rows(folder / "bare.jsonl", [{"text": row["text"], "sex": row["sex"]} for row in biased_rows(40)])
    write_rows(folder / "pairs.jsonl", [{"source": row["text"], "target": row["text"]} for row in biased_rows(40)])
    return {file.stem: str(file) for file in folder.iterdir()}


def run(files: dict[str, str], out: Path, *more: str, **changes: str) -> Result:
    given = {"base": str(tiny_base().path), "data": files["train"], **changes}
    words = [word for name, value in given.items() for word in (f"--{name.replace('_', '-')}", value)]
    return CliRunner().invoke(train, [*words, "--epochs", "1", "--out", str(out), *more])


@pytest.mark.parametrize(
    ("words", "name", "said"),
    [
        ("--augment token-dropout --augment word-order --token-dropout-rate 0.2", "token_dropout", None),
        ("--augment word-order --word-order-distance 2", "word_order", None),
        ("--reductions equalized-odds --fairness-column sex", "reductions", "few rounds"),
        ("--fairness-penalty demographic-parity --fairness-column sex --fairness-weight 3", "fairness_penalty",
         "acts on probabilities"),
        ("--adversarial freelb --adversarial-steps 2 --adversarial-radius 0.05", "adversarial_training", None),
        ("--pretrain masked --pretrain-epochs 2", "further_pretraining", "on texts held out its loss went from"),
    ],
)  # fmt: skip
def test_each_mitigation_runs_and_is_on_record(files, tmp_path: Path, words, name, said):
    result = run(files, tmp_path / "m", *words.split())
    assert result.exit_code == 0, (result.output, result.exception)
    record = json.loads((tmp_path / "m" / "training_record.json").read_text())
    assert name in record["mitigation"]
    assert said is None or said in result.stdout


def test_all_together_run_too_and_a_copy_keeps_its_group(files, tmp_path: Path):
    words = (
        "--augment identity-swap --augment token-dropout --augment word-order --adversarial freelb "
        "--fairness-penalty equalized-odds --fairness-column sex --pretrain masked"
    )
    result = run(files, tmp_path / "m", *words.split(), "--json")
    assert result.exit_code == 0, (result.output, result.exception)
    done = json.loads(result.stdout)["mitigation"]
    assert set(done) == {
        "identity_swap", "token_dropout", "word_order", "adversarial_training", "fairness_penalty",
        "further_pretraining",
    }  # fmt: skip


def test_texts_of_another_file_are_read_before_the_task(files, tmp_path: Path):
    result = run(files, tmp_path / "m", "--pretrain", "masked", "--pretrain-data", files["bare"], "--json")
    assert result.exit_code == 0, (result.output, result.exception)
    facts = json.loads(result.stdout)["mitigation"]["further_pretraining"]
    assert (facts["data"]["name"], facts["data"]["rows"], facts["held_out"]["rows"]) == ("bare.jsonl", 36, 4)


FAIR = {"fairness_penalty": "equalized-odds", "fairness_column": "sex"}


@pytest.mark.parametrize(
    ("changes", "letter"),
    [
        ({**FAIR, "fairness_column": "gender"}, r"'gender' \(asked for by --fairness-column\)(.|\n)*It has: "),
        ({**FAIR, "fairness_column": "sx"}, r"--fairness-column sex"),
        (
            {**FAIR, "fairness_column": "one"},
            r"column 'one' of train\.jsonl has one value, 'x'(.|\n)*--fairness-column",
        ),
        ({**FAIR, "fairness_column": "label", "label_column": "label"}, r"is the label column"),
        ({**FAIR, "data": "bare"}, r"bare\.jsonl(.|\n)*--label-column"),
        (
            {**FAIR, "task": "language-modeling"},
            r"rates of classes, which language-modeling has not(.|\n)*--fairness-pen",
        ),
        ({**FAIR, "task": "translation", "data": "pairs"}, r"which translation has not"),
        ({**FAIR, "fairness_weight": "0"}, r"fairness_weight = 0\.0(.|\n)*greater than 0"),
        ({**FAIR, "fairness_weight": "-2"}, r"fairness_weight = -2\.0(.|\n)*greater than 0"),
        ({**FAIR, "fairness_weight": "nan"}, r"fairness_weight = nan"),
        ({**FAIR, "fairness_penalty": "equal-odds"}, r"fairness_penalty = 'equal-odds'(.|\n)*'equalized-odds'"),
        ({**FAIR, "reductions": "equalized-odds"}, r"two ways to one end"),
        ({**FAIR, "reweigh": "sex"}, r"would count twice(.|\n)*leave --reweigh out"),
        ({"fairness_penalty": "equalized-odds"}, r"between which groups(.|\n)*--fairness-column COLUMN"),
        ({"reductions": "demographic-parity"}, r"between which groups(.|\n)*--fairness-column COLUMN"),
        ({"fairness_column": "sex"}, r"read by no constraint(.|\n)*--reductions equalized-odds"),
        ({"augment": "word-order", "task": "language-modeling"}, r"language-modeling: the text that it reads is also"),
        ({"augment": "identity-swap", "task": "language-modeling"}, r"identity-swap"),
        ({"augment": "token-dropout", "token_dropout_rate": "1"}, r"token_dropout_rate = 1\.0(.|\n)*less than 1"),
        ({"augment": "word-order", "word_order_distance": "0"}, r"word_order_distance = 0"),
        ({"adversarial": "pgd"}, r"adversarial = 'pgd'(.|\n)*'freelb'"),
        ({"adversarial": "freelb", "adversarial_radius": "0"}, r"adversarial_radius = 0\.0(.|\n)*greater than 0"),
        ({"adversarial": "freelb", "adversarial_steps": "0"}, r"adversarial_steps = 0"),
        ({"pretrain_data": "bare"}, r"read by pretrain alone(.|\n)*--pretrain masked"),
        ({"pretrain": "causal"}, r"no trained head for language-modeling|no .*head"),
        ({"pretrain": "masked", "pretrain_data": "/no/such.txt"}, r"/no/such\.txt"),
    ],
)
def test_what_does_not_fit_is_one_letter_with_its_mend(files, tmp_path: Path, changes: dict[str, Any], letter: str):
    result = run(files, tmp_path / "m", **{name: files.get(value, value) for name, value in changes.items()})
    assert isinstance(result.exception, BadInput), (result.output, result.exception)
    with pytest.raises(BadInput, match=letter):
        raise result.exception
    assert result.exception.exit_code == 2
    assert not (tmp_path / "m" / "config.json").exists()


# calibrate


@pytest.fixture(scope="module")
def classifier(files, tmp_path_factory) -> str:
    out = tmp_path_factory.mktemp("classifier") / "m"
    assert run(files, out, "--learning-rate", "2e-3").exit_code == 0
    return str(out)


def test_calibrate_says_what_it_did_and_leaves_a_checkpoint(files, classifier, tmp_path: Path):
    words = [classifier, "--data", files["validation"], "--out", str(tmp_path / "c")]
    result = CliRunner().invoke(calibrate, words)
    assert result.exit_code == 0, (result.output, result.exception)
    for line in ("temperature: ", "on rows that did not choose the temperature", "answers as before", "next: audit it"):
        assert line in result.stdout
    again = CliRunner().invoke(calibrate, [*words[:-1], str(tmp_path / "d"), "--json"])
    record = json.loads((tmp_path / "c" / "calibration.json").read_text())
    assert json.loads(again.stdout)["temperature"] == record["temperature"]
    assert (tmp_path / "c" / "config.json").exists()


@pytest.mark.parametrize(
    ("changes", "letter"),
    [
        ({"data": "few"}, r"few\.jsonl has 12 rows; a temperature needs 40"),
        ({"data": "train"}, r"was trained on train\.jsonl"),
        ({"data": "bare"}, r"--label-column"),
        ({"data": "/nowhere.csv"}, r"/nowhere\.csv"),
        ({"out": "."}, r"is not an empty folder"),
    ],
)
def test_calibrate_refuses_with_one_letter(files, classifier, tmp_path: Path, changes, letter):
    given = {"data": "validation", "out": str(tmp_path / "c"), **changes}
    result = CliRunner().invoke(
        calibrate, [classifier, "--data", files.get(given["data"], given["data"]), "--out", given["out"]]
    )
    assert isinstance(result.exception, BadInput), (result.output, result.exception)
    with pytest.raises(BadInput, match=letter):
        raise result.exception


def test_help_imports_nothing_heavy():
    script = (
        "import sys\nfrom click.testing import CliRunner\nfrom audit.commands.calibrate import calibrate\n"
        "assert 'aboveboard calibrate' in CliRunner().invoke(calibrate, ['--help']).output\n"
        "print([m for m in ('torch', 'transformers', 'pydantic') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
