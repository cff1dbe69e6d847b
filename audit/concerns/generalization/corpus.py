"""Generalization where a model writes or foresees text: the gap to training rows, and the slice where it does worst."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from audit.concerns.generalization.calibration import risk_coverage_figure
from audit.concerns.generalization.corpus_findings import findings_of
from audit.concerns.generalization.gap import NEEDS_TRAINING, difference
from audit.concerns.generalization.slices import FEWEST_ROWS, LENGTH, SHOWN, Slice, slices_by
from audit.corpus_estimates import estimate
from audit.corpus_lines import line
from audit.evidence import Limit, metric
from audit.plugin import Evidence, Need
from audit.statistics import Estimate, expected_calibration_error, risk_coverage
from audit.text_length import length_quartiles
from core_model.corpus_metric import CorpusMetric, mean_of_rows
from core_model.evaluation import PRIMARY, metrics_of
from core_model.predictions import Scores, SpanAnswers
from core_model.tasks import Task
from reports.record import Figure, Metric, Scalar

if TYPE_CHECKING:
    from audit.subject import Subject
    from core_model.data import Table

NATS = "nats per token"
GUO = "Guo et al. 2017, arXiv:1706.04599"
GEIFMAN = "Geifman and El-Yaniv 2017, arXiv:1705.08500"


@dataclass(frozen=True)
class JudgedSlice:
    """A slice with its value and how much worse it is than all other rows; both hold for all slices at once."""

    slice: Slice
    value: Estimate
    gap: Estimate


def corpus_evidence(
    subject: Subject, random: np.random.Generator, *, gap_limit: Limit, slice_limit: Limit | None, most: int | None
) -> Evidence:
    """The gap of each metric and of the loss, the worst slice, and calibration where there are probabilities.

    Args:
        gap_limit, slice_limit: of the primary metric, as shares of its scale.
        most: training rows that are run, drawn at random; None: all.
    """
    sample_random, gap_random, loss_random, slice_random, calibration_random = random.spawn(5)
    task, own = subject.task, {of.name: of for of in subject.metrics}
    primary = own[PRIMARY[task]]
    sample = _sample(subject, most, sample_random)
    train = metrics_of(subject.ask(sample), sample, task) if sample is not None else None
    groups = subject.groups if subject.has(Need.GROUPS) else {}
    slices = slices_by(groups, {LENGTH: length_quartiles(subject.texts)})
    judged = judge_slices(slices, primary, slice_random)
    calibration, figures = _calibration(subject, own, calibration_random)
    metrics = [
        *gap_metrics(subject.metrics, train, primary, _scaled(gap_limit, primary), gap_random),
        *loss_metrics(subject, sample, loss_random),
        *slice_metrics(judged, primary, _scaled(slice_limit, primary) if slice_limit is not None else None),
        *calibration,
    ]
    return Evidence(
        metrics=metrics,
        findings=findings_of(metrics, judged[0].slice if judged else None, subject, primary),
        figures=[slice_figure(judged, primary), *figures],
        notes=_notes(subject, sample, len(slices) - len(judged)),
        settings={
            **{f"signature_{of.name}": of.signature for of in subject.metrics},
            "slices": len(judged),
            "training_rows_run": 0 if sample is None else sample.rows,
        },
    )


def gap_metrics(
    test: Sequence[CorpusMetric],
    train: Sequence[CorpusMetric] | None,
    primary: CorpusMetric,
    limit: Limit,
    random: np.random.Generator,
) -> list[Metric]:
    """Each metric on test and training rows, and how much better it is on the training rows."""
    lines = []
    for place, of in enumerate(test):
        here = estimate(of, random)
        there = Estimate.absent(NEEDS_TRAINING) if train is None else estimate(train[place], random)
        lines += [
            line(of, here, name=f"test_{of.name}", says=f"{of.name} on the test rows"),
            line(of, there, name=f"train_{of.name}", says=f"{of.name} on the training rows, or on a sample of them"),
            metric(
                f"train_test_{of.name}_gap", _better_by(of, there, here), unit=of.unit, better="lower",
                limit=limit if of.name == primary.name else None,
                definition=f"How much better {of.name} is on training rows than on test rows.",
            ),
        ]  # fmt: skip
    return lines


def loss_metrics(subject: Subject, sample: Table | None, random: np.random.Generator) -> list[Metric]:
    """Nats a token that the model needs for the test rows' targets and for training rows', and the difference.

    A model that remembers foresees its training targets word for word long before it writes them.
    """
    if subject.task is Task.QUESTION_ANSWERING:
        return []
    here = estimate(_loss(subject, subject.data), random)
    there = Estimate.absent(NEEDS_TRAINING) if sample is None else estimate(_loss(subject, sample), random)
    what = "text" if subject.task is Task.LANGUAGE_MODELING else "reference, given the text"
    return [
        metric(
            "negative_log_likelihood", here, unit=NATS, better="lower",
            definition=f"Mean of -log p(token) of each test row's {what}.",
        ),
        metric(
            "negative_log_likelihood", there, unit=NATS, better="lower", slice={"rows": "training"},
            definition=f"Mean of -log p(token) of each training row's {what}; all of them, or a sample.",
        ),
        metric(
            "train_test_loss_gap", difference(here, there), unit=NATS, better="lower",
            definition="Mean -log p(token) of test rows minus that of training rows.",
        ),
    ]  # fmt: skip


def _loss(subject: Subject, table: Table) -> CorpusMetric:
    if subject.task is Task.LANGUAGE_MODELING:
        scores = subject.answers if table is subject.data else subject.ask(table)
    else:
        scores = subject.predictor.score(table.texts, table.references)
    assert isinstance(scores, Scores)  # noqa: S101 - what a language model is asked for
    sums = np.stack([scores.nll, scores.tokens], axis=1).astype(np.float64)
    return CorpusMetric("negative_log_likelihood", sums, mean_of_rows, "unit:token|log:e|version:1", NATS, "lower")


def judge_slices(slices: Sequence[Slice], of: CorpusMetric, random: np.random.Generator) -> list[JudgedSlice]:
    """The metric of each slice that has 20 rows and leaves 20, worst first, at 1 - 0.05 / slices (Bonferroni).

    The interval therefore holds for the slice that was picked for being worst, too.
    """
    large = [s for s in slices if min(s.rows.sum(), (~s.rows).sum()) >= FEWEST_ROWS]
    level, resamples = 1 - 0.05 / max(1, len(large)), max(2000, 400 * len(large))
    how = f"Bonferroni over {len(large)} slices"

    def one(rows: np.ndarray) -> Estimate:
        return estimate(of.select(rows), random, confidence=level, resamples=resamples)

    judged = []
    for s in large:
        value, rest = one(s.rows), one(~s.rows)
        value, gap = (
            replace(found, confidence=0.95, method=f"{found.method}, {how}")
            for found in (value, _better_by(of, rest, value))
        )
        judged.append(JudgedSlice(s, value, gap))
    known = [j for j in judged if j.value.value is not None]
    sign = 1 if of.better == "higher" else -1
    return sorted(known, key=lambda j: (sign * (j.value.value or 0.0), j.slice.column, j.slice.value))


def slice_metrics(judged: Sequence[JudgedSlice], of: CorpusMetric, limit: Limit | None) -> list[Metric]:
    """The slice where the metric is worst, and its distance from all other rows."""
    if judged:
        value, gap, named = judged[0].value, judged[0].gap, {judged[0].slice.column: judged[0].slice.value}
    else:
        value = gap = Estimate.absent(f"no slice has {FEWEST_ROWS} rows and leaves as many")
        named = {}
    return [
        line(
            of, value, name=f"worst_slice_{of.name}", slice=named,
            says=f"{of.name} on the slice where it is worst; the interval allows for its having been picked",
        ),
        metric(
            "worst_slice_gap", gap, unit=of.unit, better="lower", slice=named, limit=limit,
            definition=f"How much better {of.name} is on all other rows; the interval allows for the pick.",
        ),
    ]  # fmt: skip


def slice_figure(judged: Sequence[JudgedSlice], of: CorpusMetric) -> Figure:
    """The metric slice by slice, worst first."""
    rows: list[dict[str, Scalar]] = [
        {
            "label": f"{j.slice.column}: {j.slice.value}", "value": j.value.value,
            "low": j.value.low, "high": j.value.high, "n": j.value.n,
        }
        for j in judged[:SHOWN] if j.value.interval
    ]  # fmt: skip
    said = f"Worst: {rows[0]['label']}, {rows[0]['value']:.3g}." if rows else "No slice has rows enough."
    return Figure(
        id="generalization-slices", kind="intervals", title=f"{of.name} by slice; intervals hold for all at once",
        caption=said, x_label=of.unit, rows=rows,
    )  # fmt: skip


def _calibration(
    subject: Subject, own: dict[str, CorpusMetric], random: np.random.Generator
) -> tuple[list[Metric], list[Figure]]:
    """Of answers with a probability: is it as often right as the model is sure?"""
    unit, says = "mean distance between confidence and exact match", "of the probability of a span from its exact match"
    if not isinstance(subject.answers, SpanAnswers):
        absent = Estimate.absent(f"{subject.task} gives a text no probability of being right")
        return [
            metric("expected_calibration_error", absent, unit=unit, better="lower", definition=f"Distance {says}.")
        ], []
    confidence = np.exp(np.minimum(subject.answers.scores, 0.0))
    right = own["exact_match"].statistics[:, 0] > 0
    error, _ = expected_calibration_error(confidence, right, random)
    area, curve = risk_coverage(confidence, right, random)
    return [
        metric(
            "expected_calibration_error", error, unit=unit, better="lower", source=GUO,
            definition=f"Mean distance {says}, debiased.",
        ),
        metric(
            "area_under_risk_coverage", area, unit="mean share of wrong rows", better="lower", source=GEIFMAN,
            definition="Share of answers that match none exactly among the surest, averaged over how many are given.",
        ),
    ], [risk_coverage_figure(curve)]  # fmt: skip


def _better_by(of: CorpusMetric, a: Estimate, b: Estimate) -> Estimate:
    """How much better a is than b, two estimates of separate rows."""
    return difference(a, b) if of.better == "higher" else difference(b, a)


def _sample(subject: Subject, most: int | None, random: np.random.Generator) -> Table | None:
    """Training rows, at most so many, drawn at random; None without training rows that could be judged."""
    training = subject.training if subject.has(Need.TRAINING_DATA) else None
    if training is None or (subject.references is not None and training.references is None):
        return None
    if most is None or training.rows <= most:
        return training
    return training.select(np.sort(random.permutation(training.rows)[:most]))


def _scaled(limit: Limit, of: CorpusMetric) -> Limit:
    return Limit(limit.value * of.scale, limit.source)


def _notes(subject: Subject, sample: Table | None, left_out: int) -> list[str]:
    notes = []
    training = subject.training if subject.has(Need.TRAINING_DATA) else None
    if sample is None or training is None:
        notes.append(f"The gap between training and test rows was not measured: {NEEDS_TRAINING}.")
    elif sample.rows < training.rows:
        notes.append(f"Training rows: {sample.rows:,} of {training.rows:,}, drawn at random.")
    if left_out:
        notes.append(f"{left_out} slices were left out: they have fewer than {FEWEST_ROWS} rows, or leave fewer.")
    return notes
