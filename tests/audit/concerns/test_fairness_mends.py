"""Promises of fairness's advice: each printed command runs as it stands, and the number that it is for improves."""

from __future__ import annotations

import shlex
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import audit
from audit.commands.train import train
from audit.concerns.fairness import FairnessOptions, fairness
from reports.record import Finding, Metric, Record, Severity
from tests.audit.concerns.fairness_subjects import answered
from tests.core_model.mitigation_world import biased_rows, fair_rows
from tests.core_model.training_world import tiny_base
from tests.factories import write_rows

REWEIGH = "--reweigh 'sex at birth'"
# A tiny model needs larger steps than the default of a real encoder; everything else is as printed.
TINY = ["--learning-rate", "2e-3", "--epochs", "4"]


def trained(*words: str) -> None:
    result = CliRunner().invoke(train, [*TINY, *words])  # what is printed comes last, and holds
    assert result.exit_code == 0, (result.output, result.exception)


def audited(checkpoint: Path, folder: Path) -> Record:
    return audit.run(
        checkpoint, data=folder / "test.jsonl", train_data=str(folder / "train.jsonl"), label_column="label",
        text_column="text", group_columns=["sex"], only=["fairness"], out=folder / f"audit-{checkpoint.name}",
    )  # fmt: skip


def the(record: Record, name: str, **part: str) -> Metric:
    [found] = [m for m in record.audits[0].metrics if m.name == name and m.slice == part]
    return found


@pytest.fixture(scope="module")
def sick(tmp_path_factory) -> tuple[Path, Record]:
    """A model that learned to go by the sex, on rows where the sex tells nothing; and its audit."""
    folder = tmp_path_factory.mktemp("sick")
    write_rows(folder / "train.jsonl", biased_rows())
    write_rows(folder / "test.jsonl", fair_rows())
    trained("--base", str(tiny_base().path), "--data", str(folder / "train.jsonl"), "--out", str(folder / "sick"))
    return folder, audited(folder / "sick", folder)


def finding_of(record: Record, identity: str) -> Finding:
    [found] = [f for f in record.audits[0].findings if f.id == identity]
    return found


@pytest.mark.parametrize(
    ("finding", "flag", "metric", "part"),
    [
        (
            "fairness-equalized-odds-sex",
            "--reductions equalized-odds --fairness-column sex",
            "equalized_odds_difference",
            {"by": "sex"},
        ),
        ("fairness-demographic-parity-sex", "--reweigh sex", "demographic_parity_difference", {"by": "sex"}),
        ("fairness-counterfactual-flips", "--augment identity-swap", "counterfactual_flip_rate", {}),
    ],
)
def test_the_printed_command_mends_what_its_finding_tells_of(sick, monkeypatch, finding, flag, metric, part):
    folder, before = sick
    found = finding_of(before, finding)
    assert found.severity is Severity.HIGH
    assert flag in found.mitigation.command
    program, command, *words = shlex.split(found.mitigation.command)
    assert (program, command) == ("aboveboard", "train")
    assert words[words.index("--base") + 1] == str(folder / "sick")
    assert words[words.index("--data") + 1] == str(folder / "train.jsonl")

    where = folder / finding
    where.mkdir()
    monkeypatch.chdir(where)  # the command leaves its checkpoint in ./mended
    trained(*words)
    (where / "test.jsonl").write_bytes((folder / "test.jsonl").read_bytes())
    (where / "train.jsonl").write_bytes((folder / "train.jsonl").read_bytes())
    after = audited(where / "mended", where)
    was, now = the(before, metric, **part), the(after, metric, **part)
    assert was.value > 0.6
    assert now.value < was.value / 2
    assert now.interval[1] < was.interval[0]  # not by chance


def test_the_advice_says_what_it_assumes_and_who_should_look_first(sick):
    for finding in sick[1].audits[0].findings:
        why = finding.mitigation.why
        assert "review_queue.csv" in why and "`aboveboard compare` shows the gain and its price" in why
    assert "the training file must hold that column" in finding_of(sick[1], "fairness-impact-ratio-sex").mitigation.why
    assert "is assumed" in finding_of(sick[1], "fairness-counterfactual-flips").mitigation.why


def test_an_intersection_names_one_column_and_says_that_it_is_not_the_whole():
    """Errors fall on young women and old men: each column alone is fair."""
    sex, age = ["f", "f", "m", "m"] * 100, ["young", "old"] * 200
    target = [row // 4 % 2 for row in range(400)]
    predicted = [1 if pair in (("f", "young"), ("m", "old")) else 0 for pair in zip(sex, age, strict=True)]
    subject = answered(target, predicted, {"sex at birth": sex, "age": age})
    evidence = fairness(subject, FairnessOptions(), np.random.default_rng(0))
    crossed = [f for f in evidence.findings if "sex-at-birth-age" in f.id]
    assert crossed
    for finding in crossed:
        odds = finding.id.startswith("fairness-equalized-odds")
        flags = "--reductions equalized-odds --fairness-column 'sex at birth' --epochs 8" if odds else REWEIGH
        assert finding.mitigation.command.endswith(f"{flags} --out mended")
        assert "balances sex at birth alone" in finding.mitigation.why


def test_three_classes_get_the_penalty_which_takes_any_number():
    group, target = ["a", "b"] * 300, [row % 3 for row in range(600)]
    predicted = [y if g == "a" else 2 for y, g in zip(target, group, strict=True)]
    subject = answered(target, predicted, {"g": group}, labels=("x", "y", "z"))
    evidence = fairness(subject, FairnessOptions(), np.random.default_rng(0))
    odds = [f for f in evidence.findings if f.id.startswith("fairness-equalized-odds")]
    assert odds
    for finding in odds:
        assert "--fairness-penalty equalized-odds --fairness-column g" in finding.mitigation.command


def test_a_list_of_the_users_own_travels_into_the_command(tmp_path):
    own = tmp_path / "our terms.toml"
    own.write_text('[city]\npairs = [["paris", "london"]]\n', encoding="utf-8")
    texts = [f"in Paris {row}" for row in range(60)]
    subject = answered(
        [0, 1] * 30, [0] * 60, {"g": ["a", "b"] * 30}, texts=texts, swapped=lambda text: (0.1, 0.9)
    )  # fmt: skip
    evidence = fairness(subject, FairnessOptions(identity_terms=str(own)), np.random.default_rng(0))
    [finding] = [f for f in evidence.findings if f.id == "fairness-counterfactual-flips"]
    words = shlex.split(finding.mitigation.command)
    assert words[words.index("--identity-terms") + 1] == str(own)
