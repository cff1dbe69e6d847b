"""Promises about text that a stranger wrote."""

from __future__ import annotations

import csv
import io
import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports.text import capped, csv_cell, json_in_page, one_line, terminal_text, visible


@pytest.mark.parametrize(
    ("character", "box"),
    [("\u202e", "[U+202E]"), ("\u2066", "[U+2066]"), ("\u200b", "[U+200B]"), ("\ufeff", "[U+FEFF]"),
     ("\U000e0041", "[U+E0041]"), ("\x00", "[U+0000]"), ("\x9b", "[U+009B]"), ("\u3164", "[U+3164]"),
     ("\u2028", "[U+2028]"), ("\u00ad", "[U+00AD]"), ("\ue000", "[U+E000]")],
)  # fmt: skip
def test_what_the_eye_cannot_see_becomes_a_box_that_names_it(character, box):
    assert visible(f"a{character}b") == f"a{box}b"


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=200))
def test_no_hidden_character_survives(text):
    shown = visible(text, longest=None)
    # the oracle is Unicode's own table, not our list
    assert not [c for c in shown if unicodedata.category(c) in ("Cc", "Cf", "Co") and c not in "\n\t"]


@given(st.text(alphabet=st.characters(categories=["L", "N", "P", "Zs"], exclude_characters="\u115f\u1160\u3164\uffa0")))
def test_text_that_hides_nothing_is_left_alone(text):
    assert visible(text, longest=None) == text


def test_a_long_text_is_cut_and_says_by_how_much():
    assert capped("abcdef", 4) == ("abcd", 2)
    assert visible("x" * 100_000, longest=600).endswith(" … [99,400 more characters]")


def test_a_command_cannot_hide_a_second_line():
    assert one_line("aboveboard audit\nrm -rf .") == "aboveboard audit[U+000A]rm -rf ."


@given(
    st.recursive(
        st.text() | st.integers() | st.none(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_embedded_json_reads_back_and_closes_no_element(value):
    embedded = json_in_page(json.dumps(value, ensure_ascii=False))
    assert not set("<>&\u2028\u2029") & set(embedded)
    assert json.loads(embedded) == value


@pytest.mark.parametrize("text", ["=cmd()", "+1", "-1", "@SUM(A1)", "\t=1", "  =1", "\r=1", "\uff1d1"])
def test_a_cell_never_begins_a_formula(text):
    written = io.StringIO()
    csv.writer(written).writerow([csv_cell(text)])
    [[cell]] = csv.reader(io.StringIO(written.getvalue()))
    assert cell.startswith("'")


def test_numbers_stay_numbers_in_a_cell():
    assert csv_cell(-0.5) == -0.5
    assert csv_cell("plain") == "plain"
    assert csv_cell("") == ""


@pytest.mark.parametrize(
    ("text", "shown"),
    [("\x1b[31mred\x1b[0m", "red"), ("\x1b]0;title\x07after", "after"), ("\x1b]8;;https://x\x1b\\link", "link"),
     ("\x9b2Jgone", "gone"), ("\x1b", "[U+001B]"), ("a\rb", "a[U+000D]b"), ("a\nb", "a[U+000A]b")],
)  # fmt: skip
def test_a_terminal_is_never_steered(text, shown):
    assert terminal_text(text) == shown
