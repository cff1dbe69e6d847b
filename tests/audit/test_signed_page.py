"""Promises of the report about a signature: shown where it holds for this very record, refused where it does not."""

from __future__ import annotations

from audit.main import run
from reports.parts import People
from reports.reading import read_record
from tests.audit.test_sign_command import hash_file, place, sign, verify  # noqa: F401 - a fixture
from tests.reports.people import told_record


def report(place, *more):  # noqa: F811
    return run(["report", "--from", str(place / "audit.json"), "--out", str(place / "page.html"), *more])


def signature(place):  # noqa: F811
    return ["--signature", str(place / "audit.sig"), "--public-key", str(place / "key.pub")]


def test_a_page_shows_a_signature_that_holds_and_else_says_not_signed(place):  # noqa: F811
    assert sign(place) == 0 and report(place) == 0
    page = (place / "page.html").read_text(encoding="utf-8")
    assert "not signed" in page and "verified when this page was built" not in page
    assert report(place, *signature(place)) == 0
    page = (place / "page.html").read_text(encoding="utf-8")
    assert hash_file(place / "key.pub") in page and "verified when this page was built" in page
    assert "not signed" not in page and "certified" not in page


def test_a_page_is_not_written_where_the_signature_is_of_another_record(place, capsys):  # noqa: F811
    assert sign(place) == 0
    (place / "audit.json").write_bytes((place / "audit.json").read_bytes() + b"\n")
    assert report(place, *signature(place)) == 2
    assert "SignatureBroken" in capsys.readouterr().err and not (place / "page.html").exists()


def test_neither_machines_nor_a_redacted_page_show_it(place):  # noqa: F811
    assert sign(place) == 0
    assert report(place, *signature(place), "--redact") == 2
    assert report(place, *signature(place), "--format", "sarif") == 2


def test_what_people_said_after_the_signature_does_not_break_it(place):  # noqa: F811
    from reports.document.build import report_html

    assert sign(place) == 0
    record = read_record(place / "audit.json")
    people: People | None = told_record().people
    page = report_html(record.model_copy(update={"people": people}))
    (place / "report.html").write_text(page, encoding="utf-8")
    assert verify(place, file="report.html") == 0
    edited = report_html(record.model_copy(update={"verdict": "pass", "people": people}))
    (place / "report.html").write_text(edited, encoding="utf-8")
    assert verify(place, file="report.html") == 1
