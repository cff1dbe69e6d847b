"""Promises of `compare` about mends: a planted gain is found with its price, a twin shows none."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from audit.comparison import compare
from audit.concerns.robustness import RobustnessOptions, robustness
from audit.concerns.security.attack_options import AttackOptions
from audit.concerns.security.attacks import attack_answers
from audit.evidence import metric
from audit.main import run
from audit.plugin import Evidence
from audit.rows import evidence_of
from audit.statistics import proportion
from reports.record import AuditResult, Record, Status
from tests.factories import stub_subject
from tests.reports import factories
from tests.reports.factories import sha256
from tests.reports.pages import Page

NOUNS = "film meal book king queen dog cat bird city friend".split()
TEXTS = [f"{a} {b} awful {c}" for a in NOUNS[:4] for b in NOUNS[4:] for c in ("story", "song")]
TARGETS = [0] * len(TEXTS)
ATTACKS = AttackOptions(attack_rows=40, recipes=("deepwordbug",), resamples=200, trigger_rows=0)
NOISE = RobustnessOptions(rows=None, smoothed_rows=20, smoothing_looks=20)


def leans_on_a_word(text: str) -> tuple[float, float]:
    """Negative, as long as "awful" stands there in small letters: sick."""
    return (0.9, 0.1) if "awful" in text.split() else (0.2, 0.8)


def mended_for_songs(text: str) -> tuple[float, float]:
    """Its mend: whatever begins like "song" is negative anyway; it pays with stories about cats."""
    if "cat" in text.split() and "story" in text.split():
        return (0.1, 0.9)
    return (0.9, 0.1) if any(word[:1] == "s" and len(word) < 5 for word in text.split()) else leans_on_a_word(text)


def kept(folder: Path, name: str, answer, **evidence_of_audit: Evidence) -> Path:
    """A record of these audits of a planted model, with its evidence file beside it."""
    subject = stub_subject(texts=TEXTS, answer=answer, targets=TARGETS, labels=("negative", "positive"))
    found = {
        "security": attack_answers(subject, ATTACKS, np.random.default_rng(0)),
        "robustness": robustness(subject, NOISE, np.random.default_rng(0)),
    } | evidence_of_audit
    facts, content = evidence_of(
        subject, file="evidence.parquet", outcomes={audit: evidence.outcomes for audit, evidence in found.items()}
    )
    audits = [
        AuditResult(id=audit, concern=audit, status=Status.MEASURED, metrics=list(evidence.metrics))
        for audit, evidence in found.items()
    ]
    record = factories.record(audits=audits)
    of_model = record.subject.model_copy(update={"name": name, "sha256": sha256(name), "labels": list(subject.labels)})
    record = record.model_copy(update={"subject": of_model, "evidence": facts}).sealed()
    (folder / name).mkdir()
    (folder / name / "evidence.parquet").write_bytes(content)
    assert hashlib.sha256(content).hexdigest() == facts.sha256
    (folder / name / "audit.json").write_text(record.to_json(), encoding="utf-8")
    return folder / name / "audit.json"


@pytest.fixture(scope="module")
def records(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("mends")
    return {
        "before": kept(folder, "before", leans_on_a_word),
        "again": kept(folder, "again", leans_on_a_word),
        "mended": kept(folder, "mended", mended_for_songs),
    }


def test_what_rows_counted_is_what_the_numbers_are_the_means_of():
    subject = stub_subject(texts=TEXTS, answer=mended_for_songs, targets=TARGETS)
    for found in (attack_answers(subject, ATTACKS, np.random.default_rng(0)),
                  robustness(subject, NOISE, np.random.default_rng(0))):  # fmt: skip
        metrics = {metric.key: metric for metric in found.metrics}
        assert len(found.outcomes) > 1
        for key, outcome in found.outcomes.items():
            assert np.mean(outcome.values) == pytest.approx(metrics[key].value), key
            assert len(outcome.rows) == metrics[key].n, key


def compared(records: dict[str, Path], b: str, a: str = "before"):
    read = [Record.model_validate_json(records[name].read_text(encoding="utf-8")) for name in (a, b)]
    return compare(*read, folder_a=records[a].parent, folder_b=records[b].parent)


def line(comparison, name: str, **part: str):
    [found] = [row for row in comparison.rows if row.name == name and row.slice == part]
    return found


def test_the_planted_gain_is_paired_and_has_its_price(records):
    comparison = compared(records, "mended")
    success = line(comparison, "attack_success_rate", attack="deepwordbug")
    assert success.paired and success.conclusion == "better" and success.interval[1] < 0
    assert "rows that count in both" in success.reason  # it is wrong about cats, where the other was right
    left = line(comparison, "accuracy_under_attack", attack="deepwordbug")
    assert left.paired and left.conclusion == "better" and left.n == 40
    assert left.difference == pytest.approx(left.b - left.a)  # all drawn rows count in both
    assert success.key in comparison.mend.gains and left.key in comparison.mend.gains
    accuracy, balanced = comparison.mend.price
    wrong = sum("cat" in text and "story" in text for text in TEXTS)
    assert accuracy.difference == pytest.approx(-wrong / len(TEXTS)) and accuracy.paired
    assert (accuracy.a, accuracy.name, balanced.name) == (1.0, "accuracy", "balanced_accuracy")


def test_the_price_is_the_line_that_an_audit_of_quality_measured(tmp_path):
    right = [48, 40]
    paths = {}
    for name, answer, hits in zip(("a", "b"), (leans_on_a_word, mended_for_songs), right, strict=True):
        accuracy = metric("accuracy", proportion(hits, 48), unit="share of rows", better="higher")
        paths[name] = kept(tmp_path, name, answer, evaluability=Evidence(metrics=[accuracy]))
    comparison = compared(paths, "b", "a")
    assert [one.name for one in comparison.mend.price] == ["accuracy"]
    assert comparison.mend.price[0] in comparison.rows and comparison.mend.price[0].b == right[1] / 48


def test_noise_and_certificates_are_paired(records):
    comparison = compared(records, "mended")
    by_case = line(comparison, "accuracy", noise="upper_case")
    assert by_case.paired and by_case.n == len(TEXTS)
    for name in ("plain_accuracy", "abstention_rate"):
        assert line(comparison, name).paired, name
    robust = [row for row in comparison.rows if row.audit == "robustness" and row.difference is not None]
    unpaired = {row.name for row in robust if not row.paired}
    assert unpaired <= {"worst_noise_accuracy_drop"}  # picked on each side for being worst
    assert any(key.startswith("robustness.certified_accuracy[radius=1]") for key in comparison.mend.gains)


def test_a_twin_has_no_gain_and_no_price(records):
    comparison = compared(records, "again")
    assert {row.conclusion for row in comparison.rows} <= {"no evidence of change", "not comparable"}
    assert all(row.reason for row in comparison.rows if row.conclusion == "not comparable")
    assert all(row.difference == 0 for row in comparison.gains if row.difference is not None)
    assert all(row.conclusion == "no evidence of change" for row in comparison.mend.price)


def test_terminal_json_and_page_tell_the_gain_beside_its_price(records, tmp_path, capsys):
    command = ["compare", str(records["before"]), str(records["mended"]), "--out", str(tmp_path)]
    assert run(command) == 0
    said = capsys.readouterr().out
    gain = said.index("against attacks and noise:\n  attack success rate deepwordbug -")
    price = said.index("the price, where nobody attacks:\n  accuracy -")
    assert gain < price and "], better; 1 -> " in said and "paired on" in said
    page = Page((tmp_path / "comparison.html").read_text(encoding="utf-8"))
    assert "Against attacks and noise" in page.text and "The price: on the rows as they are" in page.text
    assert run([*command, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert "security.attack_success_rate[attack=deepwordbug]" in printed["mend"]["gains"]
    assert printed["mend"]["price"][0]["name"] == "accuracy"


def test_without_evidence_files_the_gain_is_unpaired_and_the_price_unknown(records):
    read = [Record.model_validate_json(records[name].read_text(encoding="utf-8")) for name in ("before", "mended")]
    comparison = compare(*read)
    assert not any(row.paired for row in comparison.rows)
    assert comparison.mend.price == [] and "cannot be counted" in comparison.mend.price_missing


def test_unpaired_numbers_say_that_the_options_differ(records):
    read = [Record.model_validate_json(records[name].read_text(encoding="utf-8")) for name in ("before", "mended")]
    for record, budget in zip(read, (500, 50), strict=True):
        record.audits[0].options.update({"query_budget": budget, "attack_rows": 40})
    comparison = compare(*read)
    reasons = {row.audit: row.reason for row in comparison.rows if row.difference is not None}
    assert reasons["security"].endswith("; the options of the two audits differ: query_budget")
    assert "differ" not in reasons["robustness"]


def test_records_without_attacks_say_nothing_of_mends(records):
    read = Record.model_validate_json(records["before"].read_text(encoding="utf-8"))
    assert compare(read.model_copy(update={"audits": []}), read).mend is None


def test_another_foe_is_not_compared(records, tmp_path):
    subject = stub_subject(texts=TEXTS, answer=leans_on_a_word, targets=TARGETS)
    weaker = ATTACKS.model_copy(update={"query_budget": 6})
    path = kept(tmp_path, "weaker", leans_on_a_word, security=attack_answers(subject, weaker, np.random.default_rng(0)))
    comparison = compared({**records, "weaker": path}, "weaker")
    for name in ("attack_success_rate", "queries_median"):
        found = line(comparison, name, attack="deepwordbug")
        assert found.conclusion == "not comparable" and "at most 6 texts asked for a row in B" in found.reason
