"""Promises that only a browser can hold the pages to: WCAG by axe-core, an empty console, no request, no script run.

Skipped where no Chromium is found; ABOVEBOARD_CHROMIUM names one.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import resources
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from reports.document.build import comparison_html, report_html
from reports.document.history import history_html
from reports.frameworks.dossier import dossier_html
from reports.frameworks.framework import read_framework
from reports.record import AuditResult, Record
from tests.reports import factories
from tests.reports.factories import sealed_record
from tests.reports.histories import history
from tests.reports.hostile import hostile_record
from tests.reports.people import told_record
from tests.reports.test_comparison import mended

NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = os.environ.get("ABOVEBOARD_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
QUIET = [
    *["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"],
    *["--disable-component-update", "--disable-sync"],
]

pytestmark = pytest.mark.browser
if CHROMIUM is None:  # one line for the whole module
    pytest.skip(
        "browser tests skipped: no Chromium found; install one or set ABOVEBOARD_CHROMIUM", allow_module_level=True
    )


@dataclass
class Visit:
    """An open page, and what it said and asked for."""

    page: Any
    console: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


class Browser:
    """One Chromium for the module; each visit has a context of its own."""

    def __init__(self, chromium: Any, folder: Path) -> None:
        self._chromium = chromium
        self._folder = folder

    def visit(self, name: str, *, width: int = 1280, **options: Any) -> Visit:
        context = self._chromium.new_context(viewport={"width": width, "height": 800}, **options)
        page = context.new_page()
        visit = Visit(page)
        page.on("console", lambda message: visit.console.append(message.text))
        page.on("pageerror", lambda error: visit.console.append(str(error)))
        page.on("request", lambda request: visit.requests.append(request.url))
        page.goto((self._folder / name).as_uri())
        return visit


def small_record() -> Record:
    """One of everything and few of anything: axe's contrast rule takes seconds for a thousand elements."""
    return factories.record(audits=[_few(audit) for audit in factories.record().audits], complete=False).sealed()


def _few(audit: AuditResult) -> AuditResult:
    named = {key for finding in audit.findings for key in finding.metrics}
    kept = [
        m for i, m in enumerate(audit.metrics) if m.key in named or m.value is None or m.limit is not None or i == 4
    ]
    findings = [finding.model_copy(update={"examples": finding.examples[:2]}) for finding in audit.findings]
    figures = [figure.model_copy(update={"rows": figure.rows[:4]}) for figure in audit.figures[-1:]]
    return audit.model_copy(update={"metrics": kept, "findings": findings, "figures": figures})


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    from playwright.sync_api import sync_playwright

    folder = tmp_path_factory.mktemp("pages")
    edited = hostile_record().model_copy(update={"complete": False, "content_sha256": "0" * 64})
    pages = {
        "report.html": report_html(sealed_record()),
        "hostile.html": report_html(edited),
        "small.html": report_html(small_record()),
        "comparison.html": comparison_html(mended()),
        "told.html": report_html(told_record(small_record())),
        "dossier.html": dossier_html(told_record(small_record()), read_framework("gdpr-35")),
        "history.html": history_html(history()),
    }
    for name, html in pages.items():
        (folder / name).write_text(html, encoding="utf-8")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield Browser(chromium, folder)
        chromium.close()


@pytest.fixture(scope="module")
def axe() -> str:
    return (resources.files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8")


PAGES = ["report.html", "hostile.html", "comparison.html", "dossier.html", "history.html"]


@pytest.mark.parametrize(
    ("name", "width", "options"),
    [
        ("small.html", 1280, {"color_scheme": "light"}),
        ("small.html", 1280, {"color_scheme": "dark"}),
        ("small.html", 320, {"color_scheme": "light"}),
        ("comparison.html", 1280, {"color_scheme": "dark"}),
        ("told.html", 1280, {"color_scheme": "light"}),
        ("dossier.html", 1280, {"color_scheme": "light"}),
        ("dossier.html", 1280, {"color_scheme": "dark"}),
        ("dossier.html", 320, {"color_scheme": "light"}),
        ("history.html", 1280, {"color_scheme": "light"}),
        ("history.html", 1280, {"color_scheme": "dark"}),
        ("history.html", 320, {"color_scheme": "light"}),
    ],
)
def test_axe_finds_nothing_with_everything_unfolded(browser, axe, name, width, options):
    page = browser.visit(name, width=width, bypass_csp=True, **options).page
    page.evaluate("for (const fold of document.querySelectorAll('details')) fold.open = true")
    page.evaluate(axe)
    # contrast is slow to compute and does not change with the width
    contrast = "true" if width > 320 else "false"
    found = page.evaluate(
        f"axe.run(document, {{resultTypes: ['violations'], rules: {{'color-contrast': {{enabled: {contrast}}}}}}})"
    )
    seen = [(v["id"], v["help"], v["nodes"][0]["html"][:200], len(v["nodes"])) for v in found["violations"]]
    assert not seen
    assert len(found["passes"]) > 20  # it did run


def test_axe_would_find_a_fault(browser, axe):
    # a control: an unnamed button and grey on grey, planted
    page = browser.visit("comparison.html", bypass_csp=True).page
    page.evaluate(
        "() => { document.querySelector('main').innerHTML = '<button></button><p class=pale>pale</p>'; "
        "document.querySelector('.pale').style.cssText = 'color:#999;background:#aaa' }"
    )
    page.evaluate(axe)
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    assert {"button-name", "color-contrast"} <= {violation["id"] for violation in found["violations"]}


@pytest.mark.parametrize("name", PAGES)
def test_the_console_is_empty_and_nothing_is_asked_for(browser, name):
    visit = browser.visit(name)
    visit.page.emulate_media(media="print")
    visit.page.evaluate("for (const fold of document.querySelectorAll('details')) fold.open = true")
    visit.page.wait_for_timeout(100)
    assert visit.console == []
    assert [url for url in visit.requests if not url.endswith(f"/{name}")] == []
    assert len(visit.requests) == 1


def test_the_policy_stops_a_script_that_is_not_ours(browser):
    # a control: without it, the two promises above would hold for a page that has no policy at all
    visit = browser.visit("report.html")
    visit.page.evaluate(
        "() => { const ours = document.createElement('script'); ours.textContent = 'window.PWNED = 1'; "
        "document.body.append(ours) }"
    )
    visit.page.wait_for_timeout(50)
    assert visit.page.evaluate("window.PWNED") is None
    assert any("Content Security Policy" in line for line in visit.console)


def test_hostile_text_runs_nothing_and_is_visible(browser):
    visit = browser.visit("hostile.html")
    assert visit.page.evaluate("window.PWNED") is None
    assert visit.console == []
    assert len(visit.requests) == 1
    visit.page.evaluate("for (const fold of document.querySelectorAll('details')) fold.open = true")
    text = visit.page.evaluate("document.querySelector('main').innerText")
    for box in [
        "[U+202E]",
        "[U+2066]",
        "[U+200B]",
        "[U+FEFF]",
        "[U+E0041]",
        "[U+0000]",
        "[U+001B]",
        "<script>",
        "=cmd|",
    ]:
        assert box in text, box
    hidden = r"/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufeff]/.test"
    assert visit.page.evaluate(f"{hidden}(document.querySelector('main').textContent)") is False
    assert (
        visit.page.evaluate("document.querySelectorAll('[onerror],[onload],[onfocus],[style],img,iframe').length") == 0
    )
    assert visit.page.evaluate("document.querySelectorAll('a:not([href^=\"#\"])').length") == 0


def test_a_first_letter_from_the_right_does_not_turn_a_sentence_around(browser):
    page = browser.visit("hostile.html").page
    directions = page.evaluate(
        "[...document.querySelectorAll('h1 bdi, h3 bdi, p bdi, .metrics bdi')].map(e => getComputedStyle(e).direction)"
    )
    assert set(directions) == {"ltr"}
    cells = page.evaluate("[...document.querySelectorAll('.data td bdi')].map(e => getComputedStyle(e).direction)")
    assert set(cells) == {"ltr", "rtl"}  # rows of data keep their own


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("unfolded", [False, True])
def test_no_page_is_wider_than_a_telephone(browser, name, unfolded):
    page = browser.visit(name, width=320).page
    if unfolded:
        page.evaluate("for (const fold of document.querySelectorAll('details')) fold.open = true")
    assert page.evaluate("document.documentElement.scrollWidth") <= 320


def test_everything_can_be_read_with_script_off(browser):
    page = browser.visit("report.html", java_script_enabled=False).page
    assert page.locator("h1").inner_text() == "minilm-redditbias (synthetic record)"
    assert page.locator("h2").first.inner_text().lower().endswith("fail")
    assert page.get_by_role("heading", name="What was not measured, and why").is_visible()
    assert page.locator("button:visible").count() == 0  # nothing that would do nothing
    fold = page.locator("#finding-fairness-equalized-odds-target-group details")
    assert not fold.locator("table").is_visible()
    fold.locator("summary").click()
    assert fold.locator("table").is_visible()
    levels = [int(tag[1]) for tag in page.locator("h1,h2,h3,h4").evaluate_all("all => all.map(e => e.tagName)")]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(later - earlier <= 1 for earlier, later in pairwise(levels))


def test_every_figure_has_a_drawing_with_a_name_and_a_table(browser):
    page = browser.visit("report.html").page
    figures = page.evaluate(
        "[...document.querySelectorAll('figure')].map(f => [!!f.querySelector('[role=img] svg'), "
        "f.querySelectorAll('table tbody tr').length, "
        "document.getElementById(f.querySelector('[role=img]').getAttribute('aria-labelledby')).textContent.length])"
    )
    assert len(figures) == sum(len(a.figures) for a in sealed_record().audits)
    assert all(drawn and rows > 0 and said > 20 for drawn, rows, said in figures)


def test_paper_shows_what_the_screen_folds(browser):
    page = browser.visit("report.html", java_script_enabled=False).page
    rows = page.locator("#finding-fairness-equalized-odds-target-group details td").first
    assert not rows.is_visible()
    page.emulate_media(media="print")
    assert rows.is_visible()
    assert not page.locator("nav").is_visible()
    assert page.pdf().startswith(b"%PDF")


def test_the_script_only_helps_it_filters_unfolds_and_opens_what_a_link_names(browser):
    visit = browser.visit("report.html")
    page = visit.page
    page.get_by_label("Filter numbers").fill("brier")
    assert page.get_by_role("status").inner_text() == "1 rows"
    page.get_by_label("Filter numbers").fill("")
    page.get_by_role("button", name="Unfold all").click()
    assert page.locator("main details:not([open])").count() == 0
    page.get_by_role("button", name="Fold all").click()
    assert page.locator("main details[open]").count() == 0
    page.locator("nav a[href='#concern-emissions']").click()
    page.wait_for_function("document.getElementById('concern-emissions').open")
    assert visit.console == []


def test_the_keyboard_reaches_the_verdict_first(browser):
    page = browser.visit("report.html").page
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the verdict"
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
