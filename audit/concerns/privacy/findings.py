"""What a reader should act on about attacks and the rows that they were run on, each with a command that mends it.

Severity: high, when an interval breaks its limit; medium, when the fault is there and the limit undecided; low, when it
colours the numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from audit.concerns.privacy.attacks import Attack
from audit.concerns.privacy.inference import AUC, TPR
from audit.concerns.privacy.memorization import EXPOSURE, EXTRACTION, LEAKED, Memorized
from audit.concerns.privacy.rows import Trial
from audit.examples import examples_of
from audit.mending import audit_command, column_flags
from reports.record import Finding, Metric, Mitigation, Scalar, Severity, Verdict

if TYPE_CHECKING:
    from audit.subject import Subject

EXPOSED, OVERLAP, EXTRACTED = (
    f"privacy-{word}" for word in ("membership-inference", "members-overlap", "verbatim-extraction")
)


def private_training(subject: Subject, *more: str) -> str:
    """`aboveboard train --private` from the base of this checkpoint: its own weights have seen the rows."""
    flags = " ".join(more or ("--epsilon 8", "--canaries 1000"))
    return (
        f"aboveboard train --task {subject.task} --base BASE "
        f"--data TRAIN_FILE {column_flags(subject)} --private {flags} --out private"
    )


BASE = "BASE is the checkpoint that this one was trained from: its own weights remember the rows"


def leaks(
    metrics: Sequence[Metric], subject: Subject, trial: Trial, leading: Attack, distrusted: str | None
) -> list[Finding]:
    """That an attack tells training rows from others, and whether rows that stand several times add to it."""
    told = [m for m in metrics if m.name in (AUC, TPR) and set(m.slice) <= {"attack", "fpr"} and m.value is not None]
    broken = [m for m in told if m.verdict is Verdict.FAIL]
    above = [m for m in told if m.name == AUC and m.interval is not None and m.interval[0] > 0.5]
    if distrusted is not None or not (broken or above):
        return []
    chosen = broken or above
    areas = [m for m in chosen if m.name == AUC]
    strongest = max(areas or chosen, key=lambda m: m.value or 0.0)
    if strongest.name == AUC:
        low, high = strongest.interval or (None, None)
        how = f"ranks a training row above a held-out one in {strongest.value:.1%} of pairs ({low:.1%} to {high:.1%})"
    else:
        how = (
            f"finds {strongest.value:.1%} of the training rows at {float(strongest.slice['fpr']):.1%} false accusations"
        )
    grave = (
        Severity.HIGH if broken
        else Severity.LOW if all(m.verdict is Verdict.PASS for m in above)
        else Severity.MEDIUM
    )  # fmt: skip
    leak = Finding(
        id=EXPOSED, severity=grave,
        statement=f"Who was in the training data can be told from the model: the attack by {strongest.slice['attack']} "
        f"{how}; guessing gives {'50%' if strongest.name == AUC else 'hardly more than the false accusations'}.",
        metrics=[m.key for m in chosen],
        mitigation=Mitigation(
            command=private_training(subject),
            why="DP-SGD bounds what any attack can tell of a row, and the canaries let this audit check it (Abadi et "
            f"al. 2016, arXiv:1607.00133). {BASE}. Fewer epochs and more rows help without a promise",
        ),
        **examples_of(most_exposed(trial, leading), dict, finding=EXPOSED, seed=subject.seed),
    )  # fmt: skip
    return [leak, *_repeats(metrics, subject, trial)]


def most_exposed(trial: Trial, leading: Attack) -> list[dict[str, Scalar]]:
    """Training rows from the most exposed down, by row number and id; no text: this list is read by others."""
    names = trial.members.row_ids
    known = np.flatnonzero(~np.isnan(leading.members))
    order = known[np.argsort(-leading.members[known], kind="stable")]
    return [
        {
            "training_row": int(trial.member_rows[row]) + 1,
            "row_id": names[int(row)],
            "attack": leading.name,
            "score": round(float(leading.members[row]), 6),
        }
        for row in order
    ]


def _repeats(metrics: Sequence[Metric], subject: Subject, trial: Trial) -> list[Finding]:
    count = int(trial.repeated.sum())
    if not count:
        return []
    return [
        Finding(
            id="privacy-repeated-training-rows", severity=Severity.LOW,
            statement=f"{count:,} of {len(trial.repeated):,} training rows stand in the training data a second time: "
            "what is seen more often is remembered better.",
            metrics=[m.key for m in metrics if m.name == "repeated_training_rows"],
            mitigation=Mitigation(
                command=f"aboveboard prepare --data TRAIN_FILE --task {subject.task} {column_flags(subject)} "
                "--near-duplicates remove --out prepared",
                why="takes out rows that repeat others, near duplicates too (Lee et al. 2022, arXiv:2107.06499); train "
                "again on what is left",
            ),
        )
    ]  # fmt: skip


def untrusted(metrics: Sequence[Metric], subject: Subject, distrusted: str | None) -> list[Finding]:
    """That training and held-out rows are of different kinds."""
    if distrusted is None:
        return []
    return [
        Finding(
            id="privacy-distribution-shift", severity=Severity.MEDIUM,
            statement=f"The attacks prove nothing here: {distrusted}.",
            metrics=[m.key for m in metrics if m.name == "distribution_shift_auc"],
            mitigation=Mitigation(
                command=f"aboveboard prepare --data ALL_ROWS --task {subject.task} {column_flags(subject)} "
                "--out prepared",
                why="splits one file by lot, with no near duplicate in two parts: train on one part, attack with the "
                "other; where the checkpoint stays, hold it against rows of the same source and time",
            ),
        )
    ]  # fmt: skip


def overlap(metrics: Sequence[Metric], subject: Subject, trial: Trial) -> list[Finding]:
    """That held-out rows are not held out."""
    count = int(trial.overlapping.sum())
    if not count:
        return []
    clean = (
        Mitigation(
            command=audit_command(
                subject, "--train-data TRAIN_FILE", "--out without-overlap", data="rows_not_trained_on.csv"
            ),
            why="rows_not_trained_on.csv, beside this report, holds the rows that do not stand in the training data",
        )
        if not trial.overlapping.all()
        else None
    )
    return [
        Finding(
            id=OVERLAP, severity=Severity.MEDIUM,
            statement=f"{count:,} of {len(trial.overlapping):,} rows that should not have been in training stand in "
            "the training data: no attack was run on them, for it would call right answers wrong.",
            metrics=[m.key for m in metrics if m.name in (AUC, "members_overlap")],
            mitigation=clean,
            **examples_of(
                np.flatnonzero(trial.overlapping), lambda row: {"test_row": int(row) + 1}, finding=OVERLAP,
                seed=subject.seed, worst=0,
            ),
        )
    ]  # fmt: skip


def remembered(metrics: Sequence[Metric], subject: Subject, found: Memorized | None, expected: float) -> list[Finding]:
    """What a language model gives away word for word."""
    by_key = {(m.name, m.slice.get("rows", m.slice.get("kind", ""))): m for m in metrics}
    mend = Mitigation(
        command=private_training(subject),
        why=f"what one text adds to the model is bounded, and drowned in noise. {BASE}; repeats taken out of the "
        "training data help, too (Kandpal et al. 2022, arXiv:2202.06539)",
    )
    findings = []
    training, held_out = by_key.get((EXTRACTION, "training")), by_key.get((EXTRACTION, "held-out"))
    if found is not None and training is not None and training.value:
        foreseen = (held_out.value if held_out is not None else None) or 0.0
        if training.verdict is Verdict.FAIL or training.value > foreseen:
            findings.append(
                Finding(
                    id=EXTRACTED,
                    severity=Severity.HIGH if training.verdict is Verdict.FAIL else Severity.MEDIUM,
                    statement=f"{int(found.found.sum())} of {len(found.training)} training texts are written on word "
                    f"for word, {found.tokens} tokens long; of held-out texts {foreseen:.1%}.",
                    metrics=[training.key, *([held_out.key] if held_out is not None else [])],
                    mitigation=mend,
                    **examples_of(
                        found.training.rows[found.found], lambda row: {"training_row": int(row) + 1}, finding=EXTRACTED,
                        seed=subject.seed, worst=0,
                    ),
                )
            )  # fmt: skip
    kinds = {kind: m for (name, kind), m in by_key.items() if name == LEAKED and m.value}
    if kinds:
        said = ", ".join(f"{kind} in {m.value:.1%}" for kind, m in kinds.items())
        findings.append(
            Finding(
                id="privacy-personal-data", severity=Severity.HIGH,
                statement=f"Behind the beginnings of training texts the model writes personal data that stands in "
                f"them: {said} of the continuations.",
                metrics=[m.key for m in kinds.values()], mitigation=mend,
            )
        )  # fmt: skip
    exposure = by_key.get((EXPOSURE, ""))
    if exposure is not None and exposure.interval is not None and exposure.interval[0] > expected:
        findings.append(
            Finding(
                id="privacy-canaries-exposed", severity=Severity.MEDIUM,
                statement=f"Canaries that were trained on are exposed by {exposure.value:.2f} bits; a model that never "
                f"saw them gives {expected:.2f}.",
                metrics=[exposure.key], mitigation=mend,
            )
        )  # fmt: skip
    return findings
