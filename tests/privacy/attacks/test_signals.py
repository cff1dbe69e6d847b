"""What is read off a model is its loss: of a class by cross-entropy, of a text a token."""

from __future__ import annotations

import numpy as np
import pytest
from pytest import approx
from scipy.special import log_softmax, logit, softmax

from core_model.data import Table
from core_model.errors import TaskUnfit
from core_model.predictions import Predictions, TokenScores
from core_model.tasks import Task
from privacy.attacks.signals import signals_of
from tests.factories import StubWriter

LOGITS = np.random.default_rng(0).normal(0, 3, (20, 3)).astype(np.float32)


class Model(StubWriter):
    """Planted logits and tokens; each text is its row number."""

    def predict(self, texts, pairs=None):
        return Predictions(LOGITS[[int(text) for text in texts]])

    def token_scores(self, texts, targets=None):
        return TokenScores(
            np.array([0, 2, 2, 5]), -np.arange(5, dtype=np.float32), np.full(5, -1, np.float32), np.ones(5, np.float32)
        )


def test_of_a_classifier_they_are_cross_entropy_and_the_logit_of_the_probability():
    targets = np.arange(20) % 3
    table = Table.from_rows(
        name="planted", texts=[str(i) for i in range(20)], targets=targets, label_names=("a", "b", "c"), synthetic=True
    )
    found = signals_of(Model(), table, Task.CLASSIFICATION)
    truth = LOGITS.astype(np.float64)
    assert found.losses == approx(-log_softmax(truth, axis=1)[np.arange(20), targets])
    assert found.confidence == approx(logit(softmax(truth, axis=1)[np.arange(20), targets]))


def test_a_certain_model_has_finite_signals():
    table = Table.from_rows(name="planted", texts=["0"], targets=[0], label_names=("a", "b", "c"), synthetic=True)
    model = Model()
    model.predict = lambda texts, pairs=None: Predictions(np.array([[1e4, 0, 0]], dtype=np.float32))
    found = signals_of(model, table, Task.CLASSIFICATION)
    assert np.isfinite([found.losses, found.confidence]).all()


def test_of_a_language_model_they_are_nats_a_token_and_absent_where_no_token_is():
    table = Table.from_rows(name="planted", texts=["a", "b", "c"], synthetic=True)
    found = signals_of(Model(), table, Task.LANGUAGE_MODELING)
    assert found.losses[[0, 2]] == approx([0.5, 3.0]) and np.isnan(found.losses[1]) and np.isnan(found.min_k[1])


def test_of_a_translator_they_are_nats_a_token_of_the_target():
    table = Table.from_rows(name="planted", texts=["a", "b"], references=["x y", "z"], synthetic=True)
    found = signals_of(Model(nats=lambda source, target: 3.0), table, Task.TRANSLATION)
    assert found.losses == approx([1.5, 3.0]) and found.min_k is None


def test_of_a_reader_they_are_the_loss_of_the_true_span_and_the_logit_of_its_probability():
    losses = np.array([0.3, 2.0, np.nan, 0.0])
    asked = []

    class Reader(Model):
        def span_losses(self, questions, contexts, answers):
            asked.extend(answers)
            return losses

    table = Table.from_rows(
        name="planted", texts=["who"] * 4, pairs=["the king said so"] * 4, synthetic=True,
        references=["king", '["queen", "the king"]', "queen", "so"],
    )  # fmt: skip
    found = signals_of(Reader(), table, Task.QUESTION_ANSWERING)
    assert asked == [(4, 8), (0, 8), None, (14, 16)]
    assert found.losses == approx(losses, nan_ok=True) and found.min_k is None
    assert found.confidence[:2] == approx(logit(np.exp(-losses[:2])))
    assert np.isnan(found.confidence[2]) and np.isfinite(found.confidence[3])


def test_a_task_without_a_probability_of_its_truth_is_refused():
    table = Table.from_rows(name="planted", texts=["a"], pairs=["b"], references=["c"], synthetic=True)
    with pytest.raises(TaskUnfit, match="feature-extraction"):
        signals_of(Model(), table, Task.FEATURE_EXTRACTION)
