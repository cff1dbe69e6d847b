"""Promises of tables with something to write: translations, summaries, answers."""

from __future__ import annotations

from pathlib import Path

import pytest

from core_model.data import Table, open_table
from core_model.errors import ColumnMissing, DataDamaged, OptionUnfit
from core_model.tasks import Task
from tests.factories import write_rows

PAIRS = [{"en": "a dog", "de": "ein Hund"}, {"en": "a cat", "de": "eine Katze"}]
SQUAD = [
    {"question": "who?", "context": "It was Ada.", "answers": {"text": ["Ada"], "answer_start": [7]}},
    {"question": "when?", "context": "In 1843.", "answers": {"text": ["1843", "In 1843"], "answer_start": [3, 0]}},
]


def test_source_and_target_are_read_by_name(tmp_path: Path):
    file = write_rows(tmp_path / "pairs.jsonl", PAIRS)
    table = open_table(file, text_column="en", reference_column="de", task=Task.TRANSLATION)
    assert list(table.texts) == ["a dog", "a cat"]
    assert table.references is not None and list(table.references) == ["ein Hund", "eine Katze"]
    assert (table.text_column, table.reference_column, table.has_labels) == ("en", "de", False)


def test_a_dot_reaches_into_objects(tmp_path: Path):
    file = write_rows(tmp_path / "wmt.jsonl", [{"translation": pair} for pair in PAIRS])
    table = open_table(file, text_column="translation.en", reference_column="translation.de", task=Task.TRANSLATION)
    assert table.references is not None and list(table.references) == ["ein Hund", "eine Katze"]


def test_a_member_that_is_not_there_is_an_absent_text(tmp_path: Path):
    file = write_rows(tmp_path / "wmt.jsonl", [{"translation": pair} for pair in PAIRS])
    with pytest.raises(DataDamaged, match=r"'translation.fr' holds no text(.|\n)*rows 1, 2"):
        open_table(file, text_column="translation.en", reference_column="translation.fr", task=Task.TRANSLATION)


def test_squads_own_columns_are_found_and_several_answers_are_kept(tmp_path: Path):
    table = open_table(write_rows(tmp_path / "squad.jsonl", SQUAD), task=Task.QUESTION_ANSWERING)
    assert table.references is not None and list(table.references) == ['["Ada"]', '["1843", "In 1843"]']
    assert table.pairs is not None and table.pairs[0] == "It was Ada."
    assert table.guessed == {"answer_column": "answers", "question_column": "question", "context_column": "context"}


@pytest.mark.parametrize(
    ("columns", "error", "letter"),
    [
        (
            {"text_column": "en", "reference_column": "fr"},
            ColumnMissing,
            r"asked for by --target-column\)(.|\n)*Try: --t",
        ),
        ({"text_column": "english"}, ColumnMissing, r"asked for by --source-column"),
        ({"text_column": "en", "reference_column": "en"}, OptionUnfit, "the text and also the target"),
        ({"text_column": "en"}, ColumnMissing, r"what the model should write(.|\n)*--target-column COLUMN"),
    ],
)
def test_missing_and_doubled_columns_get_a_letter(tmp_path: Path, columns, error, letter):
    file = write_rows(tmp_path / "pairs.jsonl", PAIRS)
    with pytest.raises(error, match=letter):
        open_table(file, task=Task.TRANSLATION, references_required=True, **columns)


def test_an_empty_side_is_named_by_row(tmp_path: Path):
    file = write_rows(tmp_path / "pairs.jsonl", [*PAIRS, {"en": "a bird", "de": " "}])
    with pytest.raises(DataDamaged, match=r"column 'de' holds a blank text in row 3"):
        open_table(file, text_column="en", reference_column="de", task=Task.TRANSLATION)


def test_a_language_model_reads_no_target():
    with pytest.raises(ColumnMissing, match=r"Try: --target-column COLUMN"):
        Table.from_rows(name="rows", texts=["a", "b"]).require_references("--target-column")


def test_references_are_part_of_what_names_the_rows():
    one, other = (Table.from_rows(name="rows", texts=["a", "b"], references=refs) for refs in (["x", "y"], ["x", "z"]))
    assert one.sha256 != other.sha256
    assert one.select([1]).references == ("y",)
