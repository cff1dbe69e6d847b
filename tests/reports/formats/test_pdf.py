"""The printed report: whole, the same each time, and it asks for nothing."""

from __future__ import annotations

import sys

import pytest

from audit.main import run
from reports.document.build import report_html
from reports.errors import LibraryMissing
from reports.formats import render
from reports.formats.pdf import _refuse, printable, report_pdf
from tests.reports.factories import fairness, record, sealed_record


def printer_is_there() -> bool:
    try:
        import weasyprint  # noqa: F401
    except (ImportError, OSError):
        return False
    return True


needs_printer = pytest.mark.skipif(not printer_is_there(), reason="WeasyPrint or Pango is not installed")


@needs_printer
def test_the_same_record_gives_the_same_bytes_and_no_script():
    first, second = report_pdf(sealed_record()), render(sealed_record(), "pdf")
    assert first == second and first.startswith(b"%PDF-") and first.rstrip().endswith(b"%%EOF")
    assert b"/JavaScript" not in first and b"/URI" not in first.replace(b"/URI (#", b"")


@needs_printer
def test_the_command_writes_it_beside_the_record(tmp_path, capsys):
    source = tmp_path / "audit.json"
    source.write_text(sealed_record().to_json(), encoding="utf-8")
    assert run(["report", "--from", str(source), "--format", "pdf"]) == 0
    assert (tmp_path / "report.pdf").read_bytes().startswith(b"%PDF-")


@needs_printer
def test_a_row_of_many_columns_is_laid_out_as_labelled_values():
    from weasyprint import HTML

    rows = [{"text": "a comment of many words, " * 4} | {f"column {i}": "a cell of words" for i in range(8)}]
    finding = fairness().findings[0].model_copy(update={"examples": rows, "examples_total": 1})
    page = printable(report_html(record(audits=[fairness().model_copy(update={"findings": [finding], "figures": []})])))
    laid_out = HTML(string=page, url_fetcher=_refuse).render().pages
    cells = [box for one in laid_out for box in one._page_box.descendants() if box.element_tag == "td"]
    labelled = {box.style["display"] for box in cells if box.element.get("data-label", "").startswith("column")}
    assert ("inline", "flow-root") in labelled and not any("table-cell" in display for display in labelled)


def test_whatever_the_page_would_ask_for_is_refused():
    with pytest.raises(ValueError, match="nothing outside itself"):
        _refuse("https://example.org/font.woff2")


def test_without_the_library_the_letter_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "weasyprint", None)
    with pytest.raises(LibraryMissing) as caught:
        report_pdf(sealed_record())
    assert "aboveboard[pdf]" in caught.value.mend
