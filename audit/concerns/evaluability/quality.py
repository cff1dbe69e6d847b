"""How good the answers are: accuracy and its relatives, each with its interval, against guessing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from audit.evidence import Limit, metric
from audit.statistics import (
    Estimate,
    auroc,
    bootstrap_mean,
    bootstrap_table,
    paired_difference_of_proportions,
    proportion,
)
from core_model import metrics as rates
from core_model.predictions import Predictions
from reports.record import Metric

SHARE = "share of rows"


@dataclass(frozen=True)
class Answers:
    """A classifier's answers beside the truth.

    Attributes:
        predictions: of each row. targets: (rows,) class indices. labels: names of the classes.
    """

    predictions: Predictions
    targets: np.ndarray
    labels: Sequence[str]

    @property
    def correct(self) -> np.ndarray:
        """Whether the class was found, (rows,) bool."""
        return self.predictions.predicted == self.targets

    @property
    def table(self) -> np.ndarray:
        """Confusion counts, (classes, classes): true by predicted."""
        return rates.confusion_counts(self.targets, self.predictions.predicted, len(self.labels))


def quality_metrics(answers: Answers, random: np.random.Generator) -> list[Metric]:
    """Accuracy, balanced accuracy, macro-F1 and AUROC over all rows."""
    table, classes = answers.table, len(answers.labels)
    there = table.sum(axis=1) > 0  # classes with rows: resampling must not invent the others
    known = there | (table.sum(axis=0) > 0)

    def resampled(statistic: Callable[[np.ndarray], np.ndarray]) -> Estimate:
        return bootstrap_table(table.ravel(), lambda cells: statistic(cells.reshape(-1, classes, classes)), random)

    return [
        metric(
            "accuracy", proportion(int(answers.correct.sum()), len(answers.targets)), unit=SHARE, better="higher",
            definition="Share of rows whose label the model finds.",
        ),
        metric(
            "balanced_accuracy", resampled(lambda t: rates.recall_per_class(t)[:, there].mean(axis=1)),
            unit="mean of shares of rows", better="higher",
            definition="Mean recall over the labels that have rows: each label counts the same, however rare.",
            source="Brodersen et al. 2010",
        ),
        metric(
            "macro_f1", resampled(lambda t: rates.f1_per_class(t)[:, known].mean(axis=1)),
            unit="mean F1", better="higher", definition="Mean F1 over the labels that are there or predicted.",
        ),
        *_ranking(answers, random),
    ]  # fmt: skip


def _ranking(answers: Answers, random: np.random.Generator) -> list[Metric]:
    probabilities, labels = answers.predictions.probabilities, answers.labels
    unit, source = "chance of a right order", "DeLong et al. 1988"

    def one(label: int) -> Estimate:
        return auroc(probabilities[:, label], answers.targets == label)

    if len(labels) == 2:
        says = f"Chance that a row of {labels[1]!r} outscores one of {labels[0]!r} in its probability; 0.5 is guessing."
        return [metric("auroc", one(1), unit=unit, better="higher", definition=says, source=source)]
    says = "Chance that a row of this label gets a higher score for it than a row of any other label."
    each = [
        metric("auroc", one(i), unit=unit, better="higher", slice={"label": name}, definition=says, source=source)
        for i, name in enumerate(labels)
    ]
    mean = metric(
        "auroc", macro_auroc(probabilities, answers.targets, random), unit=unit, better="higher",
        definition="Mean of the labels' one-against-the-rest AUROC; 0.5 is guessing.", source=source,
    )  # fmt: skip
    return [mean, *each]


def macro_auroc(probabilities: np.ndarray, targets: np.ndarray, random: np.random.Generator) -> Estimate:
    """Mean one-against-the-rest area under the ROC curve, over the classes that have rows.

    Args:
        probabilities: (rows, classes). targets: (rows,) class indices.
    """
    present = np.unique(targets)
    if len(present) < 2:
        return Estimate.absent("all rows are of one label: ranking needs two", n=len(targets))
    parts = [rates.auroc_components(probabilities[:, c], targets == c) for c in present]
    area = float(np.mean([a for a, _ in parts]))
    # Pseudo-values (Efron and Tibshirani 1993, section 11.5): their mean is the area, their spread that of the area.
    pseudo = area + len(targets) * np.mean([influence for _, influence in parts], axis=0)
    found = bootstrap_mean(pseudo, random)
    if found.low is None or found.high is None:
        return found
    how = f"{found.method} of pseudo-values"
    return Estimate(area, max(0.0, min(found.low, area)), min(1.0, max(found.high, area)), found.n, how)


def label_metrics(answers: Answers, random: np.random.Generator) -> list[Metric]:
    """Precision, recall and F1 of each label; a rate of no rows is absent, with its reason."""
    table = answers.table
    lines = []
    for i, label in enumerate(answers.labels):
        hits, called, rows = int(table[i, i]), int(table[:, i].sum()), int(table[i].sum())
        precision = proportion(hits, called) if called else Estimate.absent("no row is given this label")
        recall = proportion(hits, rows) if rows else Estimate.absent("no row has this label")
        cells = np.array([hits, called - hits, rows - hits, table.sum() - called - rows + hits])
        f1 = (
            bootstrap_table(cells, lambda t: 2 * t[:, 0] / (2 * t[:, 0] + t[:, 1] + t[:, 2]), random)
            if called + rows
            else Estimate.absent("no row has this label or is given it")
        )
        about = {
            "precision": (
                precision,
                "share of rows given the label",
                "Of the rows given this label, those that have it.",
            ),
            "recall": (recall, "share of rows of the label", "Of the rows of this label, those that are found."),
            "f1": (f1, "harmonic mean of shares", "Harmonic mean of precision and recall."),
        }
        lines += [
            metric(name, estimate, unit=unit, better="higher", slice={"label": label}, definition=definition)
            for name, (estimate, unit, definition) in about.items()
        ]
    return lines


def baseline_metrics(answers: Answers) -> list[Metric]:
    """What answering the commonest label always would reach, and how far above it the model is."""
    counts = answers.table.sum(axis=1)
    commonest = int(counts.argmax())
    baseline, correct = answers.targets == commonest, answers.correct
    difference = paired_difference_of_proportions(
        int((correct & baseline).sum()), int((correct & ~baseline).sum()),
        int((~correct & baseline).sum()), int((~correct & ~baseline).sum()),
    )  # fmt: skip
    name = answers.labels[commonest]
    return [
        metric(
            "majority_class_rate", proportion(int(counts[commonest]), int(counts.sum())), unit=SHARE,
            definition=f"Accuracy of answering {name!r}, the commonest label of these rows, always.",
        ),
        metric(
            "accuracy_above_majority_class", difference, unit="difference of shares of rows", better="higher",
            limit=Limit(0.0, "a model that reads nothing reaches 0"),
            definition=f"Accuracy minus that of answering {name!r} always, on the same rows.",
        ),
    ]  # fmt: skip
