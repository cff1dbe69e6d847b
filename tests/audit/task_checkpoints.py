"""A tiny checkpoint and a file of rows for each task: random weights, synthetic rows, real formats."""

from __future__ import annotations

from itertools import chain
from pathlib import Path

from core_model.data_columns import roles_of
from core_model.tasks import Task
from core_model.tasks.heads import from_scratch, give_padding
from core_model.tokenizer_training import train_tokenizer
from tests.core_model.task_worlds import SHAPES, world
from tests.factories import write_rows

LOADERS = {
    Task.LANGUAGE_MODELING: "AutoModelForCausalLM",
    Task.TRANSLATION: "AutoModelForSeq2SeqLM",
    Task.SUMMARIZATION: "AutoModelForSeq2SeqLM",
    Task.QUESTION_ANSWERING: "AutoModelForQuestionAnswering",
}
COLUMNS = {
    Task.LANGUAGE_MODELING: ("sentence", None, None),
    Task.TRANSLATION: ("en", None, "de"),
    Task.SUMMARIZATION: ("document", None, "synopsis"),
    Task.QUESTION_ANSWERING: ("question", "passage", "answers"),
}
"""(text, pair, reference) as a file calls them."""


def write_task_checkpoint(folder: Path, task: Task, *, seed: int = 0) -> Path:
    """A model of random weights with a tokenizer of the world's words, as a Hugging Face folder."""
    table, shape = world(task), SHAPES[task]
    tokenizer = train_tokenizer(chain(table.texts, table.pairs or (), table.references or ()), shape)
    model = from_scratch(shape, LOADERS[task], kinds=(shape.kind,), task=task, vocabulary=len(tokenizer), seed=seed)
    give_padding(model, tokenizer)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def write_task_rows(path: Path, task: Task, rows: int = 48, *, seed: int = 0) -> Path:
    """The world's rows as JSON Lines, under the columns of COLUMNS, with a group column "half"."""
    table, (text, pair, reference) = world(task, rows, seed), COLUMNS[task]
    lines = []
    for row in range(rows):
        line = {text: table.texts[row], "half": "first" if row < rows // 2 else "second"}
        if pair is not None and table.pairs is not None:
            line[pair] = table.pairs[row]
        if reference is not None and table.references is not None:
            line[reference] = table.references[row]
        lines.append(line)
    return write_rows(path, lines)


def column_flags(task: Task) -> list[str]:
    """`--source-column en --target-column de` ..."""
    roles = roles_of(task)
    flags = zip((roles.text, roles.pair, roles.reference), COLUMNS[task], strict=True)
    return [part for flag, column in flags if flag and column for part in (flag, column)]
