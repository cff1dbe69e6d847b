"""Promises of the evaluability audit: its numbers are scikit-learn's, and it finds what was leaked."""

from __future__ import annotations

import shlex
from typing import Any

import numpy as np
import pytest
from sklearn import metrics as sk

from audit.concerns.evaluability import EvaluabilityOptions, evaluability
from audit.concerns.evaluability.leakage import repeats_within
from audit.concerns.evaluability.power import power_metrics, rows_to_detect
from audit.concerns.evaluability.quality import macro_auroc
from audit.plugin import Evidence, plugin_of
from core_model.metrics import softmax
from reports.record import Metric, Severity, Verdict
from tests.factories import stub_subject

LABELS = ("good", "bad", "other")


def run(subject: Any, seed: int = 0, **options: Any) -> Evidence:
    narrowed = subject.narrowed(plugin_of(evaluability))
    return evaluability(narrowed, EvaluabilityOptions(**options), np.random.default_rng(seed))


def one(evidence: Evidence, name: str, **slice: str) -> Metric:
    [found] = [m for m in evidence.metrics if m.name == name and m.slice == slice]
    return found


def planted(
    rows: int = 300, *, classes: int = 2, skill: float = 1.0, seed: int = 1, training: Any = None, targets: Any = None
) -> tuple[Any, np.ndarray, np.ndarray]:
    """A subject whose answers are random logits pushed towards the truth; with the targets and probabilities."""
    random = np.random.default_rng(seed)
    targets = random.integers(classes, size=rows) if targets is None else np.asarray(targets)
    logits = random.normal(size=(rows, classes))
    logits[np.arange(rows), targets] += skill
    probabilities = softmax(logits)
    texts = [f"row number {i} speaks of word{i} and of thing{i} too" for i in range(rows)]
    answers = dict(zip(texts, probabilities, strict=True))
    subject = stub_subject(
        texts=texts, answer=lambda text: answers[text], targets=targets, labels=LABELS[:classes], training=training
    )
    return subject, targets, probabilities


@pytest.mark.parametrize("classes", [2, 3])
def test_numbers_are_scikit_learns(classes: int) -> None:
    subject, targets, probabilities = planted(classes=classes)
    evidence, predicted = run(subject), probabilities.argmax(1)
    expected = {
        "accuracy": sk.accuracy_score(targets, predicted),
        "balanced_accuracy": sk.balanced_accuracy_score(targets, predicted),
        "macro_f1": sk.f1_score(targets, predicted, average="macro"),
        "auroc": sk.roc_auc_score(targets, probabilities[:, 1])
        if classes == 2
        else sk.roc_auc_score(targets, probabilities, multi_class="ovr"),
        "majority_class_rate": np.bincount(targets).max() / len(targets),
    }
    for name, value in expected.items():
        found = one(evidence, name)
        assert found.value == pytest.approx(value, abs=1e-6), name
        assert found.interval[0] < found.value < found.interval[1], name
    precision, recall, f1, rows = sk.precision_recall_fscore_support(targets, predicted)
    for i, label in enumerate(LABELS[:classes]):
        assert one(evidence, "precision", label=label).value == pytest.approx(precision[i])
        assert one(evidence, "recall", label=label).value == pytest.approx(recall[i])
        assert one(evidence, "recall", label=label).n == rows[i]
        assert one(evidence, "f1", label=label).value == pytest.approx(f1[i])


def test_each_label_of_many_has_its_own_auroc() -> None:
    subject, targets, probabilities = planted(classes=3)
    evidence = run(subject)
    for i, label in enumerate(LABELS):
        expected = sk.roc_auc_score(targets == i, probabilities[:, i])
        assert one(evidence, "auroc", label=label).value == pytest.approx(expected, abs=1e-6)


def test_interval_of_the_macro_auroc_covers_the_truth() -> None:
    """200 drawn data sets; the truth is the mean over all of them. A 95% interval misses 10 of 200, give or take 6."""
    found = []
    for seed in range(200):
        _, targets, probabilities = planted(rows=150, classes=3, seed=seed)
        found.append(macro_auroc(probabilities, targets, np.random.default_rng(seed)))
    truth = float(np.mean([e.value for e in found]))
    assert 180 <= sum(e.covers(truth) for e in found) <= 199


def test_a_label_without_rows_has_no_recall_and_says_why() -> None:
    subject, _, _ = planted(classes=3, rows=100, targets=[0, 1] * 50, skill=8)
    evidence = run(subject)
    assert one(evidence, "recall", label="other").value is None
    assert "no row has this label" in one(evidence, "recall", label="other").reason
    assert one(evidence, "balanced_accuracy").value == pytest.approx(1.0)
    assert one(evidence, "balanced_accuracy").interval[0] > 0.9
    assert any("other" in note for note in evidence.notes)


def test_a_model_that_reads_nothing_is_found_and_one_that_reads_is_not() -> None:
    blind = stub_subject(texts=[f"t {i}" for i in range(200)], answer=lambda _: (0.9, 0.1), targets=[0, 0, 1, 0] * 50)
    evidence = run(blind)
    ids = {"evaluability-no-better-than-majority", "evaluability-label-never-predicted"}
    assert ids <= {f.id for f in evidence.findings}
    assert one(evidence, "accuracy_above_majority_class").value == 0
    assert one(evidence, "accuracy_above_majority_class").verdict is not Verdict.PASS
    assert one(evidence, "precision", label="positive").value is None

    seeing, _, _ = planted(skill=4)
    healthy = run(seeing)
    assert one(healthy, "accuracy_above_majority_class").verdict is Verdict.PASS
    assert not {f.id for f in healthy.findings} & ids


def leaky(rows: int = 400, *, exact: int = 0, near: int = 0) -> Any:
    """A model that knows what it met in training and guesses elsewhere; some test rows are training rows."""
    random = np.random.default_rng(2)
    topic = [f"topic{i} " + " ".join(f"w{random.integers(10_000)}" for _ in range(30)) for i in range(rows)]
    targets = random.integers(2, size=rows)
    guessed = random.random(rows) < 0.7
    seen = np.arange(rows) < exact + near
    answers = {t: np.eye(2)[y if s or g else 1 - y] for t, y, s, g in zip(topic, targets, seen, guessed, strict=True)}
    training = [f"unlike everything else number {i} by far, in {i} words" for i in range(500)]
    training[:exact] = [topic[i].upper() + "  " for i in range(exact)]
    training[exact : exact + near] = [topic[exact + i] + " indeed" for i in range(near)]
    return stub_subject(
        texts=topic, answer=lambda t: answers[t], targets=targets, training=(training, [0] * 500),
        groups={"source": ["a", "b"] * (rows // 2)},
    )  # fmt: skip


def test_leaked_rows_are_found_counted_and_shown() -> None:
    evidence = run(leaky(exact=40, near=20))
    assert one(evidence, "exact_duplicate_overlap").value == pytest.approx(0.1)
    assert one(evidence, "near_duplicate_overlap").value == pytest.approx(0.15)
    assert one(evidence, "exact_duplicate_overlap").verdict is Verdict.FAIL
    [finding] = [f for f in evidence.findings if f.id == "evaluability-train-test-overlap"]
    assert finding.severity is Severity.HIGH
    assert "60 of 400" in finding.statement and "40 of them word for word" in finding.statement
    assert finding.examples_total == 60
    assert all(e["test_row"] == e["training_row"] for e in finding.examples)  # planted row i is training row i


def test_what_the_leak_adds_to_accuracy_is_told() -> None:
    subject = leaky(exact=100)
    evidence = run(subject)
    correct = subject.predictions.predicted == subject.targets
    assert one(evidence, "accuracy_on_overlapping_rows").value == 1.0
    assert one(evidence, "accuracy_without_overlap").value == pytest.approx(correct[100:].mean())
    inflation = one(evidence, "leakage_inflation")
    assert inflation.value == pytest.approx(correct.mean() - correct[100:].mean())
    assert inflation.interval[0] > 0


def test_a_clean_test_passes() -> None:
    evidence = run(leaky())
    for name in ("exact_duplicate_overlap", "near_duplicate_overlap"):
        assert one(evidence, name).value == 0 and one(evidence, name).verdict is Verdict.PASS
    assert not [f for f in evidence.findings if "overlap" in f.id]
    assert one(evidence, "accuracy_on_overlapping_rows").value is None
    assert one(evidence, "leakage_inflation").value == 0
    assert evidence.tables == {}


def test_the_mend_for_a_leak_mends_it() -> None:
    """The finding's command audits the table that stands beside it: as a data file, that has no overlap."""
    subject = leaky(exact=40, near=20)
    evidence = run(subject)
    [finding] = [f for f in evidence.findings if f.id == "evaluability-train-test-overlap"]
    words = shlex.split(finding.mitigation.command)
    assert words[:2] == ["aboveboard", "audit"] and "test_rows_without_overlap.csv" in words
    clean = evidence.tables["test_rows_without_overlap"]
    again = run(
        stub_subject(
            texts=[str(row["text"]) for row in clean],
            targets=[("negative", "positive").index(str(row["label"])) for row in clean],
            groups={"source": [str(row["source"]) for row in clean]},
            answer=subject.predictor.answer,
            training=(subject.training.texts, subject.training.targets),
        )
    )
    assert len(clean) == 340
    assert one(again, "near_duplicate_overlap").value == 0
    assert one(again, "accuracy").value == one(evidence, "accuracy_without_overlap").value


def test_without_training_data_leakage_is_absent_with_the_flag_and_never_a_pass() -> None:
    evidence = run(planted()[0])
    for name in ("exact_duplicate_overlap", "near_duplicate_overlap", "leakage_inflation", "accuracy_without_overlap"):
        found = one(evidence, name)
        assert found.value is None and "--train-data" in found.reason
        assert found.verdict is not Verdict.PASS


def test_rows_that_repeat_within_the_test_are_counted() -> None:
    assert repeats_within(["A cat", "a  CAT ", "a dog", "a cat"]).tolist() == [False, True, False, True]


def test_the_detectable_effect_is_found_in_four_of_five_tries() -> None:
    """Against a simulation: McNemar's exact test on pairs of models that differ by the effect."""
    from scipy.stats import binomtest

    correct = np.arange(1000) < 850
    lines, psi = power_metrics(correct, disagreement=0.1)
    effect = lines[0].value
    random = np.random.default_rng(6)
    found = 0
    for _ in range(1000):
        better, worse, _ = random.multinomial(1000, [(psi + effect) / 2, (psi - effect) / 2, 1 - psi])
        found += binomtest(better, better + worse).pvalue < 0.05
    assert psi == 0.1
    assert 740 <= found <= 840  # the exact test is a little weaker than the normal power that is promised


def test_rows_to_detect_are_the_fewest_that_do() -> None:
    from audit.statistics import minimum_detectable_effect

    rows = rows_to_detect(0.01, 0.85, 0.1)
    assert minimum_detectable_effect(rows, 0.85, paired_disagreement=0.1).value <= 0.01
    assert minimum_detectable_effect(rows - 1, 0.85, paired_disagreement=0.1).value > 0.01


def test_a_test_that_is_too_small_is_said_to_be() -> None:
    small, large = run(planted(rows=60)[0]), run(planted(rows=4000, skill=2)[0])
    assert "evaluability-test-too-small" in {f.id for f in small.findings}
    assert "evaluability-test-too-small" not in {f.id for f in large.findings}


def test_figures_hold_each_label_and_each_confusion() -> None:
    subject, targets, probabilities = planted(classes=3)
    labels, confusion = run(subject).figures
    assert {(r["label"], r["series"]) for r in labels.rows} == {
        (x, s) for x in LABELS for s in ("precision", "recall", "f1")
    }
    table = sk.confusion_matrix(targets, probabilities.argmax(1))
    for row in confusion.rows:
        assert row["n"] == table[LABELS.index(row["y"]), LABELS.index(row["x"])]


def test_same_seed_same_evidence_and_inputs_untouched() -> None:
    subject = leaky(exact=10)
    texts, targets = list(subject.texts), subject.targets.copy()
    assert run(subject, seed=3) == run(subject, seed=3)
    assert list(subject.texts) == texts and (subject.targets == targets).all()


def test_findings_name_metrics_that_exist() -> None:
    for subject in (leaky(exact=40), planted(rows=30)[0]):
        evidence = run(subject)
        keys = {m.key for m in evidence.metrics}
        assert len(keys) == len(evidence.metrics)
        assert all(set(f.metrics) <= keys for f in evidence.findings)
