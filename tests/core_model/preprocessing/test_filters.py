"""Promises of filters: each drops what it names, keeps the healthy twin, and says how many and which."""

from __future__ import annotations

import sys

import pytest

from core_model.errors import OptionUnfit
from core_model.preprocessing import prepare
from core_model.preprocessing.filters import share_of_letters
from core_model.preprocessing.language import identifier, language_shares
from tests.core_model.preprocessing.worlds import dropped, parts, step, write

PAIR = {"task": "translation", "source_column": "en", "target_column": "de"}
WHOLE = {"validation": 0, "test": 0, "exact_duplicates": "keep", "near_duplicates": "keep"}

SOUND = [
    ("The window closes when you click the button.", "Das Fenster schließt sich, wenn Sie darauf klicken."),
    ("Choose a colour for the background of the page.", "Wählen Sie eine Farbe für den Hintergrund der Seite."),
    ("The file could not be opened for writing today.", "Die Datei konnte heute nicht zum Schreiben geöffnet werden."),
    ("Insert a table with three columns and two rows.", "Fügen Sie eine Tabelle mit drei Spalten und zwei Zeilen ein."),
]


def pairs(tmp_path, rows, **options):
    file = write(tmp_path, ({"en": en, "de": de} for en, de in rows))
    return prepare(file, tmp_path / "out", **PAIR, **WHOLE, **options)


def left(prepared) -> list[tuple[str, str]]:
    return [(row["en"], row["de"]) for row in parts(prepared)["train"]]


def test_sound_pairs_pass_every_filter(tmp_path):
    prepared = pairs(
        tmp_path, SOUND, min_words=3, max_words=20, min_characters=10, max_characters=100, max_length_ratio=2,
        min_letters=0.7, source_language="en", target_language="de",
    )  # fmt: skip
    assert left(prepared) == SOUND
    assert all(not step["dropped"] for step in prepared.card["steps"])


@pytest.mark.parametrize(
    ("planted", "options", "filter", "reason"),
    [
        (("one two", "eins zwei drei vier"), {"min_words": 3}, "length", "source: fewer than 3 words"),
        (("one two three", "eins " * 30), {"max_words": 20}, "length", "target: more than 20 words"),
        (("abc d e", "abc d e f g h"), {"min_characters": 10}, "length", "source: fewer than 10 characters"),
        (("a " * 60, "a"), {"max_characters": 100}, "length", "source: more than 100 characters"),
        (("a" * 20, "b" * 41), {"max_length_ratio": 2}, "length ratio", "one side is more than 2 times as long"),
        (("LibreOffice Calc", "libreoffice  calc"), {}, "identical sides", "source and target are the same"),
        (("a 1 2 3", "abcd"), {"min_letters": 0.5}, "letters", "source: fewer than 50% letters"),
    ],
)
def test_a_planted_row_goes_with_its_reason(tmp_path, planted, options, filter, reason):
    prepared = pairs(tmp_path, [*SOUND[:2], planted, *SOUND[2:]], **options)
    assert left(prepared) == SOUND
    assert dropped(prepared, filter) == {reason: [3]}


def test_a_ratio_at_the_limit_passes_and_the_same_sides_can_be_kept(tmp_path):
    assert len(left(pairs(tmp_path, [("a" * 20, "b" * 40)], max_length_ratio=2))) == 1
    assert len(left(pairs(tmp_path, [("same", "same")], identical="keep"))) == 1


def test_blank_sides_and_nulls_are_dropped_and_counted(tmp_path):
    rows = [("a", "b"), ("", "b"), ("a", None), ("a", " \t"), ("<br>", "b"), ("NaN", "b"), ("a\u200b", "c")]
    prepared = pairs(tmp_path, rows)
    assert left(prepared) == [("a", "b"), ("a", "c")]
    assert dropped(prepared, "cleaning") == {
        "source: blank": [2, 6], "target: blank": [3, 4], "source: blank once cleaned": [5],
    }  # fmt: skip


def test_letters_are_those_of_any_script():
    assert share_of_letters("ab 12") == 0.5
    assert share_of_letters("Привет") == share_of_letters("你好") == 1
    assert share_of_letters("  ") == 0


def test_rows_of_another_language_go_and_short_ones_stay(tmp_path):
    wrong = [
        ("Le fichier n'a pas pu être ouvert pour la lecture.", "Die Datei konnte nicht zum Lesen geöffnet werden."),
        ("The file could not be opened for reading.", "The file could not be opened for reading, sorry about that."),
    ]
    short = [("Standard", "Standards"), ("File", "Datei"), ("OK", "OK!")]
    prepared = pairs(tmp_path, [*SOUND, *wrong, *short], source_language="en", target_language="de")
    assert left(prepared) == [*SOUND, *short]
    assert dropped(prepared, "language") == {"source: not en": [5], "target: not de": [6]}
    assert step(prepared, "language")["found"] == {"source looks like fr": 1, "target looks like en": 1}


def test_a_short_text_goes_where_the_model_is_sure_of_a_rival(tmp_path):
    assert identifier().classify("Siehe auch")[1] > 0.9
    file = write(tmp_path, [{"text": "Siehe auch"}, {"text": "See also"}, {"text": "Optional"}])
    prepared = prepare(file, tmp_path / "out", task="language-modeling", language="en", **WHOLE)
    assert [row["text"] for row in parts(prepared)["train"]] == ["See also", "Optional"]


def test_swapped_columns_are_noticed_and_the_mend_is_named(tmp_path):
    rows = [(de, en) for en, de in SOUND] * 5
    with pytest.raises(OptionUnfit, match="look swapped: in 20 of 20 rows the source is de") as caught:
        pairs(tmp_path, rows, source_language="en", target_language="de")
    assert caught.value.mend == "swap --source-column and --target-column"
    assert not (tmp_path / "out").exists()


def test_swapped_columns_of_a_long_file_are_refused_before_its_end(tmp_path):
    file = write(tmp_path, [*({"en": de, "de": en} for en, de in SOUND * 250), {"en": 5, "de": "never read"}])
    with pytest.raises(OptionUnfit, match="look swapped"):
        prepare(file, tmp_path / "out", **PAIR, source_language="en", target_language="de")


def test_an_unknown_language_is_answered_with_a_code(tmp_path):
    with pytest.raises(OptionUnfit, match="knows no 'eng'"):
        pairs(tmp_path, SOUND, source_language="eng")
    with pytest.raises(OptionUnfit, match="no source"):
        prepare(write(tmp_path, [{"text": "a"}]), tmp_path / "out", source_language="en")


def test_without_the_package_the_filter_says_what_to_install_and_the_card_goes_without(tmp_path, monkeypatch):
    identifier.cache_clear()
    monkeypatch.setitem(sys.modules, "py3langid.langid", None)
    try:
        with pytest.raises(OptionUnfit, match="py3langid") as caught:
            pairs(tmp_path, SOUND, source_language="en")
        assert caught.value.mend == "pip install 'aboveboard[preprocessing]'"
        assert language_shares(["a"]) is None
        prepared = pairs(tmp_path, SOUND)
        assert prepared.card["languages"] is None
        assert "not measured" in (prepared.folder / "data_card.md").read_text()
    finally:
        identifier.cache_clear()


def test_questions_keep_an_answer_that_stands_in_the_cleaned_context(tmp_path):
    context = "The <b>tower</b> is 324&nbsp;metres tall."
    rows = [
        {"question": "How tall?", "context": context, "answers": {"text": ["324&nbsp;metres"], "answer_start": [20]}},
        {"question": "How tall?", "context": "It is tall.", "answers": {"text": ["324 metres"], "answer_start": [0]}},
        {"question": "How old?", "context": "It is old.", "answers": {"text": [], "answer_start": []}},
        {"question": "Who?", "context": "It was Ada.", "answers": {"text": ["Ada", "she"], "answer_start": [7, 0]}},
    ]
    prepared = prepare(write(tmp_path, rows), tmp_path / "out", task="question-answering", **WHOLE)
    kept = parts(prepared)["train"]
    assert kept[0]["context"] == "The tower is 324 metres tall."
    assert kept[0]["answers"] == {"text": ["324 metres"]}  # its place has moved
    assert kept[1] == rows[3]
    assert dropped(prepared, "cleaning") == {"answer: not in the context": [2], "answer: blank": [3]}
    assert step(prepared, "length")["rows_in"] == 2
