"""The rows on which a model does worst, to be read by a person."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from audit.examples import Shown, examples_of, shortened
from core_model.corpus_metric import CorpusMetric
from core_model.predictions import Generations, SpanAnswers
from reports.record import Scalar

if TYPE_CHECKING:
    from audit.subject import Subject


def ranked_by(metrics: Sequence[CorpusMetric], primary: CorpusMetric) -> CorpusMetric:
    """The metric that ranks rows: the primary one, but chrF for BLEU, which of one short sentence is mostly 0."""
    return next((of for of in metrics if of.name == "chrf"), primary)


def worst_rows(
    subject: Subject, primary: CorpusMetric, *, finding: str, among: np.ndarray | None = None
) -> tuple[CorpusMetric, Shown]:
    """The rows that a finding shows, ranked by their value when each is taken alone: texts, what was written, value.

    Args:
        primary: over all rows of the subject.
        finding: its id.
        among: (rows,) bool; only these.
    Returns: the metric that ranked them, and the rows.
    """
    metric = ranked_by(subject.metrics, primary)
    values = metric.of_each_row if metric.better == "higher" else -metric.of_each_row
    candidates = np.flatnonzero(np.isfinite(values) & (True if among is None else among))
    ranked = candidates[np.argsort(values[candidates], kind="stable")]
    return metric, examples_of(
        ranked, lambda row: _example(subject, metric, int(row)), finding=finding, seed=subject.seed
    )


def _example(subject: Subject, metric: CorpusMetric, row: int) -> dict[str, Scalar]:
    data, answers = subject.data, subject.answers
    example: dict[str, Scalar] = {"row": row + 1, "text": shortened(data.texts[row])}
    if data.pairs is not None:
        example["context"] = shortened(data.pairs[row])
    if data.references is not None:
        example["reference"] = shortened(data.references[row])
    if isinstance(answers, Generations | SpanAnswers):
        example["written"] = shortened(answers.texts[row])
    example[metric.name] = round(float(metric.of_each_row[row]), 4)
    return example
