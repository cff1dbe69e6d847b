"""A redacted record keeps every number and no text of a row, and says so."""

from __future__ import annotations

import json

import pytest

from audit.main import run
from reports.document.build import report_html
from reports.reading import hash_matches
from reports.record import Record
from reports.redaction import redacted
from tests.reports.factories import sealed_record

KEY = b"0123456789abcdef"


@pytest.fixture(scope="module")
def record() -> Record:
    return sealed_record()


def texts_of(record: Record) -> list[str]:
    return [
        value
        for audit in record.audits
        for finding in audit.findings
        for row in finding.examples
        for value in row.values()
        if isinstance(value, str)
    ]


def test_no_text_of_a_row_is_left_in_the_record_or_the_page(record):
    texts = [text for text in texts_of(record) if text not in record.subject.labels and len(text) > 12]
    assert len(texts) > 5
    hidden = redacted(record, key=KEY)
    document, page = hidden.to_json(), report_html(hidden)
    assert not [text for text in texts if json.dumps(text)[1:-1] in document or text in page]
    assert "characters]" in page and "Redacted." in page


def test_numbers_labels_and_groups_stay(record):
    hidden = redacted(record, key=KEY)
    for before, after in zip(record.audits, hidden.audits, strict=True):
        assert before.metrics == after.metrics and before.figures == after.figures
        for one, other in zip(before.findings, after.findings, strict=True):
            assert one.statement == other.statement
            for row, redacted_row in zip(one.examples, other.examples, strict=True):
                for column, value in row.items():
                    if not isinstance(value, str) or value in record.subject.labels:
                        assert redacted_row[column] == value


def test_it_is_sealed_anew_and_names_the_record_that_it_was_made_of(record):
    hidden = redacted(record, key=KEY)
    assert hash_matches(hidden) and hidden.content_sha256 != record.content_sha256
    assert hidden.redaction.of_content_sha256 == record.content_sha256
    assert hidden.redaction.values == len([t for t in texts_of(hidden) if t.endswith("characters]")])


def test_equal_texts_stay_equal_and_another_redaction_cannot_be_laid_beside_it(record):
    assert redacted(record, key=KEY) == redacted(record, key=KEY)
    one, other = texts_of(redacted(record)), texts_of(redacted(record))
    differ = [a != b for a, b in zip(one, other, strict=True) if a.endswith("characters]")]
    assert differ and all(differ)


def test_a_record_without_the_key_keeps_the_hash_that_it_had(record):
    assert "redaction" not in record.content()


def test_the_command_redacts_and_a_page_that_is_not_redacted_says_so(record, tmp_path, capsys):
    source = tmp_path / "audit.json"
    source.write_text(record.to_json(), encoding="utf-8")
    assert run(["report", "--from", str(source), "--redact", "--out", str(tmp_path / "shared.html")]) == 0
    assert "Redacted." in (tmp_path / "shared.html").read_text(encoding="utf-8")
    assert run(["report", "--from", str(source), "--out", str(tmp_path / "own.html")]) == 0
    assert "Not redacted" in (tmp_path / "own.html").read_text(encoding="utf-8")
    assert run(["report", "--extract", str(tmp_path / "own.html"), "--redact"]) == 2
