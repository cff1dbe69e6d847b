"""Promises of the German and the Chinese pages that only a browser can hold: WCAG, an empty console, narrow screens."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from reports.catalogue import language
from reports.document.build import comparison_html, report_html
from reports.frameworks.dossier import dossier_html
from reports.frameworks.framework import read_framework
from tests.reports.factories import sealed_record
from tests.reports.people import told_record
from tests.reports.test_comparison import comparison
from tests.reports.test_in_the_browser import CHROMIUM, QUIET, Browser, axe, small_record

__all__ = ["axe"]  # the fixture
pytestmark = pytest.mark.browser
UNFOLD = "for (const fold of document.querySelectorAll('details')) fold.open = true"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    from playwright.sync_api import sync_playwright

    folder = tmp_path_factory.mktemp("pages")
    german, chinese = language("de"), language("zh")
    told = told_record(small_record())
    pages = {
        "report-de.html": report_html(sealed_record(), language=german),
        "small-de.html": report_html(told, language=german),
        "small-zh.html": report_html(told, language=chinese),
        "dossier-de.html": dossier_html(told, read_framework("gdpr-35"), language=german),
        "comparison-de.html": comparison_html(comparison(), language=german),
    }
    for name, html in pages.items():
        (folder / name).write_text(html, encoding="utf-8")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield Browser(chromium, folder)
        chromium.close()


@pytest.mark.parametrize(("name", "scheme"), [("small-de.html", "light"), ("small-zh.html", "dark")])
def test_axe_finds_nothing_and_the_console_is_empty(browser, axe, name, scheme):
    visit = browser.visit(name, bypass_csp=True, color_scheme=scheme)
    visit.page.evaluate(UNFOLD)
    visit.page.evaluate(axe)
    found = visit.page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    assert [(v["id"], v["nodes"][0]["html"][:200]) for v in found["violations"]] == []
    assert len(found["passes"]) > 20  # it did run
    strict = browser.visit(name)
    assert strict.console == [] and len(strict.requests) == 1


@pytest.mark.parametrize("name", ["report-de.html", "small-zh.html", "dossier-de.html", "comparison-de.html"])
def test_long_words_make_no_page_wider_than_a_telephone(browser, name):
    page = browser.visit(name, width=320).page
    page.evaluate(UNFOLD)
    assert page.evaluate("document.documentElement.scrollWidth") <= 320


def test_the_script_speaks_the_pages_language(browser):
    page = browser.visit("report-de.html").page
    page.get_by_label("Kennzahlen filtern").fill("brier")
    assert page.get_by_role("status").inner_text() == "2 Zeilen"
    page.get_by_role("button", name="Alles aufklappen").click()
    assert page.get_by_role("button", name="Alles einklappen").is_visible()
