"""The rows that `compress`, `export`, `package` and `tune` read: their columns as flags, and the opened table."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from core_model.checkpoint import Checkpoint
    from core_model.data import Table

Command = Callable[..., Any]
COLUMNS = ("text_column", "pair_column", "reference_column", "label_column", "encoding")


def row_options(command: Command) -> Command:
    """Flags that name the columns of the data."""
    for option in reversed(
        [
            click.option("--text-column", "--source-column", "--question-column", "text_column", metavar="C",
                         help="Column of the text, of the source, or of the question."),
            click.option("--pair-column", "--context-column", "pair_column", metavar="C",
                         help="Column of the second text of a pair, or of the context that holds the answer."),
            click.option("--target-column", "--answer-column", "reference_column", metavar="C",
                         help="Column of what the model should write: translation, summary, answer."),
            click.option("--label-column", metavar="C", help="Column of the true label."),
            click.option("--encoding", metavar="NAME", help="Encoding of the data file, where it is not UTF-8."),
        ]
    ):  # fmt: skip
        command = option(command)
    return command


def open_rows(source: str, checkpoint: Checkpoint, columns: dict[str, Any], *, flag: str = "--data") -> Table:
    """The rows of a file under the checkpoint's task and classes, with what had to be guessed said aloud.

    Raises: DataMissing, DataDamaged, ColumnMissing, LabelsUnfit.
    """
    from core_model.data import open_table

    table = open_table(
        source, task=checkpoint.task, label_names=checkpoint.labels or None, labels_required=bool(checkpoint.labels),
        references_required=True, **columns,
    )  # fmt: skip
    for what, column in table.guessed.items():
        click.echo(f"guessed for {flag}: --{what.replace('_', '-')} {column}", err=True)
    return table
