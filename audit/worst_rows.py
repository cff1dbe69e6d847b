"""The rows on which a model does worst, to be read by a person."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from core_model.corpus_metric import CorpusMetric
from core_model.predictions import Generations, SpanAnswers
from reports.record import Scalar

if TYPE_CHECKING:
    from audit.subject import Subject

SHOWN = 10
LONGEST = 400  # characters of a text in an example; the data file has the rest


def worst_rows(subject: Subject, metric: CorpusMetric, among: np.ndarray | None = None) -> list[dict[str, Scalar]]:
    """The ten rows of which the metric, taken of each row alone, is worst: texts, what was written, the value.

    Args:
        metric: over all rows of the subject.
        among: (rows,) bool; only these.
    """
    values = metric.of_each_row if metric.better == "higher" else -metric.of_each_row
    candidates = np.flatnonzero(np.isfinite(values) & (True if among is None else among))
    chosen = candidates[np.argsort(values[candidates], kind="stable")[:SHOWN]]
    return [_example(subject, metric, int(row)) for row in chosen]


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


def shortened(text: str) -> str:
    """At most 400 characters of a text."""
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
