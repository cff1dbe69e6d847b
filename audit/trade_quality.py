"""The quality of two checkpoints on the same rows, number by number, and how often they say the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from audit.corpus_estimates import estimate, paired_difference
from audit.statistics import Estimate, bootstrap_mean, proportion
from core_model.evaluation import Answers, ask, metrics_of, require_truth
from core_model.metrics import negative_log_likelihood
from core_model.predictions import Generations, Predictions, Scores, SpanAnswers
from reports.trade import Line, Number

if TYPE_CHECKING:
    from core_model.data import Table
    from core_model.prediction import Predictor
    from core_model.tasks import Task


def quality_lines(
    before: Predictor, after: Predictor, data: Table, task: Task, random: np.random.Generator
) -> list[Line]:
    """The task's metrics on both sides with their paired difference, and the share of equal answers.

    Raises: TaskUnfit for a task without metrics; LabelsUnfit, ColumnMissing without truth.
    """
    require_truth(data, task)
    answers = [ask(side, data, task) for side in (before, after)]
    pairs = zip(*(metrics_of(side, data, task) for side in answers), strict=True)
    lines = [
        Line(
            kind="quality", name=first.name, unit=first.unit, better=first.better,
            before=number_of(estimate(first, random)), after=number_of(estimate(second, random)),
            change=number_of(paired_difference(second, first, random)), change_is="difference", paired=True,
        )
        for first, second in pairs
    ]  # fmt: skip
    if isinstance(answers[0], Predictions) and isinstance(answers[1], Predictions):
        lines.append(_loss_line(answers[0], answers[1], data, random))
    agreement = _agreement(*answers)
    return lines if agreement is None else [*lines, agreement]


def number_of(estimate: Estimate) -> Number:
    """An estimate as the record writes it."""
    return Number(
        value=estimate.value, interval=estimate.interval, confidence=estimate.confidence, n=estimate.n,
        method=estimate.method if estimate.interval else None, reason=estimate.reason,
    )  # fmt: skip


def _loss_line(first: Predictions, second: Predictions, data: Table, random: np.random.Generator) -> Line:
    losses = [negative_log_likelihood(side.logits, data.targets) for side in (first, second)]
    a, b, change = (bootstrap_mean(rows, random) for rows in (*losses, losses[1] - losses[0]))
    return Line(
        kind="quality", name="negative log-likelihood", unit="nats per row", better="lower", before=number_of(a),
        after=number_of(b), change=number_of(change), change_is="difference", paired=True,
    )  # fmt: skip


def _agreement(first: Answers, second: Answers) -> Line | None:
    """The share of rows that both answer alike; of a likelihood there is no such thing."""
    if isinstance(first, Scores) or isinstance(second, Scores):
        return None
    said = [np.array(_words(side), dtype=object) for side in (first, second)]
    same = proportion(int(np.sum(said[0] == said[1])), len(said[0]))
    one = Number(value=1.0, n=same.n, method="counted")
    change = number_of(same)
    return Line(
        kind="quality", name="answers that stayed the same", unit="share of rows", better="none", before=one,
        after=change, change=change, change_is="ratio",
    )  # fmt: skip


def _words(side: Predictions | Generations | SpanAnswers) -> list[object]:
    return side.predicted.tolist() if isinstance(side, Predictions) else list(side.texts)
