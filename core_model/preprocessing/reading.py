"""The rows to prepare: where they come from, which columns hold their texts, and each row with all it holds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core_model.data import WRITTEN_NAN, About, about_beside, locate
from core_model.data_columns import choose_columns, roles_of
from core_model.data_reading import Source, whole_rows
from core_model.errors import ColumnMissing, DataDamaged, OptionUnfit
from core_model.preprocessing.options import PreparationOptions
from core_model.tasks import Task

Row = dict[str, Any]
WORDS = ("text", "pair", "source", "target", "question", "context", "answer")  # what tasks call their columns


@dataclass(frozen=True)
class Input:
    """What is prepared.

    Attributes:
        name: the file's name without its folder, or the hub's; path: None for a hub.
        about: what its sidecar says.
        sides: what the task calls the texts that are filtered and compared, and their columns: {"source": "en"}.
        answer_column: column of a question's answers, which are cleaned like the texts; None for other tasks.
        label_column, split_column: columns, or None.
        guessed: columns that were found by a usual name.
    """

    name: str
    path: Path | None
    rows: Source
    about: About
    sides: Mapping[str, str]
    answer_column: str | None
    label_column: str | None
    split_column: str | None
    guessed: Mapping[str, str]

    @property
    def is_file(self) -> bool:
        """Whether it is one file, rather than shards or a hub's data set."""
        return self.path is not None and self.path.is_file()

    def __iter__(self) -> Iterator[Row]:
        """The rows, once.

        Raises: DataDamaged, at the end, when the file was written to while it was read.
        """
        before = self._state()
        yield from whole_rows(self.rows)
        if self._state() != before:
            raise DataDamaged(f"{self.path} was changed while it was read", mend="prepare it when nobody writes to it")

    def _state(self) -> tuple[int, int] | None:
        if self.path is None or not self.path.is_file():
            return None
        found = self.path.stat()
        return found.st_size, found.st_mtime_ns


def open_input(data: str | Path, options: PreparationOptions) -> Input:
    """Open the rows and choose their columns; nothing but the beginning is read.

    Raises: DataMissing, DataDamaged, ColumnMissing, OptionUnfit.
    """
    location = str(data)
    path, rows = locate(location, split=None, encoding=options.encoding, cache_dir=None)
    text, pair, reference = _named_columns(options)
    try:
        chosen = choose_columns(
            rows.name,
            rows.columns,
            text=text,
            pair=pair,
            reference=reference,
            label=options.label_column,
            groups=() if options.split_column is None else (options.split_column,),
            references_required=True,
            task=options.task,
        )
    except ColumnMissing as error:  # here the group column goes by another flag
        found, mend = (said.replace("--group-column", "--split-column") for said in (error.found, error.mend))
        raise ColumnMissing(found, mend=mend) from None
    columns = [chosen.text, chosen.pair]
    answer = None
    if options.task is Task.QUESTION_ANSWERING:
        answer = chosen.reference
    else:
        columns.append(chosen.reference)
    sides = dict(zip(_side_names(options.task), (column for column in columns if column), strict=False))
    return Input(
        name=path.name if path else rows.name,
        path=path,
        rows=rows,
        about=about_beside(path) if path else About(),
        sides=sides,
        answer_column=answer,
        label_column=chosen.label,
        split_column=options.split_column,
        guessed=rows.guessed | chosen.guessed,
    )


def _side_names(task: Task) -> tuple[str, ...]:
    roles = roles_of(task)
    flags = (roles.text, roles.pair, None if task is Task.QUESTION_ANSWERING else roles.reference)
    return tuple(flag[2:].removesuffix("-column") for flag in flags if flag)


def _named_columns(options: PreparationOptions) -> tuple[str | None, str | None, str | None]:
    """The columns of text, pair and reference that are named; a column that the task does not have is refused."""
    roles = roles_of(options.task)
    flags = (roles.text, roles.pair, roles.reference)
    named: dict[str | None, str] = {}
    for word in WORDS:
        column = getattr(options, f"{word}_column")
        if column is None:
            continue
        if f"--{word}-column" not in flags:
            raise OptionUnfit(
                f"--{word}-column {column}: task {options.task} has no {word}",
                mend=" ".join(f"{flag} C" for flag in flags if flag),
            )
        named[f"--{word}-column"] = column
    return named.get(roles.text), named.get(roles.pair), named.get(roles.reference)


def member(row: Row, column: str) -> Any:
    """A column's value; `translation.en` reaches into an object. None where it is absent."""
    if column in row:
        return row[column]
    value: Any = row
    for name in column.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value


def with_member(row: Row, column: str, value: Any) -> Row:
    """The row with another value in a column; the row given stays as it is."""
    if column in row or "." not in column:
        return row | {column: value}
    top, _, rest = column.partition(".")
    return row | {top: with_member(row[top], rest, value)}


def text_of(row: Row, column: str, *, source: str, number: int) -> str | None:
    """The text in a column; None where there is none.

    Raises: DataDamaged for a value that is no text, with its row.
    """
    value = member(row, column)
    if value is None or value != value:  # noqa: PLR0124  # NaN alone differs from itself
        return None
    if not isinstance(value, str):
        raise DataDamaged(
            f"{source}: column {column!r} holds a {type(value).__name__} where a text was expected, in row {number:,} "
            "(counted from 1, header aside)",
            mend="name a column of texts, or write these values as texts",
        )
    return None if value in WRITTEN_NAN or not value.strip() else value


def clean_answers(value: Any, clean: Any) -> Any:
    """Answers, cleaned as their context was; SQuAD's places in the context no longer hold and are left out."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, list):
        return [clean_answers(answer, clean) for answer in value]
    if isinstance(value, dict):
        return {key: clean_answers(inner, clean) for key, inner in value.items() if key != "answer_start"}
    return value


def answers_in(value: Any) -> Sequence[str]:
    """The acceptable answers that a value holds: a text, a list of them, or SQuAD's object."""
    if isinstance(value, dict):
        value = value.get("text")
    answers = value if isinstance(value, list) else [value]
    return [answer for answer in answers if isinstance(answer, str) and answer.strip()]
