"""What a reader should act on, each with a command that mends it.

Severity: high, when the interval breaks the limit; medium, when the fault is real and the limit undecided; low, when it
is real and no limit is set.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from audit.concerns.generalization.calibration import Mended
from audit.concerns.generalization.slices import Judged
from audit.examples import classified_line, examples_of, most_confident_errors
from audit.mending import column_flags, train_command
from reports.record import Finding, Metric, Mitigation, Severity, Verdict

if TYPE_CHECKING:
    from audit.subject import Subject

WORST_SLICE, MISCALIBRATED = "generalization-worst-slice", "generalization-miscalibrated"
WORTH_TELLING = 0.02  # a gap whose interval begins below this is not worth a reader's time


def findings_of(
    metrics: Sequence[Metric], judged: Sequence[Judged], mended: Mended | None, subject: Subject
) -> list[Finding]:
    """All findings, gravest first."""
    by_name = {m.name: m for m in metrics}
    found = [
        *_overfitted(by_name, subject),
        *_miscalibrated(by_name, mended, subject),
        *_weak_slice(by_name, judged, subject),
    ]
    return sorted(found, key=lambda f: list(Severity).index(f.severity))


def severity(found: Metric) -> Severity | None:
    """How grave a gap or an error is, by its interval; None when there is nothing to tell."""
    if found.verdict is Verdict.FAIL:
        return Severity.HIGH
    if found.value is None or found.interval is None or found.interval[0] <= WORTH_TELLING:
        return None
    if found.verdict is Verdict.PASS:
        return None
    return Severity.MEDIUM if found.verdict is Verdict.INCONCLUSIVE else Severity.LOW


def _overfitted(by_name: dict[str, Metric], subject: Subject) -> list[Finding]:
    gap = by_name["train_test_accuracy_gap"]
    grave = severity(gap)
    if grave is None:
        return []
    train, test = by_name["train_accuracy"], by_name["test_accuracy"]
    return [
        Finding(
            id="generalization-overfitted", severity=grave,
            statement=f"The model finds {train.value:.1%} of the labels of its training rows and {test.value:.1%} of "
            "those of the test rows: it remembers more than it learned.",
            metrics=[gap.key, train.key, test.key, "train_test_loss_gap"],
            mitigation=Mitigation(
                command=train_command(
                    subject, "--eval-data EVAL_FILE", "--epochs 20", "--early-stopping 5", "--weight-decay 0.1",
                    "--augment token-dropout", "--augment word-order",
                ),
                why="words are left out and moved, differently in each epoch, so that no row can be learned by heart "
                "(Iyyer et al. 2015; Lample et al. 2018, arXiv:1711.00043); the weights are kept that do best on rows "
                "that it does not learn from, and large weights are held back. Where you have the encoder that it was "
                "made of, name that with --base: what was learned by heart is not all forgotten. More rows help most",
            ),
        )
    ]  # fmt: skip


def _miscalibrated(by_name: dict[str, Metric], mended: Mended | None, subject: Subject) -> list[Finding]:
    error = by_name["expected_calibration_error"]
    grave = severity(error)
    if grave is None:
        return []
    keys, tried = [error.key], ""
    if mended is not None and mended.temperature.value is not None:
        sure = "too sure" if mended.temperature.value > 1 else "not sure enough"
        before, after = mended.before.value, mended.after.value
        helps = (
            "bring"
            if before is not None and after is not None and after < before
            else "do not mend it here: they bring"
        )
        tried = (
            f" It is {sure}: its logits divided by {mended.temperature.value:.2f} {helps} the error from "
            f"{mended.before.value:.3f} to {mended.after.value:.3f} on rows that did not choose this number."
        )
        keys += [
            "fitted_temperature",
            "expected_calibration_error_before_temperature",
            "expected_calibration_error_after_temperature",
        ]
    return [
        Finding(
            id=MISCALIBRATED, severity=grave,
            statement=f"The model's probabilities are off by {error.value:.3f} on average.{tried}",
            metrics=keys,
            mitigation=Mitigation(
                command=f"aboveboard calibrate CHECKPOINT --data EVAL_FILE {column_flags(subject)} --out calibrated",
                why="its logits are divided by the temperature that fits EVAL_FILE best (Guo et al. 2017, "
                "arXiv:1706.04599): labelled rows that it was not trained on, and other ones than those audited, which "
                "would then find it better than it is; no answer changes. Where its head is not linear, divide by "
                "fitted_temperature when serving",
            ),
            **examples_of(
                most_confident_errors(subject), classified_line(subject), finding=MISCALIBRATED, seed=subject.seed
            ),
        )
    ]  # fmt: skip


def _weak_slice(by_name: dict[str, Metric], judged: Sequence[Judged], subject: Subject) -> list[Finding]:
    gap = by_name["worst_slice_gap"]
    grave = severity(gap)
    if grave is None or not judged:
        return []
    worst = judged[0]
    return [
        Finding(
            id=WORST_SLICE, severity=grave,
            statement=f"Where {worst.slice.column} is {worst.slice.value!r}, {worst.accuracy.value:.1%} of "
            f"{worst.accuracy.n} rows are right; elsewhere {gap.value:.1%} more.",
            metrics=[gap.key, by_name["worst_slice_accuracy"].key],
            mitigation=Mitigation(
                command=train_command(subject),
                why="with TRAIN_FILE holding more rows of this slice, or its rows several times",
            ),
            **examples_of(
                most_confident_errors(subject, worst.slice.rows), classified_line(subject), finding=WORST_SLICE,
                seed=subject.seed,
            ),
        )
    ]  # fmt: skip
