"""Generalization: does what was learned hold on other rows, and does the model know where it does not?

What it measures  The gap in accuracy (BLEU, ROUGE, token F1, bits per byte) and loss between training and test rows;
                  calibration (expected calibration error, debiased, and Brier score) and how accuracy rises when only
                  the surest rows are answered (risk-coverage), where an answer has a probability; and the slice of the
                  data, by group, text length or predicted label, where the model does worst.
How to read it    A large gap says that the model remembers rather than reads. A calibration error of 0.05 says that
                  its probabilities are off by 5 points on average. The worst slice was picked for being worst: its
                  interval is widened (Bonferroni) so that it still holds. The gap needs training data.
How to mend it    Gap: fewer epochs or earlier stopping, weight decay, more rows. Calibration: `aboveboard calibrate`
                  divides the logits by one temperature (the audit shows what that does on rows that did not choose
                  it); or train with label smoothing. Worst slice: more rows like it.
Source            Newcombe 1998; Naeini et al. 2015; Guo et al. 2017, arXiv:1706.04599; Geifman and El-Yaniv 2017,
                  arXiv:1705.08500.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from audit.concerns.generalization.calibration import (
    calibration_metrics,
    mend_by_temperature,
    reliability_figure,
    risk_coverage_figure,
    selective_metrics,
    temperature_metrics,
)
from audit.concerns.generalization.corpus import corpus_evidence
from audit.concerns.generalization.findings import findings_of
from audit.concerns.generalization.gap import NEEDS_TRAINING, gap_metrics
from audit.concerns.generalization.slices import (
    FEWEST_ROWS,
    judge_slices,
    slice_figure,
    slice_metrics,
    slices_of,
)
from audit.evidence import Limit
from audit.plugin import Concern, Evidence, Need, Options, Size, audit
from core_model.evaluation import EVALUABLE
from core_model.predictions import Predictions
from core_model.tasks import Task
from core_model.temperature_scaling import calibrated_on

if TYPE_CHECKING:
    from audit.subject import Subject


SCORED = (Task.TRANSLATION, Task.SUMMARIZATION)


class GeneralizationOptions(Options):
    """What can be set."""

    max_gap: float = Field(
        0.1,
        gt=0,
        lt=1,
        description="largest gap allowed between training and test rows, share of the metric's scale: 0.1 is 0.1 of "
        "accuracy or ROUGE, 10 points of BLEU, 0.1 bits per byte",
    )
    max_ece: float = Field(
        0.05, gt=0, lt=1, description="largest expected calibration error allowed, mean distance of probabilities"
    )
    max_slice_gap: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="limit for how far the worst slice may lie below all other rows, share of the scale; unset: none",
    )
    training_rows: int | None = Field(
        2000,
        ge=1,
        description="training rows that are run, drawn at random; more narrow the gap's interval",
    )


def planned_passes(size: Size, options: GeneralizationOptions) -> Mapping[str, int]:
    """The test rows, and a sample of the training rows (or all of them, which other audits may share).

    Where text is written, the references are scored, too.
    """
    all_of_them = options.training_rows is None or size.training_rows <= options.training_rows
    training = size.training_rows if all_of_them else int(options.training_rows or 0)
    passes = {"data": size.rows, "training data" if all_of_them else "training sample": training}
    return passes | ({"references": size.rows + training} if size.task in SCORED else {})


@audit(
    concern=Concern.GENERALIZATION,
    needs={Need.LABELS},
    uses={Need.TRAINING_DATA, Need.GROUPS},
    tasks=EVALUABLE,
    forward_passes=planned_passes,
    profiles={"quick": {"training_rows": 500}, "full": {"training_rows": None}},
)
def generalization(subject: Subject, options: GeneralizationOptions, random: np.random.Generator) -> Evidence:
    """The gap to the training rows, calibration and its mend, and the worst slice."""
    if subject.task is Task.CLASSIFICATION:
        return _of_classifier(subject, options, random)
    return corpus_evidence(
        subject, random, gap_limit=_limit(options, "max_gap"), slice_limit=_slice_limit(options),
        most=options.training_rows,
    )  # fmt: skip


def _of_classifier(subject: Subject, options: GeneralizationOptions, random: np.random.Generator) -> Evidence:
    sample_random, gap_random, calibration_random, selective_random, mend_random = random.spawn(5)
    predictions, targets = subject.predictions, subject.targets
    train = training_sample(subject, options.training_rows, sample_random)
    groups = subject.groups if subject.has(Need.GROUPS) else {}

    gaps = gap_metrics((predictions, targets), train, limit=_limit(options, "max_gap"), random=gap_random)
    calibration, bins = calibration_metrics(
        predictions, targets, limit=_limit(options, "max_ece"), random=calibration_random
    )
    selective, curve = selective_metrics(predictions, targets, selective_random)
    mended = mend_by_temperature(predictions, targets, mend_random)
    slices = slices_of(subject.texts, predictions.predicted, subject.labels, groups)
    judged = judge_slices(slices, predictions.predicted == targets)

    metrics = [
        *gaps,
        *calibration,
        *temperature_metrics(mended),
        *selective,
        *slice_metrics(judged, _slice_limit(options)),
    ]
    notes = []
    if calibrated_on(subject.checkpoint.path) == subject.data.sha256:
        notes.append("These very rows chose the model's temperature: on others its calibration is worse than here.")
    if train is None:
        notes.append(f"The gap between training and test rows was not measured: {NEEDS_TRAINING}.")
    elif len(train[1]) < _training_rows(subject):
        notes.append(f"Training rows: {len(train[1]):,} of {_training_rows(subject):,}, drawn at random.")
    if len(judged) < len(slices):
        notes.append(
            f"{len(slices) - len(judged)} of {len(slices)} slices were left out: they have fewer than {FEWEST_ROWS} "
            "rows, or leave fewer."
        )
    return Evidence(
        metrics=metrics,
        findings=findings_of(metrics, judged, mended, subject),
        figures=[
            reliability_figure(bins),
            risk_coverage_figure(curve),
            slice_figure(judged),
        ],
        notes=notes,
        settings={"bins": len(bins), "slices": len(judged), "training_rows_run": 0 if train is None else len(train[1])},
    )


def training_sample(
    subject: Subject, most: int | None, random: np.random.Generator
) -> tuple[Predictions, np.ndarray] | None:
    """Predictions and targets of training rows, at most so many, drawn at random; None without training data."""
    if not subject.has(Need.TRAINING_DATA) or subject.training is None or not subject.training.has_labels:
        return None
    rows = _training_rows(subject)
    if most is None or rows <= most:
        return subject.training_predictions, subject.training_targets
    some = subject.training.select(np.sort(random.permutation(rows)[:most]))
    return subject.predict(some.texts, some.pairs), some.targets


def _training_rows(subject: Subject) -> int:
    return 0 if subject.training is None else len(subject.training.texts)


def _slice_limit(options: GeneralizationOptions) -> Limit | None:
    return _limit(options, "max_slice_gap") if options.max_slice_gap is not None else None


def _limit(options: GeneralizationOptions, name: str) -> Limit:
    return Limit(getattr(options, name), f"generalization.{name}, {options.whose(name)}")
