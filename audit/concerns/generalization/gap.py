"""The gap: does the model do better on the rows that it learned from than on others?"""

from __future__ import annotations

from math import hypot

import numpy as np

from audit.evidence import Limit, metric
from audit.statistics import Estimate, bootstrap_mean, difference_of_proportions, proportion
from core_model.metrics import negative_log_likelihood
from core_model.predictions import Predictions
from reports.record import Metric

SHARE, DIFFERENCE = "share of rows", "difference of shares of rows"
NATS = "nats per row"
NEEDS_TRAINING = "no training data was given; --train-data FILE supplies it"
MOVER = "MOVER of two bootstraps (Zou and Donner 2008, Stat. Med. 27:1693)"


def gap_metrics(
    test: tuple[Predictions, np.ndarray],
    train: tuple[Predictions, np.ndarray] | None,
    *,
    limit: Limit,
    random: np.random.Generator,
) -> list[Metric]:
    """Accuracy and loss on test and training rows, and their differences.

    Args:
        test, train: predictions and (rows,) targets; `train` is None where there are no training rows.
        limit: of the accuracy gap.
    """
    hits = _hits(*test)
    loss = bootstrap_mean(negative_log_likelihood(test[0].logits, test[1]), random)
    if train is None:
        train_accuracy, train_loss, gap, loss_gap = (Estimate.absent(NEEDS_TRAINING) for _ in range(4))
    else:
        train_hits = _hits(*train)
        train_accuracy = proportion(*train_hits)
        train_loss = bootstrap_mean(negative_log_likelihood(train[0].logits, train[1]), random)
        gap = difference_of_proportions(*train_hits, *hits)
        loss_gap = difference(loss, train_loss)
    return [
        metric(
            "test_accuracy", proportion(*hits), unit=SHARE, better="higher", definition="Accuracy on the test rows.",
        ),
        metric(
            "train_accuracy", train_accuracy, unit=SHARE, better="higher",
            definition="Accuracy on the training rows, or on a sample of them.",
        ),
        metric(
            "train_test_accuracy_gap", gap, unit=DIFFERENCE, better="lower", limit=limit,
            definition="Accuracy on training rows minus accuracy on test rows.",
        ),
        metric(
            "negative_log_likelihood", loss, unit=NATS, better="lower",
            definition="Mean of -log p(true label) on the test rows.",
        ),
        metric(
            "negative_log_likelihood", train_loss, unit=NATS, better="lower", slice={"rows": "training"},
            definition="Mean of -log p(true label) on the training rows, or on a sample of them.",
        ),
        metric(
            "train_test_loss_gap", loss_gap, unit=NATS, better="lower",
            definition="Mean -log p(true label) on test rows minus that on training rows.",
        ),
    ]  # fmt: skip


def difference(a: Estimate, b: Estimate) -> Estimate:
    """a - b for estimates of separate rows, their intervals joined as Newcombe joins those of two rates.

    Source: Zou and Donner 2008, Statistics in Medicine 27:1693 (MOVER).
    """
    if a.value is None or b.value is None:
        return Estimate.absent(a.reason or b.reason or "one of the two is absent", n=a.n + b.n)
    value = a.value - b.value
    if a.low is None or a.high is None or b.low is None or b.high is None:
        return Estimate(value, None, None, a.n + b.n, "none", reason=a.reason or b.reason)
    low = value - hypot(a.value - a.low, b.high - b.value)
    high = value + hypot(a.high - a.value, b.value - b.low)
    return Estimate(value, low, high, a.n + b.n, MOVER, a.confidence)


def _hits(predictions: Predictions, targets: np.ndarray) -> tuple[int, int]:
    return int((predictions.predicted == targets).sum()), len(targets)
