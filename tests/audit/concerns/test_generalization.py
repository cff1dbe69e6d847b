"""Promises of the generalization audit: overfitting, false certainty and weak slices are found, health passes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from sklearn import metrics as sk

from audit.concerns.generalization import GeneralizationOptions, generalization
from audit.concerns.generalization.calibration import temperature_estimate
from audit.concerns.generalization.gap import difference
from audit.concerns.generalization.slices import judge_slices, slices_of
from audit.plugin import Evidence, plugin_of
from audit.statistics import bootstrap_mean
from core_model.metrics import softmax
from reports.record import Metric, Severity, Verdict
from tests.factories import stub_subject


def run(subject: Any, seed: int = 0, **options: Any) -> Evidence:
    narrowed = subject.narrowed(plugin_of(generalization))
    return generalization(narrowed, GeneralizationOptions(**options), np.random.default_rng(seed))


def one(evidence: Evidence, name: str, **slice: str) -> Metric:
    found = [m for m in evidence.metrics if m.name == name and (not slice or m.slice == slice)]
    return found[0]


def ids(evidence: Evidence) -> set[str]:
    return {f.id for f in evidence.findings}


def planted(
    rows: int = 2000,
    *,
    sharpness: float = 1.0,
    train_skill: float | None = None,
    groups: dict[str, Sequence[str]] | None = None,
    wrong: Any = None,
    seed: int = 1,
    classes: int = 2,
) -> Any:
    """A subject whose labels are drawn from its own honest probabilities, before these are made `sharpness` sharper.

    `train_skill`: accuracy on training rows (None: no training rows). `wrong`: rows whose answer is turned round.
    """
    random = np.random.default_rng(seed)
    logits = random.normal(size=(rows, classes)) * 1.5
    targets = (softmax(logits).cumsum(1) < random.random((rows, 1))).sum(1)
    if wrong is not None:
        logits[wrong] = -np.abs(logits[wrong])
        logits[wrong, 1 - targets[wrong]] += 3
    texts = [f"row {i} " + "word " * (i % 40) for i in range(rows)]
    answers = dict(zip(texts, softmax(sharpness * logits), strict=True))
    training = None
    if train_skill is not None:
        train_texts = [f"train {i}" for i in range(rows)]
        train_targets = random.integers(classes, size=rows)
        found = random.random(rows) < train_skill
        for i, (text, target, right) in enumerate(zip(train_texts, train_targets, found, strict=True)):
            sure = 0.85 + 0.01 * (i % 10)  # answers of one and the same size would have losses without a spread
            answers[text] = np.eye(classes)[target if right else (target + 1) % classes] * sure + (1 - sure) / classes
        training = (train_texts, train_targets)
    return stub_subject(
        texts=texts, answer=lambda text: answers[text], targets=targets, groups=groups, training=training,
        labels=[f"label {i}" for i in range(classes)],
    )  # fmt: skip


def test_a_model_that_learned_by_heart_fails_and_its_healthy_twin_passes() -> None:
    test_accuracy = float((planted().predictions.predicted == planted().targets).mean())
    sick, healthy = run(planted(train_skill=1.0)), run(planted(train_skill=test_accuracy))
    gap = one(sick, "train_test_accuracy_gap")
    assert gap.value == pytest.approx(1.0 - test_accuracy)
    assert gap.verdict is Verdict.FAIL and "generalization-overfitted" in ids(sick)
    assert one(healthy, "train_test_accuracy_gap").verdict is Verdict.PASS
    assert "generalization-overfitted" not in ids(healthy)
    assert one(sick, "train_test_loss_gap").interval[0] > 0


def test_without_training_data_the_gap_is_absent_with_the_flag_and_never_a_pass() -> None:
    evidence = run(planted(rows=100))
    for name in ("train_accuracy", "train_test_accuracy_gap", "train_test_loss_gap"):
        assert one(evidence, name).value is None and "--train-data" in one(evidence, name).reason
    assert one(evidence, "train_test_accuracy_gap").verdict is not Verdict.PASS


def test_only_a_sample_of_the_training_rows_is_run() -> None:
    subject = planted(rows=300, train_skill=0.9)
    evidence = run(subject, training_rows=100)
    assert subject.predictor.forward_passes == 300 + 100
    assert one(evidence, "train_accuracy").n == 100
    assert any("100 of 300" in note for note in evidence.notes)


def test_the_plan_counts_the_passes_that_are_made() -> None:
    from audit.plugin import Size

    plugin, subject = plugin_of(generalization), planted(rows=300, train_skill=0.9)
    for most in (100, 5000):
        subject = planted(rows=300, train_skill=0.9)
        options = GeneralizationOptions(training_rows=most)
        run(subject, training_rows=most)
        planned = plugin.forward_passes(Size(rows=300, training_rows=300, classes=2), options)
        assert sum(planned.values()) == subject.predictor.forward_passes


def true_error(sharpness: float, classes: int = 2) -> float:
    """Mean distance between confidence and the chance to be right, by brute force over a million drawn rows."""
    logits = np.random.default_rng(9).normal(size=(1_000_000, classes)) * 1.5
    honest, said = softmax(logits).max(1), softmax(sharpness * logits).max(1)
    return float(np.abs(said - honest).mean())


def test_the_planted_calibration_error_is_covered_and_fails() -> None:
    """The model says softmax(3 z) where softmax(z) is true: always too sure, so bins hide nothing of the error."""
    evidence = run(planted(rows=4000, sharpness=3.0))
    error = one(evidence, "expected_calibration_error")
    assert error.interval[0] <= true_error(3.0) <= error.interval[1]
    assert error.verdict is Verdict.FAIL
    [finding] = [f for f in evidence.findings if f.id == "generalization-miscalibrated"]
    assert finding.severity is Severity.HIGH and "too sure" in finding.statement


def test_a_calibrated_model_passes() -> None:
    evidence = run(planted(rows=4000))
    assert one(evidence, "expected_calibration_error").verdict is Verdict.PASS
    assert "generalization-miscalibrated" not in ids(evidence)


@pytest.mark.parametrize("classes", [2, 4])
def test_the_temperature_mends_calibration_on_rows_that_did_not_choose_it(classes: int) -> None:
    evidence = run(planted(rows=4000, sharpness=3.0, classes=classes, seed=2))
    temperature = one(evidence, "fitted_temperature")
    before = one(evidence, "expected_calibration_error_before_temperature")
    after = one(evidence, "expected_calibration_error_after_temperature")
    assert temperature.interval[0] <= 3.0 <= temperature.interval[1]
    assert after.interval[1] < before.interval[0]
    assert after.value < before.value / 3
    assert temperature.n + after.n == 4000  # halves: no row both chose the temperature and judged it


def test_interval_of_the_temperature_covers_the_planted_one() -> None:
    """200 drawn data sets; a 95% interval misses 10 of them, give or take 6."""
    covered = 0
    for seed in range(200):
        random = np.random.default_rng(seed)
        logits = random.normal(size=(400, 3)) * 1.5
        targets = (softmax(logits).cumsum(1) < random.random((400, 1))).sum(1)
        covered += temperature_estimate(2.0 * logits, targets).covers(2.0)
    assert 180 <= covered <= 199


def test_scores_are_scikit_learns() -> None:
    subject = planted(rows=500)
    evidence = run(subject)
    probabilities, targets = subject.predictions.probabilities, subject.targets
    assert one(evidence, "negative_log_likelihood").value == pytest.approx(
        sk.log_loss(targets, probabilities), rel=1e-5
    )
    assert one(evidence, "brier_score").value == pytest.approx(sk.brier_score_loss(targets, probabilities[:, 1]))
    assert one(evidence, "test_accuracy").value == pytest.approx((probabilities.argmax(1) == targets).mean())


def test_accuracy_at_coverage_is_that_of_the_surest_rows() -> None:
    subject = planted(rows=500)
    found = one(run(subject), "accuracy_at_coverage")
    surest = np.argsort(-subject.predictions.confidence, kind="stable")[:400]
    assert found.slice == {"coverage": "0.8"}
    assert found.value == pytest.approx((subject.predictions.predicted == subject.targets)[surest].mean())
    assert found.interval[0] < found.value < found.interval[1]


def test_the_slice_that_was_made_weak_is_found_and_a_fair_model_has_none() -> None:
    rows = 1500
    groups = {"source": [("tweet", "post", "mail")[i % 3] for i in range(rows)]}
    weak = np.array(groups["source"]) == "mail"
    weak &= np.random.default_rng(3).random(rows) < 0.5
    sick = run(planted(rows=rows, groups=groups, wrong=weak))
    found = one(sick, "worst_slice_accuracy")
    assert found.slice == {"source": "mail"}
    assert one(sick, "worst_slice_gap").interval[0] > 0.1
    assert "generalization-worst-slice" in ids(sick)
    assert one(run(planted(rows=rows, groups=groups, wrong=weak), max_slice_gap=0.1), "worst_slice_gap").verdict is (
        Verdict.FAIL
    )
    fair = run(planted(rows=rows, groups=groups))
    assert "generalization-worst-slice" not in ids(fair)


def test_the_interval_of_the_worst_slice_holds_although_it_was_picked() -> None:
    """12 slices that are all alike, 400 times: the picked one's own truth, 0.8, is covered in at least 95%.

    The plain Wilson interval of the picked slice is the oracle's negative: it covers far less.
    """
    from audit.statistics import proportion

    random = np.random.default_rng(4)
    honest = plain = 0
    column = np.repeat([f"g{i}" for i in range(12)], 60)
    slices = [s for s in slices_of(["one"] * 720, np.zeros(720, int), ["x"], {"g": column}) if s.column == "g"]
    for _ in range(400):
        correct = random.random(720) < 0.8
        worst = judge_slices(slices, correct)[0]
        honest += worst.accuracy.covers(0.8)
        plain += proportion(int(correct[worst.slice.rows].sum()), 60).covers(0.8)
    assert honest >= 374
    assert plain < 340


def test_small_slices_are_left_out_and_counted() -> None:
    groups = {"rare": ["rare"] * 5 + ["common"] * 295}
    evidence = run(planted(rows=300, groups=groups))
    assert not any("rare: rare" in str(r["label"]) for f in evidence.figures for r in f.rows if "label" in r)
    assert any("left out" in note for note in evidence.notes)


def test_difference_of_means_is_covered() -> None:
    """200 pairs of skewed samples of unequal size; a 95% interval misses 10, give or take 6."""
    covered = 0
    for seed in range(200):
        random = np.random.default_rng(seed)
        samples = random.exponential(1.5, 200), random.exponential(1.0, 400)
        a, b = (bootstrap_mean(sample, random, resamples=500) for sample in samples)
        covered += difference(a, b).covers(0.5)
    assert 180 <= covered <= 199


def test_same_seed_same_evidence_and_inputs_untouched() -> None:
    subject = planted(rows=200, train_skill=0.9, groups={"g": ["a", "b"] * 100})
    texts, targets = list(subject.texts), subject.targets.copy()
    assert run(subject, seed=3) == run(subject, seed=3)
    assert list(subject.texts) == texts and (subject.targets == targets).all()


@pytest.mark.parametrize("rows", [1, 2, 30])
def test_a_handful_of_rows_gives_absent_values_with_reasons_and_no_crash(rows: int) -> None:
    evidence = run(planted(rows=rows))
    assert all(m.value is not None or m.reason for m in evidence.metrics)
    assert one(evidence, "expected_calibration_error_after_temperature").value is None


def test_findings_name_metrics_that_exist() -> None:
    evidence = run(planted(train_skill=1.0, sharpness=3.0))
    keys = [m.key for m in evidence.metrics]
    assert len(set(keys)) == len(keys)
    assert len(evidence.findings) >= 2
    assert all(set(f.metrics) <= set(keys) for f in evidence.findings)
