"""Which task a checkpoint is audited at, and whether its columns can be meant as they were named.

A sequence-to-sequence head does not say what it was trained for: `--task` may call it a translator or a summarizer. No
other head can be called another thing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from core_model.data_columns import roles_of
from core_model.errors import ColumnMissing, LabelsUnfit, OptionUnfit, TaskUnfit
from core_model.evaluation import EVALUABLE
from core_model.tasks import Task

if TYPE_CHECKING:
    from core_model.checkpoint import Checkpoint
    from core_model.data import Table

SAME_HEAD = frozenset({Task.TRANSLATION, Task.SUMMARIZATION})
BASES = (Task.FEATURE_EXTRACTION, Task.MASKED_LANGUAGE_MODELING)
LOOKED_AT = 200  # rows


def with_task(checkpoint: Checkpoint, task: Task | None) -> Checkpoint:
    """The checkpoint, asked to do what the user says.

    Raises: TaskUnfit when its head cannot do it.
    """
    if task is None or task is checkpoint.task:
        return checkpoint
    if {task, checkpoint.task} <= SAME_HEAD:
        return replace(checkpoint, task=task)
    head = f"the head of {checkpoint.name} ({checkpoint.architecture})"
    mend = f"leave --task out, or --task {checkpoint.task}" if checkpoint.task in EVALUABLE else f"a {task} checkpoint"
    raise TaskUnfit(f"{head} is for {checkpoint.task}; it cannot do {task}", mend=mend)


def refuse_unread(task: Task, *, beams: int, max_new_tokens: int | None) -> None:
    """Refuse settings of generated text where none is generated: they would be read as nothing.

    Raises: OptionUnfit.
    """
    flags = {"--beams": beams != 1, "--max-new-tokens": max_new_tokens is not None}
    given = [flag for flag, is_given in flags.items() if is_given]
    if given and task not in SAME_HEAD:
        raise OptionUnfit(f"{given[0]} was given, but {task} writes no text", mend=f"leave {' and '.join(given)} out")


def fit_reference(reference: Checkpoint, checkpoint: Checkpoint) -> Checkpoint:
    """Another checkpoint of the same task (and labels) to hold one against, or a base without a head for it.

    Raises: TaskUnfit for a reference of another task; LabelsUnfit for a classifier of other labels.
    """
    if reference.task in BASES:
        return reference
    if {reference.task, checkpoint.task} <= SAME_HEAD:
        reference = replace(reference, task=checkpoint.task)
    said = f"--reference {reference.name}"
    if reference.task is not checkpoint.task:
        raise TaskUnfit(
            f"{said} is a checkpoint for {reference.task}, and {checkpoint.name} one for {checkpoint.task}",
            mend=f"--reference with a {checkpoint.task} checkpoint, or with the base that it was trained from",
        )
    if checkpoint.task is Task.CLASSIFICATION and tuple(reference.labels) != tuple(checkpoint.labels):
        raise LabelsUnfit(
            f"{said} has the labels {', '.join(reference.labels)}; {checkpoint.name} has "
            f"{', '.join(checkpoint.labels)}",
            mend="--reference with a classifier of the same labels in the same order, or with a base without a head",
        )
    return reference


def refuse_swapped(checkpoint: Checkpoint, data: Table) -> None:
    """Refuse columns that were evidently named the wrong way round.

    Summaries longer than their texts, answers that stand in the questions more than in the contexts, or the two columns
    that the checkpoint's own training record names the other way round.

    Raises: OptionUnfit for swapped columns; ColumnMissing where the task reads pairs and there are none.
    """
    roles = roles_of(checkpoint.task)
    if checkpoint.task is Task.QUESTION_ANSWERING:
        if data.pairs is None:
            raise ColumnMissing(f"{data.name}: no column of contexts was named", mend=f"{roles.pair} COLUMN")
        if data.references is not None and _answers_stand_in_questions(data):
            raise _swapped(data, "most answers stand in the questions, few in the contexts", (roles.text, roles.pair))
    if data.references is None:
        return
    flags = (roles.text, roles.reference)
    if checkpoint.task is Task.SUMMARIZATION and _median_words(data.texts) < _median_words(data.references):
        raise _swapped(data, "the summaries are longer than the texts", flags)
    trained = (checkpoint.training_record or {}).get("data")
    then = (trained.get("text_column"), trained.get("reference_column")) if isinstance(trained, dict) else (None, None)
    if None not in then and then == (data.reference_column, data.text_column):
        raise _swapped(data, f"the checkpoint was trained to write {then[1]!r} from {then[0]!r}", flags)


def _swapped(data: Table, why: str, flags: tuple[str | None, str | None]) -> OptionUnfit:
    columns = (data.text_column, data.pair_column if flags[1] == "--context-column" else data.reference_column)
    return OptionUnfit(
        f"{data.name}: columns {columns[0]!r} and {columns[1]!r} seem to be swapped: {why}",
        mend=f"{flags[0]} {columns[1]} {flags[1]} {columns[0]}",
    )


def _answers_stand_in_questions(data: Table) -> bool:
    from core_model.tasks.question_answering import answers_of

    rows = range(min(LOOKED_AT, data.rows))
    pairs, references = data.pairs, data.references
    assert pairs is not None and references is not None  # noqa: S101 - the caller looked

    def found(texts: Sequence[str]) -> int:
        return sum(any(answer in texts[row] for answer in answers_of(references[row])) for row in rows)

    return found(pairs) < len(rows) / 2 < found(data.texts)


def _median_words(texts: Sequence[str]) -> float:
    return float(np.median([len(texts[row].split()) for row in range(min(LOOKED_AT, len(texts)))]))
