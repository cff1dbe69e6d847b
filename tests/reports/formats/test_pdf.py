"""The printed report: whole, the same each time, and it asks for nothing."""

from __future__ import annotations

import sys

import pytest

from audit.main import run
from reports.errors import LibraryMissing
from reports.formats import render
from reports.formats.pdf import _refuse, report_pdf
from tests.reports.factories import sealed_record


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


def test_whatever_the_page_would_ask_for_is_refused():
    with pytest.raises(ValueError, match="nothing outside itself"):
        _refuse("https://example.org/font.woff2")


def test_without_the_library_the_letter_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "weasyprint", None)
    with pytest.raises(LibraryMissing) as caught:
        report_pdf(sealed_record())
    assert "aboveboard[pdf]" in caught.value.mend
