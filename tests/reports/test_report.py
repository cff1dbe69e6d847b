"""Promises about the report's page, as text; what only a browser can tell is in test_in_the_browser.py."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path

import pytest

import reports.document
from reports.document.build import report_html
from reports.document.markup import begun
from reports.document.rows import Anchors, figure_view, table
from reports.record import Figure
from tests.reports import factories
from tests.reports.factories import record, sealed_record
from tests.reports.hostile import hostile_record
from tests.reports.pages import Page


@pytest.fixture(scope="module")
def html() -> str:
    return report_html(sealed_record())


@pytest.fixture(scope="module")
def page(html) -> Page:
    return Page(html)


def first_screen(html: str) -> str:
    return Page(html[: html.index('id="findings"')]).text


def test_the_same_record_gives_the_same_bytes(html):
    assert report_html(sealed_record()) == html


def test_the_page_stays_small(html):
    assert len(html.encode()) < 600_000


def test_the_first_screen_answers_what_a_reviewer_asks(html):
    text = first_screen(html)
    for answer in [
        "minilm-redditbias (synthetic record)", sealed_record().subject.sha256, "22,713,986 parameters", "Apache-2.0",
        "2,293 rows", "synthetic: made by a program", "The comments are offensive", "screening.toml", "Verdict: fail",
        "1 high", "1 medium", "1 low", "equalized odds difference, by target_group 0.162 (0.147 to 0.177)",
        "limit ≤ 0.1",
        "privacy: no training data was given, so nobody can ask which rows were in it",
        "--train-data FILE", "explainability errored", "7 rows; 30 are needed", "2 of 6 audits not measured",
    ]:  # fmt: skip
        assert answer in text, answer


def test_each_finding_has_its_numbers_its_mend_its_rows_and_an_anchor(page, html):
    assert ("article", {"class": "finding", "id": "finding-fairness-equalized-odds-target-group"}) in page.tags
    part = Page(html[html.index('id="finding-fairness-equalized') : html.index('id="finding-fairness-impact')]).text
    assert "equalized odds difference by target_group" in part
    assert "--constraint equalized-odds --out out/fairer" in part
    assert "Examples: 40 of 4,812 shown (content warning)" in part
    assert "The comments are offensive" in part
    assert "No mend is known" in page.text


def test_every_metric_of_the_record_is_on_the_page(page):
    rows = [attrs for tag, attrs in page.tags if tag == "tr" and "data-metric" in attrs]
    metrics = [m for a in sealed_record().audits for m in a.metrics]
    assert len(rows) >= len(metrics) > 80
    for metric in metrics:
        assert metric.name.replace("_", " ") in page.text
        assert metric.name in page.text or metric.value is None  # the method section


def test_method_has_definitions_rule_multiplicity_and_the_command(page):
    for words in ["Holm 1979", "Wilson (95%)", "JASA 22", "exceeded by more than", "aboveboard audit out/model",
                  "bootstrap=2000", "minimum_rows"]:  # fmt: skip
        assert words in page.text


def test_every_figure_has_a_caption_a_drawing_and_a_table(html):
    found = re.findall(r"<figure .*?</figure>", html, re.DOTALL)
    assert len(found) == sum(len(a.figures) for a in sealed_record().audits)
    for figure in found:
        assert "<figcaption" in figure and "<svg" in figure and "<table" in figure


def test_a_figure_that_cannot_be_drawn_still_has_its_table():
    broken = Figure(id="odd", kind="bars", title="Odd", caption="Nothing fits", rows=[{"colour": "blue"}])
    audit = factories.emissions().model_copy(update={"figures": [broken]})
    text = Page(report_html(record(audits=[audit]))).text
    assert "Not drawn: figure odd (bars): no row holds label, value" in text
    assert "blue" in text


def test_a_partial_record_has_a_banner_on_the_first_screen():
    assert "This run did not end." in first_screen(report_html(record(complete=False)))


def test_an_edited_record_has_a_banner_on_the_first_screen(html):
    edited = sealed_record().model_copy(update={"verdict": "pass", "verdict_reason": "all limits hold"})
    assert "This record was edited." in first_screen(report_html(edited))
    assert "This record was edited." not in html
    assert "carries no content hash" in first_screen(report_html(record()))


def test_an_empty_record_is_a_page_that_promises_nothing():
    text = Page(report_html(record(audits=[], verdict="inconclusive", verdict_reason=""))).text
    assert "No limit was set, so nothing could fail." in text
    assert "Verdict: inconclusive" in text


def test_the_policy_allows_our_own_style_and_script_and_nothing_else(page):
    policy = next(
        a["content"] for t, a in page.tags if t == "meta" and a.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy and "http" not in policy and "*" not in policy
    for kind, texts in (("style", page.raw["style"]), ("script", page.raw["script"][1:])):
        sources = next(part for part in policy.split("; ") if part.startswith(f"{kind}-src")).split()[1:]
        hashes = ["'sha256-" + base64.b64encode(hashlib.sha256(t.encode()).digest()).decode() + "'" for t in texts]
        assert sorted(sources) == sorted(hashes)


def test_the_page_asks_the_network_for_nothing(page):
    assert page.ways_out() == []


def test_hostile_text_makes_no_element_and_no_attribute():
    honest = Page(report_html(sealed_record()))
    hostile = Page(report_html(hostile_record()))
    names = lambda p: {(tag, key) for tag, attrs in p.tags for key in attrs}  # noqa: E731
    assert names(hostile) <= names(honest) | {("td", "data-label")}  # of crowded tables, and our own
    assert len(hostile.raw["script"]) == 2
    assert hostile.ways_out() == []


def test_hostile_text_is_visible():
    text = Page(report_html(hostile_record())).text
    assert "<script>window.PWNED=1</script>" in text
    assert "[U+202E]live[U+202C][U+2066][U+200B][U+FEFF][U+E0041]" in text
    assert "[U+0000][U+0007][U+001B]" in text
    assert "more characters]" in text
    assert "{{ 7 * 7 }}" in text
    assert not [c for c in text if c in "\u202e\u2066\u200b\ufeff\x00\x1b"]


def test_ids_are_ours_unique_and_without_strangers_letters():
    ids = [attrs["id"] for tag, attrs in Page(report_html(hostile_record())).tags if "id" in attrs]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"[a-z0-9-]+", i) for i in ids)


def test_links_inside_the_page_lead_somewhere(page):
    ids = {attrs["id"] for _, attrs in page.tags if "id" in attrs}
    targets = {attrs["href"][1:] for tag, attrs in page.tags if tag in {"a", "use"} and attrs.get("href")}
    assert targets <= ids


def test_anchors_are_stable_and_never_twice():
    anchors = Anchors()
    assert anchors.of("finding", "fairness-gap") == "finding-fairness-gap"
    assert anchors.of("finding", "fairness-gap") != "finding-fairness-gap"
    assert Anchors().of("finding", "A b") == Anchors().of("finding", "A b") != Anchors().of("finding", "a b")


def test_a_model_hash_that_is_none_writes_no_style():
    subject = record().subject.model_copy(update={"sha256": '"} body{display:none} @page{'})
    found = Page(report_html(record(subject=subject)))
    assert len(found.raw["style"]) == 1
    assert "body{display:none}" not in found.raw["style"][0]
    assert '"} body{display:none}' in found.text


def test_the_footer_of_print_names_the_model(page):
    assert sealed_record().subject.sha256 in page.raw["style"][1]


def test_many_rows_are_capped_and_counted():
    rows = [{"row": i, "text": "a made-up row"} for i in range(10_000)]
    finding = factories.fairness().findings[0].model_copy(update={"examples": rows, "examples_total": 90_000})
    audit = factories.fairness().model_copy(update={"findings": [finding]})
    html = report_html(record(audits=[audit]))
    assert "Examples: 40 of 90,000 shown" in Page(html).text
    assert len(re.findall(r"<td[^>]*>.{0,9}a made-up row", html)) == 40


def test_only_one_module_makes_markup():
    root = Path(reports.__file__).parent
    makers = {
        path.relative_to(root).as_posix()
        for path in root.rglob("*")
        if path.suffix in {".py", ".html"} and re.search(r"Markup\(|\|\s*safe|autoescape|mark_safe", path.read_text())
    }
    assert makers == {"document/markup.py"}


def test_reports_imports_no_other_floor():
    root = Path(reports.__file__).parent
    for path in root.rglob("*.py"):
        assert not re.search(
            r"^\s*(from|import) (audit|core_model|privacy|federated)\b", path.read_text(), re.MULTILINE
        )


def test_words_are_broken_only_where_a_table_would_not_fit_on_paper():
    comments = [{"row": "0123456789abcdef", "text": "a made-up comment " * 30, "predicted": "not biased"}]
    assert table(comments, 40).narrow
    assert not table([*comments, {"text": "x" * 120}], 40).narrow
    assert not table([{f"column {i}": "word" * 3 for i in range(12)}], 40).narrow
    html = report_html(sealed_record())
    assert 'class="data narrow"' in html and ".narrow { overflow-wrap: break-word; }" in html


def test_on_paper_a_row_of_many_columns_is_a_list_of_labelled_values():
    flips = [{"row": "20038db7142c9a9c", "text": "a comment of many words, " * 4, "label": "biased", "score": -0.66}]
    many = [row | {f"column {i}": "a cell of words" for i in range(6)} for row in flips]
    assert table(many, 40).crowded and table(many, 40).sentences == {"text"}
    assert not table(flips, 40).crowded  # four columns have room
    assert not table([{f"x{i}": 0.25 for i in range(12)}], 40).crowded  # twelve short numbers have it, too
    finding = factories.fairness().findings[0].model_copy(update={"examples": many, "examples_total": 1})
    html = report_html(factories.record(audits=[factories.fairness().model_copy(update={"findings": [finding]})]))
    assert ' crowded"' in html and 'data-label="column 5"' in html
    assert html.index("@media print, (max-width: 40rem)") < html.index(
        ".crowded td::before { content: attr(data-label)"
    )


def test_the_worst_rows_and_those_drawn_at_random_stand_apart_each_with_its_count():
    rows = [{"row": i, "text": f"worst {i}" if i < 20 else f"drawn {i}"} for i in range(40)]
    finding = (
        factories.fairness()
        .findings[0]
        .model_copy(update={"examples": rows, "examples_worst": 20, "examples_total": 4812})
    )
    audit = factories.fairness().model_copy(update={"findings": [finding]})
    text = Page(report_html(record(audits=[audit]))).text
    assert "Examples: 40 of 4,812 shown" in text
    worst, drawn = "The worst (20 of 4,812 shown)", "Drawn at random, by the run's seed (20 of 4,812 shown)"
    assert text.index(worst) < text.index("worst 0") < text.index(drawn) < text.index("drawn 20")


def test_the_table_behind_a_figure_names_its_columns_as_the_drawing_does():
    made = factories.bars().model_copy(update={"x_label": "g CO2e"})
    assert figure_view(made, Anchors()).table.columns[:2] == ["name", "g CO2e"]
    alike = factories.lines().model_copy(update={"x_label": "share", "y_label": "share"})
    assert {"x", "y"} <= set(figure_view(alike, Anchors()).table.columns)  # two of one name would be one


def test_a_mend_begins_like_a_sentence_unless_with_a_name():
    said = {"words are left out": "Words are left out", "augmented.jsonl is": "augmented.jsonl is", "": ""}
    assert {text: begun(text) for text in said} == said
    assert begun("integrated-gradients beats it") == "integrated-gradients beats it"
