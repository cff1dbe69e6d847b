"""The flags that name columns, in every task's own words; and the rows of a file read by them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from core_model.data import Table
    from core_model.tasks import Task

Command = Callable[..., Any]

COLUMNS = ("text_column", "pair_column", "label_column", "reference_column", "encoding")


def column_options(command: Command) -> Command:
    """The flags of COLUMNS."""
    for option in reversed(
        [
            click.option("--text-column", "--source-column", "--question-column", "text_column", metavar="C",
                         help="Column of the text, of the source, or of the question."),
            click.option("--pair-column", "--context-column", "pair_column", metavar="C",
                         help="Column of the second text of a pair, or of the context that holds the answer."),
            click.option("--label-column", metavar="C", help="Column of the true label."),
            click.option("--target-column", "--answer-column", "reference_column", metavar="C",
                         help="Column of what the model should write: translation, summary, answer."),
            click.option("--encoding", metavar="NAME", help="Encoding of the data files, where it is not UTF-8."),
        ]
    ):  # fmt: skip
        command = option(command)
    return command


def open_rows(source: str, flag: str, *, columns: Mapping[str, Any], task: Task, group: str | None = None) -> Table:
    """The rows of a file, with what had to be guessed said aloud.

    Args:
        flag: that named the file, for what is said.
        columns: flag of COLUMNS -> value, None where it was not given.
        group: a column of groups to read as well.
    Raises: as `core_model.data.open_table`.
    """
    from core_model.data import open_table

    groups = () if group is None else (group,)
    table = open_table(
        source, labels_required=True, references_required=True, group_columns=groups, task=task, **columns
    )
    for what, column in table.guessed.items():
        click.echo(f"guessed for {flag}: --{what.replace('_', '-')} {column}", err=True)
    return table
