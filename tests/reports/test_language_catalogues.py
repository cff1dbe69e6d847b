"""Promises of the catalogues: whole, in step with the texts, and inert whoever wrote them."""

from __future__ import annotations

import re
from collections.abc import Callable
from html.parser import HTMLParser
from io import BytesIO, StringIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports.catalogue import (
    LANGUAGES,
    chosen,
    language,
    language_from,
    parse_catalogue,
    placeholders,
    shipped_catalogues,
    texts_missing,
)
from reports.document.build import report_html
from reports.document.vocabulary import fixed_words, meaning, vocabulary
from reports.errors import CatalogueUnfit, LanguageUnknown
from reports.language import ENGLISH, Language, speaking
from reports.locale.texts import found_texts, template, updated
from tests.reports import factories
from tests.reports.pages import Page

HEADER = 'msgid ""\nmsgstr ""\n"Language: fr\\n"\n"Content-Type: text/plain; charset=utf-8\\n"\n\n'
STEP = "run: python -m reports.locale, and translate what it names"


def own(body: str, header: str = HEADER) -> Language:
    return parse_catalogue(header + body, where="my.po")


def made(locale: str, translate: Callable[[str], str]) -> Language:
    """A language whose every text is made of the English one."""
    from babel.messages.catalog import Catalog
    from babel.messages.pofile import write_po

    catalog, file = Catalog(locale=locale), BytesIO()
    for message in messages(template()):
        plural = not isinstance(message.id, str)
        string = (translate(message.id[1]),) * 2 if plural else translate(message.id)
        catalog.add(message.id, string, context=message.context)
    write_po(file, catalog)
    return parse_catalogue(file.getvalue().decode(), where="made.po")


def messages(text: str):
    from babel.messages.pofile import read_po

    return [message for message in read_po(StringIO(text)) if message.id]


@pytest.mark.parametrize("name", LANGUAGES)
def test_every_text_is_translated_and_none_is_left_over(name):
    text = dict(shipped_catalogues())[name]
    again, missing = updated(text, LANGUAGES[name])
    assert missing == 0, STEP
    assert again == text, STEP
    assert "fuzzy" not in text and "#~" not in text
    assert texts_missing(language(name))[0] == 0


def test_the_template_for_others_holds_the_texts_of_today():
    from importlib import resources

    assert resources.files("reports.locale").joinpath("aboveboard.pot").read_text(encoding="utf-8") == template(), STEP
    assert len(set(map(str, found_texts()))) > 700


@pytest.mark.parametrize("name", LANGUAGES)
def test_placeholders_are_those_of_the_text(name):
    for message in messages(dict(shipped_catalogues())[name]):
        if isinstance(message.id, str):
            assert placeholders(message.string) == placeholders(message.id) is not None
        else:
            assert len(message.string) == {"de": 2, "zh": 1}[name]
            assert all(set(placeholders(form)) <= set(placeholders(message.id[1])) for form in message.string)


@pytest.mark.parametrize(
    ("name", "words"),
    [("de", r"(?i)konform|zertifi|anonymisiert|garantiert"), ("zh", "合规|认证|匿名|保证安全")],
)
def test_no_language_makes_a_verdict_of_ours_out_of_evidence(name, words):
    assert not re.findall(words, dict(shipped_catalogues())[name])


class Loose(HTMLParser):
    """Text outside of what strangers, audits and code said."""

    QUIET = frozenset(["bdi", "code", "script", "style", "svg"])

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[tuple[str, bool]] = []
        self.texts: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        if tag not in {"meta", "br", "wbr", "input"}:
            self.open.append((tag, tag in self.QUIET or ("lang", "en") in attrs))
        self.texts += [value for key, value in attrs if key in {"aria-label"} and value]

    def handle_endtag(self, tag):
        while self.open and self.open.pop()[0] != tag:
            pass

    def handle_data(self, data):
        if not any(quiet for _, quiet in self.open):
            self.texts.append(data)


def test_a_page_has_no_fixed_text_that_a_catalogue_cannot_reach():
    pseudo = made("de", lambda text: re.sub(r"(%\(\w+\)s|%%)|[^\W\d_]+", lambda found: found[1] or "¤", text))
    html = report_html(factories.sealed_record(), language=pseudo)
    loose = " ".join(Loose(html[html.index("<body") :]).texts)
    strangers = " ".join(a.title for a in factories.sealed_record().audits)
    ours = re.sub(r"\b(finding|figure)-[a-z0-9-]+|, appendix\b|\d min ", "", loose)  # anchors, and the unit of time
    left = set(re.findall(r"[A-Za-z]{3,}", ours)) - set(re.findall(r"[A-Za-z]+", strangers))
    assert left == {"Aboveboard", "sha", "SHA"}


def test_names_made_of_other_names_and_sentences_with_something_in_them_are_translated():
    with speaking(language("de")):
        assert fixed_words("worst slice bleu") == "BLEU auf der schlechtesten Teilmenge"
        assert fixed_words("2 limits are broken: a[b=c], d") == "2 Grenzwerte sind verletzt: a[b=c], d"
        assert fixed_words("6 limits are broken: a, b and 2 more") == "6 Grenzwerte sind verletzt: a, b und 2 weitere"
        assert fixed_words("a sentence that nobody foresaw") is None and fixed_words("") is None
        assert meaning("equalized_odds_difference").endswith("Gleichheit ist 0.")
        assert meaning("train_bleu").startswith("Die Kennzahl auf den Trainingszeilen")
        assert meaning("of_a_plugin") == ""
    assert fixed_words("2 limits are broken: a, d") is None and meaning("accuracy") == ""


@pytest.mark.parametrize("name", LANGUAGES)
def test_every_name_of_the_vocabulary_has_words_and_a_meaning(name):
    with speaking(language(name)):
        for metric in vocabulary()["metrics"]:
            assert fixed_words(metric.replace("_", " ")) and meaning(metric)


def test_hostile_text_in_a_catalogue_is_inert():
    evil = '</style></script><script>window.PWNED=1</script><img src=x onerror=1>\u202e\u0000" onfocus="1'
    language = made("fr", lambda text: evil + "".join(f"%({name})s" for name in placeholders(text).elements()))
    page, honest = (Page(report_html(factories.sealed_record(), language=one)) for one in (language, ENGLISH))
    assert len(page.raw["script"]) == len(honest.raw["script"])
    assert page.ways_out() == []
    assert "<script>window.PWNED=1</script>" in page.text and "[U+202E]" in page.text
    assert not set(page.text) & {"\u202e", "\x00"}
    assert re.match(r'@page\{@bottom-left\{content:"[\w ,.-]+";font', page.raw["style"][1])
    assert {(tag, key) for tag, attrs in page.tags for key in attrs if key.startswith("on")} == set()


@pytest.mark.parametrize(
    ("entry", "found"),
    [
        ('msgid "limit %(limit)s"\nmsgstr "limite %(limite)s"\n', "line 6: .*does not have the placeholders"),
        ('msgid "limit %(limit)s"\nmsgstr "limite"\n', "line 6"),
        ('msgid "limit %(limit)s"\nmsgstr "%(limit)s %(limit)s"\n', "line 6"),
        ('msgid "limit %(limit)s"\nmsgstr "limite %(limit)999999999s"\n', "line 6"),
        ('msgid "Findings"\nmsgstr "100 % sûr"\n', "line 6"),
        ('msgid "Findings"\nmsgstr "%(secret)s"\n', "line 6"),
        ('msgid "finding"\nmsgid_plural "findings"\nmsgstr[0] "a"\nmsgstr[1] "%(n)s"\n', "line 6"),
        ('msgid "Findings"\nmsgstr "ouvert\n', "line 7: .*no closing quote"),
        ("what is this\n", "line 6"),
    ],
)
def test_a_catalogue_that_does_not_fit_is_refused_with_its_line_and_a_mend(entry, found):
    with pytest.raises(CatalogueUnfit, match=f"my.po, {found}") as refused:
        own(entry)
    assert refused.value.mend and refused.value.exit_code == 2


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ('msgid ""\nmsgstr ""\n"Content-Type: text/plain; charset=utf-8\\n"\n\n', "which language"),
        ('msgid ""\nmsgstr ""\n"Language: klingon\\n"\n\n', "which language"),
        (HEADER[:-1] + '"Plural-Forms: nplurals=2; plural=n+7;\\n"\n\n', "Plural-Forms"),
        (HEADER[:-1] + '"Plural-Forms: nplurals=2; plural=n%0;\\n"\n\n', "Plural-Forms"),
        (HEADER[:-1] + '"Plural-Forms: nplurals=2; plural=__import__(1);\\n"\n\n', "Plural-Forms"),
    ],
)
def test_a_header_that_would_break_a_page_is_refused(header, found):
    with pytest.raises(CatalogueUnfit, match=found):
        own('msgid "Findings"\nmsgstr "Constats"\n', header.replace('\\n"\n\n', '\\n"\n\n'))


def test_files_that_are_no_catalogue_are_refused(tmp_path):
    (tmp_path / "latin.po").write_bytes(HEADER.encode() + 'msgid "Findings"\nmsgstr "Zün"\n'.encode("latin-1"))
    with pytest.raises(CatalogueUnfit, match=r"latin.po, line 7: this is not UTF-8"):
        language_from(tmp_path / "latin.po")
    (tmp_path / "big.po").write_bytes(b"#" * 5_000_000)
    with pytest.raises(CatalogueUnfit, match="4,000,000 bytes"):
        language_from(tmp_path / "big.po")
    with pytest.raises(CatalogueUnfit, match="cannot be read"):
        language_from(tmp_path / "none.po")
    with pytest.raises(LanguageUnknown, match="two languages"):
        chosen("de", tmp_path / "none.po")


def test_a_catalogue_of_ones_own_may_be_partial():
    french = own('msgid "Findings"\nmsgstr "Constats"\n\n#, fuzzy\nmsgid "Method"\nmsgstr "devinée"\n')
    text = Page(report_html(factories.record(audits=[]), language=french)).text
    assert "Constats" in text and "Method" in text and "devinée" not in text
    assert french.tag == "fr" and texts_missing(french)[0] > 700


def test_a_language_that_is_written_from_the_right_is_set_so():
    arabic = own('msgid "Findings"\nmsgstr "نتائج"\n', HEADER.replace("fr", "ar"))
    assert '<html lang="ar" dir="rtl">' in report_html(factories.record(audits=[]), language=arabic)


@given(st.text(alphabet='msgidtr_pluc"\\n%()[]01 #~,fuzzy\n'), st.sampled_from(["", HEADER]))
def test_whatever_a_file_holds_it_is_a_language_or_a_letter(body, header):
    try:
        assert own(body, header).tag == "fr"
    except CatalogueUnfit as error:
        assert "my.po" in error.found
