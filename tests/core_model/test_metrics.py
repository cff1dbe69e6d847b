"""Promises of the classification statistics: each equals scikit-learn's, or a slow loop's."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as sk

from core_model import metrics


@pytest.fixture(params=[(2, 0), (3, 1), (5, 2)], ids=lambda p: f"{p[0]} classes")
def rows(request: pytest.FixtureRequest) -> tuple[np.ndarray, np.ndarray, int]:
    classes, seed = request.param
    random = np.random.default_rng(seed)
    logits = random.normal(size=(200, classes))
    targets = random.integers(classes, size=200)
    logits[np.arange(200), targets] += 0.8
    return logits, targets, classes


def test_tables_give_scikit_learns_numbers(rows: tuple[np.ndarray, np.ndarray, int]) -> None:
    logits, targets, classes = rows
    predicted = logits.argmax(1)
    table = metrics.confusion_counts(targets, predicted, classes)
    assert (table == sk.confusion_matrix(targets, predicted, labels=range(classes))).all()
    assert metrics.accuracy(table) == pytest.approx(sk.accuracy_score(targets, predicted))
    assert metrics.balanced_accuracy(table) == pytest.approx(sk.balanced_accuracy_score(targets, predicted))
    assert metrics.macro_f1(table) == pytest.approx(sk.f1_score(targets, predicted, average="macro"))
    assert metrics.precision_per_class(table) == pytest.approx(sk.precision_score(targets, predicted, average=None))
    assert metrics.recall_per_class(table) == pytest.approx(sk.recall_score(targets, predicted, average=None))
    assert metrics.f1_per_class(table) == pytest.approx(sk.f1_score(targets, predicted, average=None))


def test_many_tables_at_once_are_one_table_at_a_time() -> None:
    tables = np.random.default_rng(0).integers(0, 4, size=(50, 3, 3))
    for function in (metrics.accuracy, metrics.balanced_accuracy, metrics.macro_f1):
        assert function(tables) == pytest.approx([float(function(table)) for table in tables])


def test_a_class_without_rows_has_no_recall_and_does_not_pull_the_mean_to_zero() -> None:
    table = np.array([[8, 2, 0], [0, 10, 0], [0, 0, 0]])
    assert np.isnan(metrics.recall_per_class(table)[2])
    assert metrics.balanced_accuracy(table) == pytest.approx(0.9)


def test_row_statistics_give_scikit_learns_means(rows: tuple[np.ndarray, np.ndarray, int]) -> None:
    logits, targets, classes = rows
    probabilities = metrics.softmax(logits)
    mean = metrics.negative_log_likelihood(logits, targets).mean()
    assert mean == pytest.approx(sk.log_loss(targets, probabilities, labels=range(classes)))


def test_loss_is_finite_where_the_probability_underflows() -> None:
    assert metrics.negative_log_likelihood(np.array([[0.0, 2000.0]]), np.array([0])) == pytest.approx([2000.0])


@pytest.mark.parametrize("planted", [0.5, 1.0, 3.0])
def test_the_planted_temperature_is_found(planted: float) -> None:
    """Labels drawn from softmax(logits); a model that says planted * logits needs this temperature."""
    random = np.random.default_rng(3)
    logits = random.normal(size=(20_000, 3))
    targets = (metrics.softmax(logits).cumsum(1) < random.random((20_000, 1))).sum(1)
    assert metrics.fit_temperature(planted * logits, targets) == pytest.approx(planted, rel=0.05)


def test_area_is_scikit_learns_with_ties_and_without() -> None:
    random = np.random.default_rng(4)
    positives = random.random(300) < 0.3
    for scores in (random.normal(size=300) + positives, random.integers(0, 4, 300) + positives):
        area, influence = metrics.auroc_components(scores, positives)
        assert area == pytest.approx(sk.roc_auc_score(positives, scores))
        assert influence.sum() == pytest.approx(0, abs=1e-12)


def test_influences_give_the_spread_of_the_area() -> None:
    """Against the standard deviation of the area over 400 drawn data sets."""
    random = np.random.default_rng(5)
    areas, deviations = [], []
    for _ in range(400):
        positives = np.arange(120) < 40
        area, influence = metrics.auroc_components(random.normal(size=120) + positives, positives)
        areas.append(area)
        deviations.append(np.sqrt((influence**2).sum()))
    assert np.mean(deviations) == pytest.approx(np.std(areas), rel=0.12)


def test_an_area_without_negatives_is_refused() -> None:
    with pytest.raises(ValueError, match="positives and negatives"):
        metrics.auroc_components(np.arange(3.0), np.ones(3, bool))
