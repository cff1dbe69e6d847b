"""Promises of cleaning: what no reader sees goes, what a reader sees stays, and once is enough."""

from __future__ import annotations

import html
import time
import unicodedata

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from core_model.preprocessing.cleaning import Cleaner, composed, joined_blanks, without_unseen
from core_model.preprocessing.markup import without_markup

CLEAN = Cleaner()
LINES = Cleaner(keep_lines=True)

# Pieces that meet in hostile and in honest texts; hypothesis joins them in every order.
PIECES = st.sampled_from(
    ["a", "b", "é", "e\u0301", "\u0958", "\u1100\u1161", "👩", "\u0338", "\ud800", "\U000e0041", "\u200b", "\u200d",
     "\u202e", "\ufeff", "\x00", "\r\n", "\n", "\t", "\xa0", "\u3000", " ", "<b>", "</b>", "<", ">", "<p", "p>", "<!--",
     "-->", "<script>", "</script>", "=", "/", ";", "&", "amp;", "lt;", "gt;", "&#60;", "&#x3c;", "#38;", "&nbsp;"]
)  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(st.one_of(st.lists(PIECES, max_size=24).map("".join), st.text()), st.booleans())
@example("<" * 40 + "b>" * 40, False)  # nested deeper than the rounds go
@example("&amp;" * 40 + "lt;", True)
def test_cleaning_twice_is_cleaning_once(text, keep_lines):
    clean = Cleaner(keep_lines=keep_lines)
    once = clean(text)
    again = clean(once.text)
    assert again.text == once.text
    assert again.kinds == frozenset()
    assert (once.kinds == frozenset()) == (once.text == text)


@settings(max_examples=200, deadline=None)
@given(st.lists(PIECES, max_size=24).map("".join))
def test_what_is_cleaned_is_composed_and_holds_nothing_unseen(text):
    cleaned = CLEAN(text).text
    assert unicodedata.is_normalized("NFC", cleaned)
    assert cleaned == " ".join(cleaned.split())
    hidden = {"Cc", "Cs"} & {unicodedata.category(letter) for letter in cleaned}
    assert not hidden


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="abcäößé ,.;:'\"-0123456789", max_size=60))
def test_plain_text_only_loses_blanks(text):
    assert CLEAN(text).text == " ".join(text.split())


@pytest.mark.parametrize(
    "text",
    ["if a<b and c>d then", "a<p and q>b", "List<String> of <T>", "I <3 you", "x < y > z", "?a=1&copy=2", "AT&T",
     "R&D;", "&notit;", "&unknown;", "a <- b", "<https://example.org>", "<name@example.org>", "1 <!-- 2"],
)  # fmt: skip
def test_what_only_looks_like_markup_stays(text):
    assert CLEAN(text).text == text
    assert CLEAN(text).kinds == frozenset()


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("<p>one</p><p>two<br/>three</p>", "one two three"),
        ("click <b>OK</b>, <i>then</i><sub>2</sub> go", "click OK, then2 go"),
        ('<a href="https://example.org?a=1&amp;b=2">link</a>', "link"),
        ("a<!-- hidden -->b", "ab"),
        ("<script>alert('<b>')</script>text<style>p {color: red}</style>", "text"),
        ("<!DOCTYPE html><HTML><BODY>x</BODY></HTML>", "x"),
        ("Fish &amp; Chips &#8364;5 &#x20AC;6&nbsp;&eacute;", "Fish & Chips €5 €6 é"),
        ("&amp;amp;amp;lt;3", "<3"),
    ],
)
def test_markup_leaves_what_a_page_shows(text, seen):
    assert CLEAN(text).text == seen
    assert "html" in CLEAN(text).kinds


def test_text_of_a_page_is_the_text_that_lxml_finds():
    from lxml.html import fromstring

    page = "<div><h1>Title</h1><p>A <em>word</em> &amp; <code>x &lt; y</code>.</p><ul><li>one<li>two</ul></div>"
    assert CLEAN(page).text.replace(" ", "") == fromstring(page).text_content().replace(" ", "")


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=30))
def test_escaping_and_reading_gives_the_text_back(text):
    """html.escape is the oracle: a page that shows a text is read as that text."""
    escaped = html.escape(text)
    assert without_markup(escaped) == text or ("&" in text and ";" in text)  # which may hold references itself


@pytest.mark.parametrize(
    "hidden",
    ["\x00", "\x1b", "\x7f", "\xad", "\u200b", "\u2060", "\ufeff", "\u202e", "\u2066", "\u200e", "\u061c", "\U000e0041",
     "\ufff9", "\ufffe", "\ud800"],
)  # fmt: skip
def test_unseen_characters_go(hidden):
    assert without_unseen(f"e{hidden}vil") == "evil"
    assert CLEAN(f"e{hidden}vil").kinds == {"control"}


def test_joiners_stay_where_they_mean_something():
    for meaningful in ("\u0645\u06cc\u200c\u062e", "क्\u200dष", "👩\u200d🚀", "❤\ufe0f\u200d🔥"):
        assert without_unseen(meaningful) == meaningful
    assert without_unseen("pass\u200dword\u200c") == "password"


def test_composition_is_that_of_unicodedata():
    for text in ("e\u0301", "\u0958", "\u1100\u1161\u11a8", "Å", "ﬁ"):
        assert composed(text) == unicodedata.normalize("NFC", text)
        assert CLEAN(text).text == unicodedata.normalize("NFC", text)


def test_lines_stay_where_they_are_asked_for():
    text = " one \t two \r\n\r\n\r\n\r\n three\u2028four\x0bfive "
    assert joined_blanks(text, keep_lines=True) == "one two\n\nthree\nfour\nfive"
    assert joined_blanks(text, keep_lines=False) == "one two three four five"
    assert LINES("<p>one</p><p>two</p>").text == "one\n\ntwo"


@pytest.mark.parametrize("left_out", ["html", "unicode", "control", "whitespace"])
def test_each_kind_can_be_left_out_and_the_others_go_on(left_out):
    text = "e\u0301 \u202e &amp;  <b>x</b>"
    every = Cleaner()(text)
    assert every.text == "é & x"
    assert every.kinds == {"html", "unicode", "control", "whitespace"}
    kept = Cleaner(**{left_out: False})(text)
    assert kept.kinds == every.kinds - {left_out}
    assert {"html": "<b>", "unicode": "e\u0301", "control": "\u202e", "whitespace": "  "}[left_out] in kept.text


@pytest.mark.parametrize(
    "piece", ["<", "<!--", "&amp;", "<script>", "&#38;#38;", "<b ", "&#", "</script ", "<p x", "\u200b<", "&lt;"]
)
def test_hostile_texts_take_linear_time(piece):
    def seconds(times: int) -> float:
        started = time.process_time()
        CLEAN(piece * times)
        return time.process_time() - started

    seconds(100)
    small, large = min(seconds(2_000) for _ in range(3)), seconds(32_000)
    assert large < 16 * max(small, 0.001) * 5  # 16 times the text; a square would be 256 times
