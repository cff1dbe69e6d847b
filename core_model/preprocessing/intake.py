"""The steps that look at one row at a time, as the rows stream in: cleaning and filters."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

from core_model.data_table import group_value
from core_model.errors import DataMissing
from core_model.preprocessing.cleaning import Cleaner
from core_model.preprocessing.filters import Filter, text_filters
from core_model.preprocessing.language import LanguageFilter, language_filter
from core_model.preprocessing.options import PreparationOptions
from core_model.preprocessing.reading import Input, Row, answers_in, clean_answers, member, text_of, with_member
from core_model.preprocessing.rows import WaitingRows
from core_model.preprocessing.spool import json_line
from core_model.preprocessing.steps import Step, refuse_nothing_left
from core_model.tasks import Task

Tell = Callable[[str, int], None]

TELL_ROWS = 1_000
LOOK_FOR_SWAP = 1_000  # rows after which two swapped columns are refused, rather than at the end
DOCUMENTS = {Task.LANGUAGE_MODELING, Task.SUMMARIZATION, Task.QUESTION_ANSWERING}  # their line ends mean something


class Intake:
    """The steps that look at one row at a time.

    Attributes:
        rows_sha256: over the rows as JSON lines, where they are no single file; None else, and before they are taken.
    """

    def __init__(self, given: Input, options: PreparationOptions) -> None:
        self.given = given
        self.rows_sha256: str | None = None
        lines = options.keep_lines if options.keep_lines is not None else options.task in DOCUMENTS
        self.cleaner = Cleaner(options.html, options.unicode, options.control, options.whitespace, lines)
        settings = {kind: getattr(options, kind) for kind in ("html", "unicode", "control", "whitespace")}
        self.cleaning = Step("cleaning", settings | {"keep lines": lines}, "other columns, which hold text")
        sides = tuple(given.sides)
        self.language: LanguageFilter | None = language_filter(options, sides)
        self.filters: list[Filter] = text_filters(options, sides)
        if self.language is not None:
            self.filters.append(self.language.filter)

    def take(self, rows: WaitingRows, tell: Tell) -> list[Step]:
        """Stream the input into `rows`; the accounts."""
        steps = [self.cleaning, *(some.step for some in self.filters)]
        number, content = 0, None if self.given.is_file else hashlib.sha256()
        for number, row in enumerate(self.given, start=1):
            if content is not None:
                content.update(json_line(row))
            self._take_row(rows, number, row)
            if number % TELL_ROWS == 0:
                tell("reading and cleaning", number)
            if number == LOOK_FOR_SWAP and self.language is not None:
                self.language.refuse_swapped()
        rows.finish()
        self.rows_sha256 = None if content is None else content.hexdigest()
        if number == 0:
            raise DataMissing(f"{self.given.rows.name} has no row", mend="name a file with rows")
        if self.language is not None:
            self.language.finish()
        for step in steps:
            refuse_nothing_left(step, number)
        return steps

    def _take_row(self, rows: WaitingRows, number: int, row: Row) -> None:
        self.cleaning.rows_in += 1
        cleaned = self._clean(number, row)
        if cleaned is None:
            return
        self.cleaning.rows_out += 1
        row, texts = cleaned
        for some in self.filters:
            some.step.rows_in += 1
            if (reason := some.reason(texts)) is not None:
                some.step.drop(number, reason)
                return
            some.step.rows_out += 1
        label, split = self.given.label_column, self.given.split_column
        rows.append(
            number, row, texts,
            label="" if label is None else group_value(member(row, label)),
            group="" if split is None else group_value(member(row, split)),
        )  # fmt: skip

    def _clean(self, number: int, row: Row) -> tuple[Row, Sequence[str]] | None:
        texts: list[str] = []
        changed: set[str] = set()
        for side, column in self.given.sides.items():
            text = text_of(row, column, source=self.given.rows.name, number=number)
            cleaned = None if text is None else self.cleaner(text)
            if cleaned is None or not cleaned.text.strip():
                self.cleaning.drop(number, f"{side}: blank" if text is None else f"{side}: blank once cleaned")
                return None
            if not cleaned.text.isascii() and any("\ud800" <= letter <= "\udfff" for letter in cleaned.text):
                self.cleaning.drop(number, f"{side}: half of a surrogate pair")
                return None
            changed |= cleaned.kinds
            texts.append(cleaned.text)
            if cleaned.kinds:
                row = with_member(row, column, cleaned.text)
        if (answer_column := self.given.answer_column) is not None:
            answers = member(row, answer_column)
            if changed:
                answers = clean_answers(answers, lambda answer: self.cleaner(answer).text)
                row = with_member(row, answer_column, answers)
            if (reason := _unanswered(answers_in(answers), texts[-1])) is not None:
                self.cleaning.drop(number, reason)
                return None
        self.cleaning.change(number, changed)
        return row, texts


def _unanswered(answers: Sequence[str], context: str) -> str | None:
    if not answers:
        return "answer: blank"
    return None if any(answer in context for answer in answers) else "answer: not in the context"
