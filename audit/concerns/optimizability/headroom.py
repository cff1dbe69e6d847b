"""What more training, or another search, could give: from the training record, the tuning record, and one step.

Source: Prechelt 1998, "Early Stopping - But When?" (evaluation loss over its lowest); Bergstra and Bengio 2012,
J. Mach. Learn. Res. 13:281 (why to search).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from audit.concerns.optimizability.gradients import NO_RECORD, Gradients, part_of
from audit.evidence import metric
from audit.plugin import Need
from audit.statistics import Estimate, bootstrap_mean
from core_model.metrics import negative_log_likelihood
from core_model.prediction import Predictor
from core_model.predictions import Predictions
from core_model.tuning_record import TuningRecord, read_tuning_record
from reports.record import Metric

if TYPE_CHECKING:
    from audit.subject import Subject
    from core_model.data import Table
    from core_model.evaluation import Answers

RECORDED = "one run, as recorded: it has no spread"
NO_EVALUATIONS = "the training record holds no evaluation loss"
NOT_ASKED = "not asked for: --set optimizability.one_step=true takes one"
NEVER_TUNED = "no tuning record (tuning.json) of these weights lies beside the checkpoint"
PRECHELT = "Prechelt 1998, Early Stopping - But When?, doi:10.1007/3-540-49430-8_3"


def record_lines(record: Mapping[str, Any] | None) -> list[Metric]:
    """Metrics of the recorded history."""
    chosen, last, losses = evaluations(record)
    lowest = min(losses) if losses else None
    absent = Estimate.absent(NO_RECORD if record is None else NO_EVALUATIONS)

    def over_lowest(loss: float | None) -> Estimate:
        if loss is None or not lowest or lowest <= 0:
            return absent
        return Estimate(loss / lowest, None, None, len(losses), "none", reason=RECORDED)

    return [
        metric(
            "chosen_evaluation_loss_over_lowest", over_lowest(chosen), unit="ratio", better="lower", source=PRECHELT,
            definition="Evaluation loss of the weights that were kept over the lowest of the training; 1: the best.",
        ),
        metric(
            "last_evaluation_loss_over_lowest", over_lowest(last), unit="ratio", better="lower", source=PRECHELT,
            definition="Evaluation loss at the training's end over its lowest; above 1 it was trained too long.",
        ),
        metric(
            "training_loss_still_falling", _still_falling(record), unit="share of the training loss",
            definition="How much the training loss fell between the last two recorded spans, as a share of the first; "
            "dropout and schedule are in it.",
        ),
    ]  # fmt: skip


def evaluations(record: Mapping[str, Any] | None) -> tuple[float | None, float | None, list[float]]:
    """Evaluation loss of the chosen step, at the end, and of all evaluations; None and [] where none is recorded."""
    found = {
        entry.get("step"): float(loss)
        for entry in _history(record)
        if isinstance(loss := part_of(entry, "evaluation").get("loss"), int | float)
    }
    if not found:
        return None, None, []
    losses = list(found.values())
    return found.get(part_of(record, "chosen").get("step")), losses[-1], losses


def _history(record: Mapping[str, Any] | None) -> list[Mapping[str, Any]]:
    """The recorded spans of the training; what is none is passed over."""
    entries = (record or {}).get("history")
    return [entry for entry in entries if isinstance(entry, Mapping)] if isinstance(entries, list) else []


def _still_falling(record: Mapping[str, Any] | None) -> Estimate:
    if record is None:
        return Estimate.absent(NO_RECORD)
    losses = [entry.get("train_loss") for entry in _history(record)]
    known = [float(loss) for loss in losses if isinstance(loss, int | float)]
    if len(known) < 2 or known[-2] <= 0:
        return Estimate.absent("the training record holds fewer than two spans with a training loss")
    return Estimate(1 - known[-1] / known[-2], None, None, len(known), "none", reason=RECORDED)


def tuning_record_of(subject: Subject, named: str | None) -> TuningRecord | None:
    """The record of the search that these weights come from: in a folder that was named, or beside the checkpoint.

    Beside it means in its folder, or in the folder above, as `aboveboard tune` leaves it; there the hash of the best
    trial's weights must be that of these.
    """
    if named is not None:
        return read_tuning_record(Path(named))
    path = subject.checkpoint.path
    hashes = set(subject.checkpoint.files.values())
    for folder in () if path is None else (path, path.parent):
        found = read_tuning_record(folder)
        if found is not None and (found.best or {}).get("model_sha256") in hashes:
            return found
    return None


def tuning_line(record: TuningRecord | None) -> Metric:
    """How many trials the search had."""
    done = 0 if record is None else sum(trial.ending in ("complete", "pruned") for trial in record.trials)
    estimate = Estimate.absent(NEVER_TUNED)
    if record is not None:
        estimate = Estimate(done, None, None, len(record.trials), "none", reason="a count of the record")
    return metric(
        "tuning_trials", estimate, unit="trials", better="higher",
        definition="Trials of the search for hyperparameters that these weights come from, run to the end or pruned.",
    )  # fmt: skip


def step_line(
    subject: Subject,
    gradients: Gradients,
    sample: Table,
    before: Answers | None,
    random: np.random.Generator,
    *,
    relative: float | None,
) -> tuple[Metric, int]:
    """What one plain gradient step on training rows does to the loss on the audit's rows; and rows that were asked.

    Args:
        relative: length of the step over that of the weights; it is taken on the copy that the gradients were taken of.
            None: no step is asked for.
    """
    estimate, passes = (
        (Estimate.absent(NOT_ASKED), 0)
        if relative is None
        else _step(subject, gradients, sample, before, random, relative)
    )
    return metric(
        "held_out_loss_change_of_one_step", estimate, unit="nats per row", better="none",
        definition="Mean change of the loss on the audit's rows after one small plain gradient step along the training "
        "rows' gradient; below 0: what is left to learn of the training rows holds on others.",
    ), passes  # fmt: skip


def _step(
    subject: Subject, gradients: Gradients, sample: Table, before: Answers | None, random: np.random.Generator,
    relative: float,
) -> tuple[Estimate, int]:  # fmt: skip
    from core_model.gradient_batches import step_down

    if gradients.missing or gradients.found is None or gradients.forward is None:
        return Estimate.absent(gradients.missing or "no gradient was taken"), 0
    if not gradients.on_training_rows:
        return Estimate.absent(f"needs {Need.TRAINING_DATA}; {Need.TRAINING_DATA.supply} supplies it"), 0
    if not subject.has(Need.LABELS) or not isinstance(before, Predictions):
        return Estimate.absent(f"needs {Need.LABELS}; {Need.LABELS.supply} supplies them"), 0
    if not step_down(gradients.forward, gradients.found, relative):
        return Estimate.absent("there is no gradient to go along"), 0
    worker = Predictor(subject.checkpoint, cache=None, threads=getattr(subject.predictor, "threads", None))
    worker.forward = gradients.forward
    after = worker.predict(sample.texts, sample.pairs)
    losses = [negative_log_likelihood(one.logits, sample.targets) for one in (after, before)]
    return bootstrap_mean(losses[0] - losses[1], random), worker.forward_passes
