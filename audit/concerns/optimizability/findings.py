"""What a reader should act on: savings at hand, layers that cannot learn, a training that went past its best."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from audit.concerns.optimizability.compressed import INT8
from audit.concerns.optimizability.gradients import Gradients, dead_matrices
from audit.evidence import line_of
from audit.mending import column_flags
from core_model.evaluation import PRIMARY
from core_model.tasks import Task
from reports.record import Finding, Metric, Mitigation, Severity, Verdict

if TYPE_CHECKING:
    from audit.concerns.optimizability import OptimizabilityOptions
    from audit.subject import Subject

SHOWN = 4
IN_SHARES = (Task.CLASSIFICATION, Task.QUESTION_ANSWERING, Task.SUMMARIZATION)  # their first metric goes from 0 to 1
LEARNS = "a new training from the sound base that this one came from: what is dead or not finite does not come back"


def findings_of(
    subject: Subject, metrics: Sequence[Metric], gradients: Gradients, options: OptimizabilityOptions
) -> list[Finding]:
    """Gravest first."""
    found = [
        *_gradient(subject, metrics, gradients),
        *_past_its_best(subject, metrics, options),
        *_int8(subject, metrics, options),
        *_never_tuned(subject, metrics),
    ]
    order = list(Severity)
    return sorted(found, key=lambda finding: order.index(finding.severity))


def _from_base(subject: Subject, *more: str) -> str:
    """A new training, from what these weights came from."""
    start = f"aboveboard train --task {subject.task} --base BASE --data TRAIN_FILE {column_flags(subject)}"
    return " ".join([start, *more, "--out mended"])


def _gradient(subject: Subject, metrics: Sequence[Metric], gradients: Gradients) -> list[Finding]:
    found = []
    infinite = line_of(metrics, "batches_with_infinite_gradient")
    if infinite.value:
        found.append(
            Finding(
                id="optimizability-infinite", severity=Severity.HIGH,
                statement=f"The gradient of {infinite.value:.0%} of {infinite.n} batches is not finite: the model "
                "cannot be trained further.",
                metrics=[infinite.key],
                mitigation=Mitigation(command=_from_base(subject), why=LEARNS),
            )
        )  # fmt: skip
    dead, names = line_of(metrics, "matrices_without_gradient"), dead_matrices(gradients)
    if dead.verdict is Verdict.FAIL:
        more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        found.append(
            Finding(
                id="optimizability-dead", severity=Severity.MEDIUM,
                statement=f"{len(names)} of {dead.n} weight matrices get a gradient of exactly zero on every sampled "
                f"row and cannot learn: {', '.join(names[:SHOWN])}{more}.",
                metrics=[dead.key],
                mitigation=Mitigation(command=_from_base(subject), why=LEARNS),
            )
        )  # fmt: skip
    ratio = line_of(metrics, "smallest_over_largest_layer_gradient")
    if ratio.verdict is Verdict.FAIL and ratio.value:
        found.append(
            Finding(
                id="optimizability-vanishing", severity=Severity.MEDIUM,
                statement=f"The layer with the smallest gradient gets {ratio.value:.2g} times that of the one with the "
                "largest, each against its weights: it hardly learns.",
                metrics=[ratio.key],
                mitigation=Mitigation(command=_from_base(subject, "--warmup-share 0.1"), why=LEARNS),
            )
        )  # fmt: skip
    return found


def _past_its_best(subject: Subject, metrics: Sequence[Metric], options: OptimizabilityOptions) -> list[Finding]:
    chosen = line_of(metrics, "chosen_evaluation_loss_over_lowest")
    if chosen.value is None or chosen.value <= 1 + options.max_loss_past_best:
        return []
    return [
        Finding(
            id="optimizability-past-its-best", severity=Severity.LOW,
            statement=f"The weights that were kept have {chosen.value:.2f} times the lowest evaluation loss of their "
            "training: it went on past its best.",
            metrics=[chosen.key],
            mitigation=Mitigation(
                command=_from_base(subject, "--eval-data TEST_FILE", "--early-stopping 2"),
                why="keeps the weights of the best evaluation, and stops when two bring no better one",
            ),
        )
    ]  # fmt: skip


def _int8(subject: Subject, metrics: Sequence[Metric], options: OptimizabilityOptions) -> list[Finding]:
    """Bytes that cost surely less than the limit."""
    size, quality = (
        line_of(metrics, name, compression=INT8) for name in ("compressed_bytes_ratio", "compressed_quality_difference")
    )
    if size.value is None or quality.interval is None or subject.task not in IN_SHARES:
        return []
    if 1 - size.value <= options.min_bytes_saved or quality.interval[0] <= -options.max_quality_loss:
        return []
    return [
        Finding(
            id="optimizability-int8", severity=Severity.LOW,
            statement=f"Int8 weights save {1 - size.value:.0%} of the bytes, and cost at most "
            f"{100 * max(0.0, -quality.interval[0]):.1f} points of {PRIMARY[subject.task]} "
            f"(95% interval, {quality.n:,} rows).",
            metrics=[size.key, quality.key],
            mitigation=Mitigation(
                command="aboveboard compress CHECKPOINT --method quantize --data TEST_FILE "
                f"{column_flags(subject)} --out int8",
                why="writes the rounded checkpoint, and measures size, speed and quality of both on all rows",
            ),
        )
    ]  # fmt: skip


def _never_tuned(subject: Subject, metrics: Sequence[Metric]) -> list[Finding]:
    trials = line_of(metrics, "tuning_trials")
    if trials.value is not None:
        return []
    return [
        Finding(
            id="optimizability-never-tuned", severity=Severity.LOW,
            statement="No record of a search for hyperparameters lies beside the checkpoint: whether others would "
            "train a better model is not known.",
            metrics=[trials.key],
            mitigation=Mitigation(
                command=f"aboveboard tune --task {subject.task} --base CHECKPOINT --data TRAIN_FILE --eval-share 0.1 "
                f"--test-data TEST_FILE {column_flags(subject)} --out study",
                why="searches from these weights; name the base that they came from to search from there",
            ),
        )
    ]  # fmt: skip
