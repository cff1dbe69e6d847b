# ruff: noqa: RUF001 - signs of other languages are the subject here
"""Promises of a page in another language: its words, numbers and dates; the record inside is the same in each."""

from __future__ import annotations

import re
from functools import lru_cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports.catalogue import language
from reports.comparison import Comparison
from reports.document.build import comparison_html, report_html
from reports.errors import LanguageUnknown
from reports.formats import FORMATS, render
from reports.frameworks.dossier import dossier_html
from reports.frameworks.framework import read_framework
from reports.language import ENGLISH, _, moment, ngettext, percent, speaking, spoken
from reports.numbers import cell, duration, measured, number
from reports.reading import extract_record
from tests.reports import factories
from tests.reports.factories import sealed_record
from tests.reports.pages import Page
from tests.reports.people import told_record
from tests.reports.test_comparison import comparison

OTHERS = ["de", "zh"]


@lru_cache
def html(name: str) -> str:
    return report_html(sealed_record(), language=language(name))


def attribute(page: Page, tag: str, name: str) -> str | None:
    return next(attrs.get(name) for found, attrs in page.tags if found == tag)


@pytest.mark.parametrize(("name", "tag"), [("en", "en"), ("de", "de"), ("zh", "zh-CN")])
def test_the_page_says_which_language_it_is_in(name, tag):
    assert attribute(Page(html(name)), "html", "lang") == tag


@pytest.mark.parametrize("name", OTHERS)
def test_the_same_record_and_language_give_the_same_bytes(name):
    assert report_html(sealed_record(), language=language(name)) == html(name)


@pytest.mark.parametrize("name", OTHERS)
def test_the_record_inside_is_the_same_in_each_language(name):
    assert extract_record(html(name)) == extract_record(html("en")) == sealed_record()


def test_german_first_screen_says_what_the_english_one_says():
    text = Page(html("de")).text
    for words in [
        "Prüfbericht", "Ergebnis: nicht bestanden", "22.713.986 Parameter", "2.293 Zeilen",
        "Differenz der Fehlerraten (equalized odds), nach target_group 0,162 [0,147; 0,177]", "Grenzwert ≤ 0,1",
        "von 6 Prüfungen nicht gemessen", "Was nicht gemessen wurde, und warum", "Beispiele: 40 von 4.812 gezeigt",
        "synthetisch: von einem Programm gemacht, nicht von Menschen",
    ]:  # fmt: skip
        assert words in text, words


def test_chinese_first_screen_says_what_the_english_one_says():
    text = Page(html("zh")).text
    for words in [
        "审计报告",
        "结论：未通过",
        "22,713,986 个参数",
        "均等几率差（equalized odds）",
        "0.147 至 0.177",
        "未测量的内容及原因",
    ]:
        assert words in text, words


def test_sentences_of_audits_stay_english_and_are_marked_as_english():
    statement = next(finding.statement for audit in sealed_record().audits for finding in audit.findings)
    assert re.search(rf'<span lang="en"><bdi>{re.escape(statement[:30])}', html("de"))
    assert '<span lang="en">' not in html("en") and '<div lang="en">' not in html("en")


def test_nothing_else_of_the_english_page_knows_of_languages():
    assert report_html(sealed_record()) == html("en")
    assert "in English, as in the record" not in Page(html("en")).text


def test_charts_have_the_languages_separators_and_titles():
    german = re.findall(r"<figure .*?</figure>", html("de"), re.DOTALL)
    english = re.findall(r"<figure .*?</figure>", html("en"), re.DOTALL)
    ticks = lambda figures: re.findall(r">(\d[.,]\d+)</text>", "".join(figures))  # noqa: E731
    assert ticks(german) and ticks(german) == [tick.replace(".", ",") for tick in ticks(english)]


def test_the_comparison_and_the_dossier_speak_too():
    page = Page(comparison_html(comparison(), language=language("de")))
    assert attribute(page, "html", "lang") == "de"
    assert "Kein Hinweis auf Veränderung" in page.text and "dieselben Zeilen" in page.text
    told = dossier_html(told_record(sealed_record()), read_framework("gdpr-35"), language=language("zh"))
    assert attribute(Page(told), "html", "lang") == "zh-CN"
    assert "逐条证据" in Page(told).text and "证明人：" in Page(told).text


def test_an_empty_comparison_counts_in_the_plural_of_the_language():
    assert (
        "0 Kennzahlen verglichen"
        in Page(comparison_html(Comparison(**{**dict(comparison()), "rows": []}), language=language("de"))).text
    )


def test_outside_of_a_page_everything_is_english():
    with pytest.raises(RuntimeError), speaking(language("de")):
        assert number(0.5) == "0,500" and _("Findings") == "Befunde"
        raise RuntimeError
    assert spoken() is ENGLISH and number(0.5) == "0.500" and _("Findings") == "Findings"


def test_machine_formats_are_english_even_while_german_is_spoken_before_and_after():
    before = {name: render(sealed_record(), name) for name in ("sarif", "junit", "prometheus")}
    report_html(factories.record(audits=[]), language=language("de"))
    assert {name: render(sealed_record(), name, language=language("de")) for name in before} == before
    assert [name for name, one in FORMATS.items() if one.spoken] == ["html", "pdf"]


def test_german_numbers():
    with speaking(language("de")):
        assert (number(1234567), number(-0.5), number(1.5e-9)) == ("1.234.567", "−0,500", "1,50 × 10⁻⁹")
        assert measured(0.146, (0.101, 0.191)) == ("0,146", "[0,101; 0,191]")
        assert (number(1234.5, decimals=1), cell(0.1), cell("x")) == ("1.234,5", "0,1", None)
        assert (percent(0.95), percent(0.999), duration(0.42)) == ("95\xa0%", "99,9\xa0%", "0,42 s")
        assert ngettext("limit was set", "limits were set", 1) == "Grenzwert war gesetzt"
        assert ngettext("limit was set", "limits were set", 0) == "Grenzwerte waren gesetzt"


@given(st.floats(-1e12, 1e12), st.floats(0, 1e3))
def test_every_language_shows_the_same_digits(value, half):
    digits = []
    for name in ("en", "de", "zh"):
        with speaking(language(name)):
            digits.append(re.sub(r"[^0-9⁰¹²³⁴⁵⁶⁷⁸⁹⁻−]", "", number(value) + (cell(value) or "")))
            shown, interval = measured(value, (value - half, value + half))
            digits[-1] += re.sub(r"[^0-9⁰¹²³⁴⁵⁶⁷⁸⁹⁻−]", "", shown + interval)
    assert len(set(digits)) == 1


def test_dates_are_the_languages_and_what_is_none_stays():
    with speaking(language("de")):
        assert moment("2026-10-01T09:00:00+02:00") == "01.10.2026, 07:00:00 UTC"
        assert moment("2027-02-01") == "01.02.2027"
        assert moment("<script>") == "<script>" and moment("") == ""
    assert moment("2026-10-01T09:00:00+02:00") == "2026-10-01T09:00:00+02:00"


def test_an_unknown_language_is_refused_with_those_that_are_there():
    with pytest.raises(LanguageUnknown, match="'fr'; there are en, de, zh"):
        language("fr")
    with pytest.raises(LanguageUnknown, match="--lang de"):
        language("de_AT")
