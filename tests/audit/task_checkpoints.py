"""A tiny checkpoint and a file of rows for each task: weights as good as random, synthetic rows, real formats."""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import Any

from core_model.data import Table
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


def task_world(task: Task, rows: int = 64, seed: int = 0) -> Table:
    """The world of the task; sentences to translate are joined in pairs, for a BLEU needs runs of four words."""
    table = world(task, rows, seed)
    if task is not Task.TRANSLATION:
        return table
    more = world(task, rows, seed + 1000)
    texts, references = (
        [
            f"{first} {word} {second}" if row % 4 else second
            for row, (first, second) in enumerate(zip(a, b, strict=True))
        ]
        for word, a, b in (("and", table.texts, more.texts), ("und", table.references, more.references))
    )
    return Table.from_rows(name="planted", texts=texts, references=references, synthetic=True)


def write_task_checkpoint(folder: Path, task: Task, *, seed: int = 0, steps: int = 60) -> Path:
    """A tiny model with a tokenizer of the world's words, as a Hugging Face folder; `seed` draws its weights.

    A translator is taught a few steps: a random one writes no word of any reference, and its BLEU has no spread at all.
    """
    table, shape = task_world(task), SHAPES[task].model_copy(update={"max_length": 96})
    tokenizer = train_tokenizer(chain(table.texts, table.pairs or (), table.references or ()), shape)
    model = from_scratch(shape, LOADERS[task], kinds=(shape.kind,), task=task, vocabulary=len(tokenizer), seed=seed)
    give_padding(model, tokenizer)
    if task is Task.TRANSLATION:
        _teach(model, tokenizer, table, steps)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _teach(model: Any, tokenizer: Any, table: Table, steps: int) -> None:
    import torch

    batch = tokenizer(list(table.texts), text_target=list(table.references or ()), padding=True, return_tensors="pt")
    labels = batch.pop("labels")
    batch["labels"] = labels.masked_fill(labels == tokenizer.pad_token_id, -100)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    model.train()
    for _ in range(steps):
        optimizer.zero_grad()
        model(**batch).loss.backward()
        optimizer.step()
    model.eval()


def write_task_rows(path: Path, task: Task, rows: int = 48, *, seed: int = 0) -> Path:
    """The world's rows as JSON Lines, under the columns of COLUMNS, with a group column "half"."""
    table, (text, pair, reference) = task_world(task, rows, seed), COLUMNS[task]
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
