"""What a reader should act on: the noise that costs most, groups that it costs more, answers that are not proven.

Severity: high, when the interval breaks the limit; medium, when the loss is real and the limit undecided, or groups
surely differ; low otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from audit.concerns.robustness.answers import UnderNoise
from audit.examples import examples_of, shortened
from audit.mending import column_flags, train_command
from audit.smoothing_choice import smoothing_flags
from core_model.noise import Noise
from core_model.smoothed_prediction import LOOKS
from core_model.smoothing import Smoothing
from core_model.tasks import Task
from reports.record import Finding, Metric, Mitigation, Scalar, Severity, Verdict

if TYPE_CHECKING:
    from audit.subject import Subject

WORTH_TELLING = 0.02  # a loss whose interval begins below this is not worth a reader's time
GAP_WORTH_TELLING = 0.05
NOISE = "robustness-noise"


def severity(found: Metric, least: float = WORTH_TELLING) -> Severity | None:
    """How grave a loss is, by its interval; None when there is nothing to tell."""
    if found.verdict is Verdict.FAIL:
        return Severity.HIGH
    if found.value is None or found.interval is None or found.interval[0] <= least:
        return None
    return Severity.MEDIUM if found.verdict is Verdict.INCONCLUSIVE else Severity.LOW


def noise_finding(
    worst: UnderNoise | None,
    lines: Sequence[Metric],
    subject: Subject,
    rows: np.ndarray,
    targets: np.ndarray | None,
) -> list[Finding]:
    """The worst noise, with rows that it turned, and the training that mends it."""
    drop = next(line for line in lines if line.name == "worst_noise_accuracy_drop")
    grave = severity(drop)
    if worst is None or targets is None or grave is None:
        return []
    before = subject.predictions.predicted[rows]
    turned = np.flatnonzero((before == targets) & (worst.predicted != targets))
    surest = turned[np.argsort(-subject.predictions.confidence[rows[turned]], kind="stable")]

    def line(place: int) -> dict[str, Scalar]:
        return {
            "row": int(rows[place]) + 1, "text": shortened(subject.texts[rows[place]]),
            "with noise": shortened(worst.texts[place]), "answer": subject.labels[before[place]],
            "probability": round(float(subject.predictions.confidence[rows[place]]), 4),
            "answer with noise": subject.labels[worst.predicted[place]],
        }  # fmt: skip

    return [
        Finding(
            id=NOISE, severity=grave,
            statement=f"With {worst.name} ({worst.what}) the model is right in {drop.value:.1%} fewer of "
            f"{drop.n:,} rows: {(before == targets).mean():.1%} before, {(worst.predicted == targets).mean():.1%} "
            "after.",
            metrics=[drop.key], mitigation=mitigation_of(worst.noise, subject),
            **examples_of(surest, line, finding=NOISE, seed=subject.seed),
        )
    ]  # fmt: skip


def mitigation_of(noise: Noise, subject: Subject) -> Mitigation | None:
    """The training that shows a model such noise; None for a task whose texts cannot be disturbed."""
    if subject.task is Task.CLASSIFICATION:
        kind = "typos" if noise.family == "typing" else "noise"
        return Mitigation(
            command=train_command(subject, f"--augment {kind}"),
            why="each training row is seen a second time with noise, under its own label (Belinkov and Bisk 2018, "
            "arXiv:1711.02173); what it costs without noise is for `aboveboard compare` to show",
        )
    if subject.task in (Task.TRANSLATION, Task.SUMMARIZATION):
        return Mitigation(
            command=train_command(subject, "--augment token-dropout", "--augment word-order"),
            why="sources with words missing or out of order make a model lean less on any single word; noise of its "
            "own kind in TRAIN_FILE helps more",
        )
    return None


def group_finding(lines: Sequence[Metric], subject: Subject) -> list[Finding]:
    """Columns whose groups keep their answers unequally often."""
    found: list[Finding] = []
    for gap in lines:
        if gap.name != "invariance_rate_gap" or gap.value is None or gap.interval is None:
            continue
        if gap.interval[0] <= GAP_WORTH_TELLING:
            continue
        column = gap.slice["by"]
        shares = [line for line in lines if line.name == "invariance_rate_all_noises" and column in line.slice]
        least = min((line for line in shares if line.value is not None), key=lambda line: line.value or 0.0)
        found.append(
            Finding(
                id=f"robustness-group-{len(found) + 1}", severity=Severity.MEDIUM,
                statement=f"Noise turns answers more often in some groups of {column!r}: in {least.slice[column]!r} "
                f"{least.value:.1%} of {least.n:,} rows keep theirs under every noise, {gap.value:.1%} fewer than in "
                "the best group.",
                metrics=[gap.key, least.key],
                mitigation=Mitigation(
                    command=train_command(subject, "--augment noise"),
                    why="noisy copies of every row, of this group's, too; more rows of this group help as well",
                ),
            )
        )  # fmt: skip
    return found


def smoothing_finding(lines: Sequence[Metric], subject: Subject) -> list[Finding]:
    """Told where surely less than half of the plain accuracy survives one replaced word, provably."""
    at = {line.slice.get("radius"): line for line in lines if line.name == "certified_accuracy"}
    plain = next((line for line in lines if line.name == "plain_accuracy"), None)
    one = at.get("1")
    if one is None or plain is None or one.interval is None or plain.interval is None:
        return []
    if one.interval[1] >= plain.interval[0] / 2:
        return []
    return [
        Finding(
            id="robustness-smoothing", severity=Severity.LOW,
            statement=f"For {one.value:.1%} of {one.n:,} rows the right answer provably stays when one word is "
            f"replaced, though {plain.value:.1%} are answered right: the model reads parts of texts badly.",
            metrics=[one.key, plain.key],
            mitigation=Mitigation(
                command=train_command(subject, "--augment token-dropout", "--token-dropout-rate 0.7"),
                why="trained on parts of texts, it answers about them as about whole ones, and more is proven (Zeng et "
                "al. 2021, arXiv:2105.03743, section 4.1); then ask it by `aboveboard smooth`, and see what its votes "
                f"gain and cost: `aboveboard audit mended --data FILE {column_flags(subject)} "
                f"{' '.join(smoothing_flags(subject.smoothing or Smoothing(looks=LOOKS)))}`, and `aboveboard compare`",
            ),
        )
    ]  # fmt: skip
