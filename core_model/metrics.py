"""Per-row statistics and confusion counts of a classifier: what every classification number is made of.

A metric is a function of counts or of one number a row, so that it can be resampled thousands of times without being
called a thousand times: functions of counts take any number of confusion tables at once. Intervals are made in
`audit.statistics`, never here.
"""

from __future__ import annotations

import numpy as np

Array = np.ndarray


def confusion_counts(targets: Array, predicted: Array, classes: int) -> Array:
    """How often each class was taken for each.

    Args:
        targets, predicted: class indices, (rows,).
        classes: number of classes; those without a row count, too.
    Returns: (classes, classes) int64; the row is the true class, the column the predicted one.
    """
    cells = np.asarray(targets, np.int64) * classes + np.asarray(predicted, np.int64)
    return np.bincount(cells, minlength=classes * classes).reshape(classes, classes)


# Functions of confusion tables: (..., classes, classes) -> (...); each is scikit-learn's of that name.


def accuracy(tables: Array) -> Array:
    """Share of rows whose class was found."""
    return _ratio(_diagonal(tables).sum(-1), tables.sum((-2, -1)))


def recall_per_class(tables: Array) -> Array:
    """Of a class's rows, the share that was found, (..., classes); NaN where the class has no row."""
    return _ratio(_diagonal(tables), tables.sum(-1))


def precision_per_class(tables: Array) -> Array:
    """Of the rows called a class, the share that is one, (..., classes); NaN where none was called so."""
    return _ratio(_diagonal(tables), tables.sum(-2))


def f1_per_class(tables: Array) -> Array:
    """2 TP / (2 TP + FP + FN), (..., classes); NaN where a class is neither there nor predicted."""
    return _ratio(2 * _diagonal(tables), tables.sum(-1) + tables.sum(-2))


def balanced_accuracy(tables: Array) -> Array:
    """Mean recall over the classes that have rows."""
    return _mean_of_known(recall_per_class(tables))


def macro_f1(tables: Array) -> Array:
    """Mean F1 over the classes that are there or predicted."""
    return _mean_of_known(f1_per_class(tables))


# Statistics per row.


def softmax(logits: Array, temperature: float = 1.0) -> Array:
    """Probabilities of logits divided by a temperature, (rows, classes) float64."""
    scaled = np.asarray(logits, np.float64) / temperature
    exponentials = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def negative_log_likelihood(logits: Array, targets: Array, temperature: float = 1.0) -> Array:
    """-log p(true class), in nats, (rows,). From the logits: finite also where the probability underflows."""
    scaled = np.asarray(logits, np.float64) / temperature
    largest = scaled.max(axis=1, keepdims=True)
    total = largest[:, 0] + np.log(np.exp(scaled - largest).sum(axis=1))
    return total - scaled[np.arange(len(scaled)), targets]


def fit_temperature(logits: Array, targets: Array) -> float:
    """The temperature that makes the truth most likely; above 1 where the model is over-confident.

    Args:
        logits: (rows, classes). targets: (rows,) class indices.
    Returns: a temperature in [0.05, 20]. One number cannot change which class is predicted.
    Source: Guo et al. 2017, arXiv:1706.04599.
    """
    from scipy.optimize import minimize_scalar

    def loss(log_temperature: float) -> float:
        return float(negative_log_likelihood(logits, targets, np.exp(log_temperature)).mean())

    found = minimize_scalar(loss, bounds=(np.log(0.05), np.log(20.0)), method="bounded")
    return float(np.exp(found.x))


def auroc_components(scores: Array, positives: Array) -> tuple[float, Array]:
    """The area under the ROC curve and how much each row pulls at it.

    Args:
        scores: (rows,), higher: more positive. positives: (rows,) bool, both kinds present.
    Returns: the area, ties counted half; and the influence of each row, (rows,), which sums to 0. The squares of the
        influences sum to DeLong's variance of the area, up to terms of order 1 / positives and 1 / negatives.
    Source: DeLong et al. 1988; by ranks as in Sun and Xu 2014.
    """
    from scipy.stats import rankdata

    positives = np.asarray(positives, bool)
    m, k = int(positives.sum()), int((~positives).sum())
    if not m or not k:
        raise ValueError("an ROC curve needs positives and negatives")
    overall = rankdata(scores)
    within = np.empty(len(overall))
    within[positives] = rankdata(scores[positives])
    within[~positives] = rankdata(scores[~positives])
    # For a positive: share of negatives below it. For a negative: share of positives above it.
    placed = np.where(positives, (overall - within) / k, 1 - (overall - within) / m)
    area = float(placed[positives].mean())
    return area, (placed - area) / np.where(positives, m, k)


def _diagonal(tables: Array) -> Array:
    return np.diagonal(tables, axis1=-2, axis2=-1)


def _ratio(part: Array, whole: Array) -> Array:
    """part / whole, NaN where the whole is 0: an undefined rate, which a caller turns into an absent value."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.true_divide(part, whole)


def _mean_of_known(values: Array) -> Array:
    known = ~np.isnan(values)
    return _ratio(np.where(known, values, 0).sum(-1), known.sum(-1))
