"""What a reader should act on, each with a command that mends it.

Severity: high, when an interval breaks its limit (or the model is no better than guessing); medium, when the fault is
there and the limit undecided; low, when it is within the limit but colours the numbers.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from audit.concerns.evaluability.leakage import Leaked
from audit.concerns.evaluability.quality import Answers
from audit.examples import classified_line, examples_of, most_confident_errors, shortened
from reports.record import Finding, Metric, Mitigation, Scalar, Severity, Verdict

if TYPE_CHECKING:
    from audit.subject import Subject

COARSE = 0.05  # a test that shows nothing below 5 points of accuracy ranks hardly any two models
SHOWN = 10  # labels that a sentence names
OVERLAP, GUESSING, NEVER = (
    f"evaluability-{word}" for word in ("train-test-overlap", "no-better-than-majority", "label-never-predicted")
)


def findings_of(metrics: Sequence[Metric], leaked: Leaked | None, subject: Subject, answers: Answers) -> list[Finding]:
    """All findings, gravest first."""
    by_name = {m.name: m for m in metrics if not m.slice}
    found = [
        *_no_better_than_guessing(by_name, subject),
        *(_leakage(by_name, leaked, subject) if leaked is not None else []),
        *_never_predicted(metrics, answers, subject),
        *_coarse_test(by_name),
    ]
    return sorted(found, key=lambda f: list(Severity).index(f.severity))


def _no_better_than_guessing(by_name: dict[str, Metric], subject: Subject) -> list[Finding]:
    above = by_name["accuracy_above_majority_class"]
    if above.interval is None or above.interval[0] > 0:
        return []
    rate = by_name["majority_class_rate"]
    return [
        Finding(
            id=GUESSING,
            severity=Severity.HIGH if above.verdict is Verdict.FAIL else Severity.MEDIUM,
            statement=f"The model cannot be told from one that answers the commonest label always: its accuracy is "
            f"{by_name['accuracy'].value:.3f}, that of the commonest label {rate.value:.3f}.",
            metrics=["accuracy", rate.key, above.key],
            mitigation=Mitigation(
                command=f"{_train(subject)} --epochs 4",
                why="more passes, and more rows if there are any; then audit it on the same rows again",
            ),
            **examples_of(
                most_confident_errors(subject), classified_line(subject), finding=GUESSING, seed=subject.seed
            ),
        )
    ]  # fmt: skip


def _leakage(by_name: dict[str, Metric], leaked: Leaked, subject: Subject) -> list[Finding]:
    if not leaked.near.any():
        return []
    exact, near, added = (
        by_name[n] for n in ("exact_duplicate_overlap", "near_duplicate_overlap", "leakage_inflation")
    )
    verdicts = {exact.verdict, near.verdict}
    severity = (
        Severity.HIGH if Verdict.FAIL in verdicts
        else Severity.MEDIUM if Verdict.INCONCLUSIVE in verdicts
        else Severity.LOW
    )  # fmt: skip
    count = int(leaked.near.sum())
    statement = (
        f"{count} of {len(leaked.near)} test rows stand in the training data or are close to a row of it, "
        f"{int(leaked.exact.sum())} of them word for word"
    )
    if added.value is not None and added.interval is not None:
        clean = by_name["accuracy_without_overlap"]
        flatters = "they flatter the model: " if added.interval[0] > 0 else ""
        statement += f"; {flatters}accuracy is {by_name['accuracy'].value:.3f} with them and {clean.value:.3f} without"
    twins = sorted(leaked.twins, key=lambda t: (-t[2], t[0], t[1]))

    def line(twin: tuple[int, int, float]) -> dict[str, Scalar]:
        row, training_row, similarity = twin
        return {
            "test_row": row + 1, "training_row": training_row + 1, "similarity": round(similarity, 3),
            "text": shortened(subject.texts[row]),
        }  # fmt: skip

    return [
        Finding(
            id=OVERLAP, severity=severity, statement=f"{statement}.",
            metrics=[exact.key, near.key, added.key, "accuracy_without_overlap"],
            mitigation=_audit_clean_rows(subject) if not leaked.near.all() else None,
            **examples_of(twins, line, finding=OVERLAP, seed=subject.seed),
        )
    ]  # fmt: skip


def _audit_clean_rows(subject: Subject) -> Mitigation:
    groups = " ".join(f"--group-column {shlex.quote(c)}" for c in subject.data.group_columns)
    return Mitigation(
        command=f"aboveboard audit CHECKPOINT --data test_rows_without_overlap.csv --train-data TRAIN_FILE "
        f"{_columns(subject)} {groups}".rstrip()
        + " --out without-overlap",
        why="test_rows_without_overlap.csv, beside this report, holds the test rows that the model did not meet in "
        "training; report the numbers on those",
    )


def _never_predicted(metrics: Sequence[Metric], answers: Answers, subject: Subject) -> list[Finding]:
    table = answers.table
    never = [answers.labels[int(i)] for i in np.flatnonzero((table.sum(axis=0) == 0) & (table.sum(axis=1) > 0))]
    if not never:
        return []
    keys = [m.key for m in metrics if m.name == "recall" and m.slice["label"] in never]
    among = np.isin(np.asarray(subject.labels)[subject.targets], never)
    return [
        Finding(
            id=NEVER,
            severity=Severity.MEDIUM,
            statement=f"Labels that rows have, but the model never gives: {', '.join(never[:SHOWN])}"
            + (f" and {len(never) - SHOWN} more." if len(never) > SHOWN else "."),
            metrics=keys,
            mitigation=Mitigation(
                command=f"{_train(subject)} --epochs 4",
                why="with TRAIN_FILE holding more rows of these labels: rare labels are learned late",
            ),
            **examples_of(
                most_confident_errors(subject, among), classified_line(subject), finding=NEVER, seed=subject.seed
            ),
        )
    ]  # fmt: skip


def _coarse_test(by_name: dict[str, Metric]) -> list[Finding]:
    smallest, rows = by_name["minimum_detectable_effect"], by_name["rows_to_detect_one_point"]
    if smallest.value is not None and smallest.value <= COARSE:
        return []
    shows = "no difference at all" if smallest.value is None else f"no difference below {smallest.value:.3f}"
    return [
        Finding(
            id="evaluability-test-too-small",
            severity=Severity.LOW,
            statement=f"{smallest.n} rows show {shows} in accuracy between two models; "
            f"about {rows.value:,.0f} rows would show one of 0.01.",
            metrics=[smallest.key, rows.key],
            mitigation=Mitigation(
                command="aboveboard audit CHECKPOINT --data LARGER_TEST_FILE --out larger-test",
                why="intervals shrink with the square root of the rows",
            ),
        )
    ]  # fmt: skip


def _train(subject: Subject) -> str:
    return (
        f"aboveboard train --task classification --base CHECKPOINT --data TRAIN_FILE {_columns(subject)} --out mended"
    )


def _columns(subject: Subject) -> str:
    data = subject.data
    return f"--text-column {shlex.quote(data.text_column)} --label-column {shlex.quote(data.label_column or 'label')}"
