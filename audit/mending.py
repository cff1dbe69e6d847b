"""The commands that mend, in the words of the task: which flags name which columns."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from audit.smoothing_choice import smoothing_flags
from core_model.data_columns import roles_of

if TYPE_CHECKING:
    from audit.subject import Subject
    from reports.record import Mitigation, SmoothingFacts

READS = ("audit", "plan", "scan", "explain", "normalize", "behave")  # what can be done with an exported graph
ORIGINAL = "ORIGINAL_CHECKPOINT"


def of_the_original(mend: Mitigation) -> Mitigation:
    """A mend of an exported graph is one of the checkpoint that it came from, and its command names that one."""
    words = mend.command.split(" ")
    if (words[1:2] and words[1] in READS) or "CHECKPOINT" not in words:
        return mend
    command = " ".join(ORIGINAL if word == "CHECKPOINT" else word for word in words)
    why = f"{mend.why}; {ORIGINAL} is the one that this graph was exported from: mend it, and export it again"
    return mend.model_copy(update={"command": command, "why": why})


def of_the_wrapper(mend: Mitigation, smoothing: SmoothingFacts | None) -> Mitigation:
    """A command that audits again asks the same smoothed classifier, where one was audited."""
    start, flags = "aboveboard audit CHECKPOINT", smoothing_flags(smoothing)
    if not flags or not mend.command.startswith(f"{start} ") or "--smoothing-keep" in mend.command:
        return mend
    return mend.model_copy(update={"command": " ".join([start, *flags]) + mend.command.removeprefix(start)})


def column_flags(subject: Subject) -> str:
    """`--source-column en --target-column de`, as this run's rows were read."""
    roles, data = roles_of(subject.task), subject.data
    named = [(roles.text, data.text_column), (roles.pair, data.pair_column), (roles.reference, data.reference_column)]
    if roles.labels:
        named.append(("--label-column", data.label_column or "label"))
    return " ".join(f"{flag} {shlex.quote(column)}" for flag, column in named if flag and column)


def train_command(subject: Subject, *more: str) -> str:
    """`aboveboard train` of this checkpoint on its task, with more flags."""
    start = f"aboveboard train --task {subject.task} --base CHECKPOINT --data TRAIN_FILE {column_flags(subject)}"
    return " ".join([start, *more, "--out mended"])


def audit_command(subject: Subject, *more: str, data: str = "TEST_FILE") -> str:
    """`aboveboard audit` of this checkpoint on other rows, or with more flags."""
    groups = [f"--group-column {shlex.quote(column)}" for column in subject.data.group_columns]
    how = subject.generation
    beams = [f"--beams {how.beams}"] if how.beams > 1 else []
    start = f"aboveboard audit CHECKPOINT --data {data} --task {subject.task} {column_flags(subject)}"
    return " ".join([start, *groups, *beams, *more])
