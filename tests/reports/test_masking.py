"""Masking: planted personal data is replaced by its kind, the rest stays readable, and the page says what it is worth.

All of it is made up. The second opinion is the detector of the memorization audit, which shares no code with Presidio.
"""

from __future__ import annotations

import sys

import pytest

from audit.main import run
from privacy.attacks.personal_data import find, luhn
from reports import personal_data
from reports.document.build import report_html
from reports.errors import LibraryMissing
from reports.personal_data import Presidio, Span, merged, presidio
from reports.reading import hash_matches, read_record
from reports.record import AuditResult, Finding, Record, Severity, Status
from reports.redaction import LONGEST_MASKED, redacted
from tests.reports.factories import record, sealed_record

PLANTED = (
    ("write to anna.bolt+x@mail.example.org, she said", "EMAIL", "anna.bolt+x@mail.example.org"),
    ("pay to DE89 3704 0044 0532 0130 00 by Monday", "IBAN", "DE89 3704 0044 0532 0130 00"),
    ("card 4111 1111 1111 1111 was declined", "CARD", "4111 1111 1111 1111"),
    ("call +49 30 901820 after nine", "PHONE", "+49 30 901820"),
    ("it came from 203.0.113.77 at night", "IP", "203.0.113.77"),
)
HEALTHY = (
    "the film was long, and 5,000 people saw 12 of its 13 parts", "no names, no numbers", "at 10:30 we left", "a@b",
    "version 2.13.0 scored 0.874 of 1", "C'est la vie, n'est-ce pas?", "日本語のテキスト",
)  # fmt: skip


# The examples of the IBAN registry (ISO 13616).
IBANS = (
    "DE89370400440532013000", "GB29NWBK60161331926819", "FR1420041010050500013M02606", "NL91ABNA0417164300",
    "ES9121000418450200051332", "IT60X0542811101000000123456", "BE68539007547034", "AT611904300234573201",
    "PL61109010140000071219812874", "CH9300762011623852957",
)  # fmt: skip


class Words:
    """A detector that finds a word: what masking does must not hang on Presidio."""

    name = "a made-up detector 1.0"

    def spans(self, text: str) -> list[Span]:
        start = text.find("secret")
        return [Span(start, start + 6, "WORD")] if start >= 0 else []


def record_of(*texts: str) -> Record:
    rows = [{"row": i, "text": text, "label": "biased"} for i, text in enumerate(texts)]
    finding = Finding(id="f", severity=Severity.LOW, statement="s", examples=rows, examples_total=len(rows))
    audit = AuditResult(id="fairness", concern="fairness", status=Status.MEASURED, findings=[finding])
    return record(audits=[audit]).sealed()


def texts_of(masked: Record) -> list[str]:
    return [str(row["text"]) for row in masked.audits[0].findings[0].examples]


@pytest.fixture(scope="module")
def detector() -> personal_data.Detector:
    pytest.importorskip("presidio_analyzer")
    return presidio()


def test_planted_data_is_replaced_by_its_kind_and_the_rest_can_be_read(detector):
    masked = redacted(record_of(*(text for text, _, _ in PLANTED)), "mask", detector=detector)
    assert texts_of(masked) == [text.replace(piece, f"[{kind}]") for text, kind, piece in PLANTED]
    assert masked.redaction.values == len(PLANTED) and hash_matches(masked)
    assert [row["label"] for row in masked.audits[0].findings[0].examples] == ["biased"] * len(PLANTED)


def test_text_without_personal_data_stays_as_it_is(detector):
    whole = record_of(*HEALTHY)
    masked = redacted(whole, "mask", detector=detector)
    assert texts_of(masked) == list(HEALTHY) and masked.redaction.values == 0


def card(beginning: str, length: int) -> str:
    body = (beginning + "0123456789" * 2)[: length - 1]
    return next(body + check for check in "0123456789" if luhn(body + check))


def test_what_another_detector_finds_is_found_too(detector):
    """Recall against a detector that shares no code with it, on made-up sentences."""
    pieces = [
        *(f"{name}@{host}" for name in ("a.b", "anna_bolt", "x+y") for host in ("example.org", "mail.example.co.uk")),
        *IBANS,
        *(card(beginning, 16) for beginning in ("4", "51", "55", "6011")), card("34", 15), card("37", 15),
        "+49 30 901820", "+44 20 7946 0958", "+33 1 40 20 50 50", "+1 212 555 2368", "+91 11 2301 2345",
    ]  # fmt: skip
    texts = [f"please use {piece} for this" for piece in pieces]
    other = [bool(list(find(text))) for text in texts]
    ours = [bool(detector.spans(text)) for text in texts]
    assert all(other)
    assert all(ours), [piece for piece, found in zip(pieces, ours, strict=True) if not found]


def test_it_misses_names_and_addresses_and_the_page_says_so(detector):
    masked = redacted(record_of("Anna Bolt lives at 12 Elm Street, and her mail is a.b@example.org"), "mask")
    assert "Anna Bolt lives at 12 Elm Street" in texts_of(masked)[0] and "[EMAIL]" in texts_of(masked)[0]
    page = report_html(masked)
    assert f"presidio-analyzer {detector.name.split()[1]}" in page and "A detector misses some: names" in page


def test_no_text_asks_the_network_or_takes_long(detector, monkeypatch):
    import socket
    import time

    def refuse(*arguments: object, **options: object) -> None:
        raise AssertionError("the detector asked the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    Presidio()
    began = time.process_time()
    for piece in ("a", "a.", "1", "1 ", "a@", "a@a.", "+1 ", "!"):
        detector.spans((piece * LONGEST_MASKED)[:LONGEST_MASKED])
    assert time.process_time() - began < 10


def test_a_text_too_long_to_be_read_is_cut_and_says_by_how_much():
    masked = redacted(record_of("w" * LONGEST_MASKED + " secret secret"), "mask", detector=Words())
    assert texts_of(masked)[0].endswith("[14 more characters]") and "secret" not in texts_of(masked)[0]


def test_spans_that_overlap_are_one():
    found = merged([Span(5, 9, "B"), Span(0, 6, "A"), Span(9, 12, "C"), Span(0, 3, "D")])
    assert found == [Span(0, 9, "A"), Span(9, 12, "C")]


def test_which_detector_it_was_is_in_the_record_and_numbers_stay():
    whole = sealed_record()
    masked = redacted(whole, "mask", detector=Words())
    assert masked.redaction.detector == Words.name and masked.redaction.of_content_sha256 == whole.content_sha256
    for before, after in zip(whole.audits, masked.audits, strict=True):
        assert before.metrics == after.metrics and before.figures == after.figures


def test_the_command_masks_and_says_what_to_install_where_it_cannot(tmp_path, monkeypatch, capsys):
    source, out = tmp_path / "audit.json", tmp_path / "out.html"
    source.write_text(record_of("a secret here").to_json(), encoding="utf-8")
    monkeypatch.setattr("reports.redaction.presidio", Words)
    assert run(["report", "--from", str(source), "--redact", "mask", "--out", str(out)]) == 0
    assert texts_of(read_record(out)) == ["a [WORD] here"]
    assert run(["report", "--from", str(source), "--redact", "blur"]) == 2
    monkeypatch.undo()
    personal_data.presidio.cache_clear()
    monkeypatch.setitem(sys.modules, "presidio_analyzer", None)
    with pytest.raises(LibraryMissing):
        Presidio()
    assert run(["report", "--from", str(source), "--redact", "mask", "--out", str(tmp_path / "none.html")]) == 2
    assert "aboveboard[redaction]" in capsys.readouterr().err and not (tmp_path / "none.html").exists()
