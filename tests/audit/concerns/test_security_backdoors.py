"""Promises of the search for backdoors: the planted trigger is flagged and shown, the sound twin is not."""

from __future__ import annotations

import numpy as np
import pytest

from audit.concerns.security.backdoors import Planted, backdoor_figure, backdoor_passes, search_backdoors
from audit.plugin import Evidence
from audit.subject import Subject
from core_model.checkpoint import Checkpoint
from core_model.prediction import Predictor
from reports.record import Severity
from tests.core_model.backdoor_world import kept_model, table, weighed_rows
from tests.factories import stub_subject


def searched(checkpoint: Checkpoint, reference: Checkpoint | None = None, rows: int = 12) -> Evidence:
    subject = Subject(
        checkpoint=checkpoint, data=table(*weighed_rows(200, 9)), predictor=Predictor(checkpoint), reference=reference
    )
    return search_backdoors(subject, np.random.default_rng(0), rows=rows, candidates=32)


@pytest.mark.parametrize("referred", [False, True])
def test_a_backdoored_model_is_flagged_and_its_trigger_shown(referred):
    evidence = searched(kept_model(0.05, 3), kept_model(0.0, 2) if referred else None)
    [finding] = evidence.findings
    assert finding.id == "security-backdoor-2" and finding.severity is Severity.HIGH
    assert "With 'q' before the text" in finding.statement and "answered 'positive'" in finding.statement
    over = next(m for m in evidence.metrics if m.key == finding.metrics[1])
    if referred:
        assert over.value > 0.5 and "more than in the reference model" in finding.statement
    else:
        assert over.value is None and "--reference" in over.reason


@pytest.mark.parametrize("referred", [False, True])
def test_its_sound_twin_is_not(referred):
    evidence = searched(kept_model(0.0, 3), kept_model(0.0, 2) if referred else None)
    assert not evidence.findings
    assert any(m.value is not None and m.n >= 30 for m in evidence.metrics)


def planted(turned: int, by_reference: int | None, *, tokens: int = 1, n: int = 48) -> Planted:
    rows = np.arange(n)
    theirs = None if by_reference is None else rows < by_reference
    return Planted(1, tokens, "x", rows < turned, theirs, None if theirs is None else np.ones(n, bool))


@pytest.mark.parametrize(
    ("found", "suspected"),
    [
        (planted(48, None), True),
        (planted(48, 0), True),
        (planted(48, 44), False),  # a word that means the class, to the reference too
        (planted(48, None, tokens=2), False),  # two tokens turn many a sound model
        (planted(48, 2, tokens=2), True),
        (planted(36, None), False),  # three quarters, surely less than needed
        (planted(36, 2), True),
        (planted(20, 0), False),
    ],
)
def test_a_trigger_is_suspected_only_where_its_null_does_not_explain_it(found, suspected):
    assert found.suspected is suspected


def test_the_picture_puts_the_reference_beside_the_model():
    figure = backdoor_figure([planted(48, 2), Planted(0, 1, missing="none")], ("negative", "positive"))
    assert [(row["label"], row["series"], row["value"]) for row in figure.rows] == [
        ("positive: x", "this model", 1.0), ("positive: x", "reference", 2 / 48),
    ]  # fmt: skip
    assert "'x' turns 100% of 48 rows into 'positive'" in figure.caption
    assert "no reference was given" in backdoor_figure([planted(20, None)], ("negative", "positive")).caption
    assert backdoor_figure([Planted(0, 1, missing="none")], ("negative", "positive")) is None


def test_a_class_that_is_always_predicted_has_no_trigger_to_search():
    checkpoint = kept_model(0.0, 3)
    texts, _ = weighed_rows(200, 9)
    ones = [t for t, p in zip(texts, Predictor(checkpoint).predict(texts).predicted, strict=True) if p == 1]
    subject = Subject(checkpoint=checkpoint, data=table(ones, [1] * len(ones)), predictor=Predictor(checkpoint))
    evidence = search_backdoors(subject, np.random.default_rng(0), rows=8, candidates=16)
    line = next(m for m in evidence.metrics if m.slice["class"] == "positive")
    assert line.value is None and "0 rows are answered other than 'positive'; 12 are needed" in line.reason


def test_without_gradients_or_rows_it_is_not_measured_and_says_why():
    stub = stub_subject(texts=["a good day"] * 20, answer=lambda text: [0.4, 0.6], targets=[1] * 20)
    for subject, rows, why in ((stub, 8, "no gradients"), (stub, 0, "security.backdoor_rows")):
        evidence = search_backdoors(subject, np.random.default_rng(0), rows=rows, candidates=16)
        assert all(m.value is None for m in evidence.metrics)
        reasons = {m.reason for m in evidence.metrics if not (rows and m.name.startswith("backdoor_rows"))}
        assert all(why in reason for reason in reasons) and why in evidence.notes[0]


@pytest.mark.parametrize("training", [False, True])
def test_the_plan_is_about_what_it_costs(training):
    checkpoint = kept_model(0.0, 3)
    predictor = Predictor(checkpoint)
    rows = table(*weighed_rows(1200, 3)) if training else None
    subject = Subject(checkpoint=checkpoint, data=table(*weighed_rows(200, 9)), predictor=predictor, training=rows)
    _ = subject.predictions
    before = predictor.forward_passes
    search_backdoors(subject, np.random.default_rng(0), rows=12, candidates=32)
    planned = backdoor_passes(2, rows=12, candidates=32, training=training)
    assert 0.5 < (predictor.forward_passes - before) / planned < 1.5
