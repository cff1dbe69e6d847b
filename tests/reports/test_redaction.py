"""A redacted record keeps every number and no text of a row, and says so."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from audit.main import run
from reports.document.build import report_html
from reports.formats import FORMATS, render
from reports.reading import hash_matches
from reports.record import Record
from reports.redaction import redacted
from tests.reports.factories import sealed_record
from tests.reports.pages import Page

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


MARKER = "zqx a sentence that stands in one row only zqx"
MACHINE = [name for name in FORMATS if name not in ("html", "pdf")]  # of a PDF its page is looked at


def marked(**changes) -> Record:
    """A record whose first finding shows a row with the marker in each of its texts, and a policy's people besides."""
    rows = [{"row": 1, "text": MARKER, "pair": f"{MARKER} again", "text_after": MARKER.upper(), "label": "biased"}]
    audits = [
        audit.model_copy(
            update={"findings": [f.model_copy(update={"examples": rows, "examples_worst": 1}) for f in audit.findings]}
        )
        for audit in sealed_record().audits
    ]
    return sealed_record().model_copy(update={"audits": audits} | changes).sealed()


@pytest.mark.parametrize("name", MACHINE)
def test_no_machine_format_carries_a_text_of_a_row_redacted_or_not(name):
    for record in (marked(), redacted(marked(), key=KEY)):
        assert b"zqx" not in render(record, name).lower()


def test_the_page_carries_it_and_the_redacted_page_does_not():
    assert "zqx" in report_html(marked())  # a control: it would be seen
    assert "zqx" not in report_html(redacted(marked(), key=KEY)).lower()
    assert "zqx" not in redacted(marked(), key=KEY).to_json().lower()


@pytest.mark.parametrize("framework", ["eu-ai-act", "nyc-ll144", "gdpr-35"])
def test_a_dossier_carries_it_and_a_redacted_one_does_not(framework, tmp_path, capsys):
    source = tmp_path / "audit.json"
    source.write_text(marked().to_json(), encoding="utf-8")
    own, shared = tmp_path / "own.html", tmp_path / "shared.html"
    of = ["report", "--from", str(source), "--framework", framework]
    assert run([*of, "--out", str(own)]) == 0 and run([*of, "--redact", "--out", str(shared)]) == 0
    assert "zqx" in own.read_text(encoding="utf-8")
    assert "zqx" not in shared.read_text(encoding="utf-8").lower()
    assert "Redacted." in Page(shared.read_text(encoding="utf-8")).text


def test_comparisons_and_histories_carry_no_text_of_a_row(tmp_path, capsys):
    started = [marked().run.model_copy(update={"started": f"2026-11-0{day}T10:00:00+00:00"}) for day in (1, 2, 3)]
    places = []
    for number, run_facts in enumerate(started):
        places.append(str(tmp_path / f"{number}.json"))
        Path(places[-1]).write_text(marked(run=run_facts).to_json(), encoding="utf-8")
    assert run(["compare", *places[:2], "--out", str(tmp_path / "out")]) == 0
    assert run(["compare", *places, "--out", str(tmp_path / "out")]) == 0
    written = sorted((tmp_path / "out").iterdir())
    assert [path.name for path in written] == ["comparison.html", "comparison.json", "history.html", "history.json"]
    assert not [path.name for path in written if "zqx" in path.read_text(encoding="utf-8").lower()]


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
