"""What a reader should act on where a model writes or foresees text: what it remembers, and where it is weak."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from audit.concerns.generalization.slices import Slice
from audit.mending import train_command
from audit.worst_rows import worst_rows
from core_model.corpus_metric import CorpusMetric
from reports.record import Finding, Metric, Mitigation, Severity, Verdict

if TYPE_CHECKING:
    from audit.subject import Subject

WORST_SLICE = "generalization-worst-slice"
WORTH_TELLING = 0.02  # of the metric's scale; a gap whose interval begins below is not worth a reader's time
LOSS_WORTH_TELLING = 0.1  # nats a token


def findings_of(
    metrics: Sequence[Metric], worst: Slice | None, subject: Subject, primary: CorpusMetric
) -> list[Finding]:
    """All findings, gravest first."""
    by_key = {m.key: m for m in metrics}
    found = [*_overfitted(by_key, subject, primary), *_weak_slice(metrics, worst, subject, primary)]
    return sorted(found, key=lambda f: list(Severity).index(f.severity))


def severity(found: Metric, least: float) -> Severity | None:
    """How grave a gap is, by its interval; None when there is nothing to tell."""
    if found.verdict is Verdict.FAIL:
        return Severity.HIGH
    if found.value is None or found.interval is None or found.interval[0] <= least or found.verdict is Verdict.PASS:
        return None
    return Severity.MEDIUM if found.verdict is Verdict.INCONCLUSIVE else Severity.LOW


def _overfitted(by_key: dict[str, Metric], subject: Subject, primary: CorpusMetric) -> list[Finding]:
    gap = by_key[f"train_test_{primary.name}_gap"]
    loss = by_key.get("train_test_loss_gap")
    grave = severity(gap, WORTH_TELLING * primary.scale)
    if grave is None and loss is not None and severity(loss, LOSS_WORTH_TELLING) is not None:
        grave = Severity.LOW
    if grave is None:
        return []
    train, test = by_key[f"train_{primary.name}"], by_key[f"test_{primary.name}"]
    statement = (
        f"{primary.name} is {train.value:.3g} on training rows and {test.value:.3g} on test rows: the model remembers "
        "more than it learned."
    )
    if loss is not None and loss.value is not None:
        statement += f" A token of a test row costs it {loss.value:.2g} nats more than one of a training row."
    return [
        Finding(
            id="generalization-overfitted", severity=grave, statement=statement,
            metrics=[gap.key, train.key, test.key, *([loss.key] if loss is not None else [])],
            mitigation=Mitigation(
                command=train_command(subject, "--eval-data EVAL_FILE", "--early-stopping 1", "--weight-decay 0.1"),
                why="training stops when rows that it does not learn from get worse, and large weights are held back; "
                "more training rows help most",
            ),
        )
    ]  # fmt: skip


def _weak_slice(
    metrics: Sequence[Metric], worst: Slice | None, subject: Subject, primary: CorpusMetric
) -> list[Finding]:
    gap = next(m for m in metrics if m.name == "worst_slice_gap")
    grave = severity(gap, WORTH_TELLING * primary.scale)
    if grave is None or worst is None:
        return []
    value = next(m for m in metrics if m.name == f"worst_slice_{primary.name}")
    return [
        Finding(
            id=WORST_SLICE, severity=grave,
            statement=f"Where {worst.column} is {worst.value!r}, {primary.name} is {value.value:.3g} on {value.n} "
            f"rows; elsewhere it is better by {gap.value:.3g}.",
            metrics=[gap.key, value.key],
            mitigation=Mitigation(
                command=train_command(subject),
                why="with TRAIN_FILE holding more rows of this slice, or its rows several times",
            ),
            **worst_rows(subject, primary, finding=WORST_SLICE, among=worst.rows)[1],
        )
    ]  # fmt: skip
