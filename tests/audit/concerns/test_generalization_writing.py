"""Generalization where a model writes or foresees text: a model that remembers is found, one that learned is not."""

from __future__ import annotations

import numpy as np
import pytest

from audit.concerns.generalization import GeneralizationOptions, generalization
from audit.concerns.generalization.corpus import judge_slices
from audit.concerns.generalization.slices import Slice
from core_model.corpus_metric import CorpusMetric, mean_of_rows, values_and_rows
from reports.record import Severity, Verdict
from tests.audit.concerns.writing_subjects import language, questions, spoiled, summarization, translated, translation

OPTIONS = GeneralizationOptions(training_rows=150)


def measure(subject, options=OPTIONS):
    evidence = generalization(subject, options, np.random.default_rng(0))
    return evidence, {m.key: m for m in evidence.metrics}, {f.id: f for f in evidence.findings}


def test_a_translator_that_copies_its_training_targets_is_found():
    known = dict.fromkeys(translation(training=200).training.texts)
    copying = translation(lambda t: translated(t) if t in known else spoiled(t, 0.6), training=200)
    _, by_key, findings = measure(copying)
    assert by_key["train_bleu"].value == pytest.approx(100)
    assert by_key["train_test_bleu_gap"].verdict is Verdict.FAIL and by_key["train_test_bleu_gap"].limit == 10
    found = findings["generalization-overfitted"]
    assert found.severity is Severity.HIGH and "--early-stopping" in found.mitigation.command


def test_its_healthy_twin_passes():
    twin = translation(lambda t: spoiled(t, 0.05), rows=400, training=400)
    _, by_key, findings = measure(twin, GeneralizationOptions(training_rows=400))
    assert by_key["train_test_bleu_gap"].verdict is Verdict.PASS
    assert "generalization-overfitted" not in findings


def test_a_language_model_that_remembers_is_found_by_its_loss():
    known = set(language(len, training=200).training.texts)
    _, by_key, findings = measure(language(lambda t: (0.1 if t in known else 2.0) * len(t.split()), training=200))
    assert by_key["train_test_loss_gap"].value == pytest.approx(1.9)
    assert by_key["train_test_bits_per_byte_gap"].value > 0.1
    assert findings["generalization-overfitted"].severity is Severity.HIGH


def test_a_summarizer_that_foresees_training_targets_is_found_before_it_writes_them():
    subject = summarization(lambda text: " ".join(text.split()[-3:]), training=200)
    known = set(subject.training.texts)
    subject.predictor.nats = lambda text, target: (0.2 if text in known else 1.0) + len(text) % 3 / 10
    _, by_key, findings = measure(subject)
    assert by_key["train_test_rougeL_gap"].verdict is Verdict.PASS  # both sides are perfect
    assert by_key["train_test_loss_gap"].interval[0] > 0.1
    assert findings["generalization-overfitted"].severity is Severity.LOW


def test_the_length_where_it_is_weak_is_found_with_rows_to_read():
    weak = translation(lambda t: spoiled(t, 0.8 if len(t.split()) > 11 else 0.02))
    _, _, findings = measure(weak)
    found = findings["generalization-worst-slice"]
    assert "text_length" in found.statement and found.examples
    assert all(len(example["text"].split()) > 11 for example in found.examples)
    _, _, none = measure(translation(lambda t: spoiled(t, 0.02)))
    assert "generalization-worst-slice" not in none


def test_the_worst_of_many_equal_slices_is_not_called_weak():
    """Thirty experiments of five slices that do not differ: the widened intervals keep their promise."""
    alarms = 0
    for seed in range(30):
        random = np.random.default_rng(seed)
        part = random.integers(0, 5, 150)
        of = CorpusMetric("token_f1", values_and_rows(random.beta(2, 1, 150)), mean_of_rows, "s", "u", "higher", "mean")
        [worst, *_] = judge_slices([Slice("part", str(p), part == p) for p in range(5)], of, random)
        alarms += worst.gap.low > 0
    assert alarms <= 4  # of 30 at 5%: more has a chance below one in fifty


def test_answers_that_are_surer_than_right_are_miscalibrated():
    subject = questions(lambda question, context: context.split()[7] if len(context) % 2 else "nothing")
    subject.predictor.answer = lambda q, c, answer=subject.predictor.answer: type(answer(q, c))(
        answer(q, c).texts, np.full(len(q), np.log(0.95))
    )
    _, by_key, _ = measure(subject)
    right = by_key["test_exact_match"].value
    assert by_key["expected_calibration_error"].value == pytest.approx(0.95 - right, abs=0.03)


def test_a_text_has_no_probability_of_being_right_and_that_is_said():
    _, by_key, _ = measure(translation())
    absent = by_key["expected_calibration_error"]
    assert absent.value is None and "no probability" in absent.reason


def test_without_training_rows_the_gap_is_absent_with_its_reason():
    evidence, by_key, _ = measure(translation())
    gap = by_key["train_test_bleu_gap"]
    assert gap.value is None and "--train-data" in gap.reason
    assert "--train-data" in evidence.notes[0]
