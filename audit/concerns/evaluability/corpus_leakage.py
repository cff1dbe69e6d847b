"""Leakage where a model writes: which sources and which targets stood in training, and how much that flatters it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from audit.concerns.evaluability.leakage import NEEDS_TRAINING, SOURCE, Leaked, find_leaked, repeats_within
from audit.concerns.evaluability.leakage import overlap_metrics as source_metrics
from audit.concerns.evaluability.quality import SHARE
from audit.corpus_estimates import estimate, without
from audit.corpus_lines import line
from audit.evidence import Limit, metric
from audit.statistics import Estimate, proportion
from core_model.corpus_metric import CorpusMetric
from core_model.tasks import Task
from reports.record import Metric

if TYPE_CHECKING:
    from core_model.data import Table

WITH_TARGETS = (Task.TRANSLATION, Task.SUMMARIZATION)  # answers to questions are a word or two, and recur rightly


@dataclass(frozen=True)
class LeakedPairs:
    """Test rows that overlap with training rows.

    Attributes:
        sources: by what the model reads. targets: by what it should write; None where that is no sign of a leak.
    """

    sources: Leaked
    targets: Leaked | None


def find_leaked_pairs(training: Table, test: Table, task: Task, *, threshold: float) -> LeakedPairs:
    """Overlap of the sources, and of the targets where the task has such.

    Args:
        threshold: Jaccard similarity that counts as near.
    """
    targets = None
    if task in WITH_TARGETS and training.references is not None and test.references is not None:
        targets = find_leaked(training.references, test.references, threshold=threshold)
    return LeakedPairs(find_leaked(whole_texts(training), whole_texts(test), threshold=threshold), targets)


def whole_texts(table: Table) -> Sequence[str]:
    """What the model reads of each row: its text, and its second text where it has one."""
    if table.pairs is None:
        return table.texts
    return [f"{text}\n{pair}" for text, pair in zip(table.texts, table.pairs, strict=True)]


def overlap_metrics(leaked: LeakedPairs | None, test: Table, task: Task, limits: dict[str, Limit]) -> list[Metric]:
    """Shares of test rows whose source, or whose target, stands in the training rows."""
    lines = source_metrics(leaked.sources if leaked else None, repeats_within(whole_texts(test)), limits)
    if task not in WITH_TARGETS:
        return lines
    for name, what in (("exact", "is a training row's, but for case and blanks"),
                       ("near", "is a training row's or close to one (Jaccard, three-word shingles)")):  # fmt: skip
        marks = getattr(leaked.targets, name) if leaked is not None and leaked.targets is not None else None
        share = Estimate.absent(NEEDS_TRAINING) if marks is None else proportion(int(marks.sum()), len(marks))
        lines.append(
            metric(
                f"{name}_duplicate_overlap", share, unit=SHARE, better="lower", slice={"side": "target"}, source=SOURCE,
                definition=f"Test rows whose target {what}; short targets recur without a leak.",
            )
        )  # fmt: skip
    return lines


def inflation_metrics(leaked: LeakedPairs | None, of: CorpusMetric, random: np.random.Generator) -> list[Metric]:
    """The metric with and without the rows whose source overlaps, and the difference that they make."""
    near = leaked.sources.near if leaked is not None else None
    if near is None:
        on, clean, inflation = (Estimate.absent(NEEDS_TRAINING) for _ in range(3))
    elif not near.any():
        nobody = Estimate.absent("no test row overlaps with the training rows", n=len(near))
        on, clean, inflation = nobody, estimate(of, random), nobody
    elif near.all():
        everybody = Estimate.absent("every test row overlaps with the training rows", n=len(near))
        on, clean, inflation = estimate(of, random), everybody, everybody
    else:
        on, clean = estimate(of.select(near), random), estimate(of.select(~near), random)
        inflation = without(of, near, random)
    says = f"{of.name} on all test rows minus {of.name} without those that overlap; {of.better} is better"
    return [
        line(of, on, name=f"{of.name}_on_overlapping_rows", says="On test rows that overlap with training rows"),
        line(of, clean, name=f"{of.name}_without_overlap", says="On test rows that do not overlap with training rows"),
        metric("leakage_inflation", inflation, unit=of.unit, slice={"metric": of.name}, definition=f"{says}."),
    ]
