"""Promises about reading a record back."""

from __future__ import annotations

import json
import re

import pytest

from reports.document.build import report_html
from reports.errors import RecordDamaged, RecordEdited, RecordMissing, RecordTooNew, ReportError
from reports.reading import extract_record, hash_matches, read_record, require_hash
from tests.reports.factories import record, sealed_record
from tests.reports.hostile import hostile_record


def test_a_record_comes_back_as_it_was_written(tmp_path):
    path = tmp_path / "audit.json"
    path.write_text(sealed_record().to_json(), encoding="utf-8")
    assert read_record(path) == sealed_record()
    assert hash_matches(read_record(path))


def test_a_report_gives_its_record_back(tmp_path):
    path = tmp_path / "report.html"
    path.write_text(report_html(sealed_record()), encoding="utf-8")
    assert read_record(path) == sealed_record()


def test_a_report_of_hostile_text_gives_its_record_back():
    assert extract_record(report_html(hostile_record())) == hostile_record()


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    with pytest.raises(RecordMissing, match=r"audit\.json does not exist"):
        read_record(tmp_path / "audit.json")
    with pytest.raises(RecordMissing, match="is a folder"):
        read_record(tmp_path)


@pytest.mark.parametrize("keep", [0.01, 0.3, 0.7, 0.999])
def test_a_truncated_record_is_called_truncated_and_told_its_line(tmp_path, keep):
    path = tmp_path / "audit.json"
    whole = sealed_record().to_json()
    path.write_text(whole[: int(len(whole) * keep)], encoding="utf-8")
    with pytest.raises(RecordDamaged, match=r"audit\.json is truncated: it breaks off in line \d+") as caught:
        read_record(path)
    assert "Try: run `aboveboard audit` again" in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "is empty"), (b"\xff\xfe", "is not UTF-8"), (b"[1, 2]", "is not an audit record"), (b"hello", "is not JSON"),
     (b"<html></html>", "carries no audit record"), (b"<html>", "breaks off"), (b'{"a": NaN}', "NaN"),
     (b'{"schema_version": 3}', "not a version"), (b"[" * 100_000, "cannot be read|truncated")],
)  # fmt: skip
def test_foreign_files_are_refused_with_a_reason(tmp_path, content, message):
    path = tmp_path / "audit.json"
    path.write_bytes(content)
    with pytest.raises(RecordDamaged, match=message):
        read_record(path)


@pytest.mark.parametrize("version", ["1.1", "2.0", "10.0"])
def test_a_newer_record_says_which_version_reads_it(tmp_path, version):
    document = json.loads(sealed_record().to_json()) | {"schema_version": version, "something_new": 1}
    document["tool"]["version"] = "3.1.0"
    path = tmp_path / "audit.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(RecordTooNew, match=r"written by aboveboard 3\.1\.0") as caught:
        read_record(path)
    assert "pip install --upgrade 'aboveboard>=3.1.0'" in caught.value.mend


def test_a_newer_record_cannot_smuggle_a_command_into_the_mend(tmp_path):
    document = json.loads(sealed_record().to_json()) | {"schema_version": "9.0"}
    document["tool"]["version"] = "1'; rm -rf ~ '"
    path = tmp_path / "audit.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(RecordTooNew) as caught:
        read_record(path)
    assert "rm -rf" not in caught.value.mend


def test_a_broken_field_is_named(tmp_path):
    document = json.loads(sealed_record().to_json())
    document["audits"][0]["metrics"][0]["verdict"] = "splendid"
    path = tmp_path / "audit.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(RecordDamaged, match=re.escape("audits.0.metrics.0.verdict")):
        read_record(path)


def test_an_edited_record_is_read_but_does_not_match():
    edited = sealed_record().model_copy(update={"verdict": "pass"})
    assert not hash_matches(edited)
    with pytest.raises(RecordEdited, match="does not fit its own content hash"):
        require_hash(edited, where="audit.json")
    assert require_hash(sealed_record(), where="audit.json") == sealed_record()


def test_a_record_without_a_hash_is_not_vouched_for():
    assert not hash_matches(record())
    with pytest.raises(RecordEdited, match="carries no content hash"):
        require_hash(record(), where="audit.json")


def test_clock_and_place_are_outside_the_hash():
    whole = sealed_record()
    later = whole.model_copy(update={"run": whole.run.model_copy(update={"started": "2027-01-01T00:00:00Z"})})
    assert hash_matches(later)


def test_every_error_is_a_letter_with_exit_code_two():
    error = RecordMissing("x.json does not exist", mend="name another")
    assert isinstance(error, ReportError)
    assert error.exit_code == 2
    assert str(error) == "RecordMissing: x.json does not exist\n  Try: name another"


def test_keys_that_came_later_leave_the_hash_of_a_record_without_them_as_it_was():
    """A record of version 1.0 knew neither `generation` nor the columns of pairs and references."""
    plain = record()
    assert "generation" not in plain.content()
    assert not {"pair_column", "reference_column"} & set(plain.content()["data"])
    named = plain.model_copy(update={"data": plain.data.model_copy(update={"reference_column": "de"})})
    assert named.content()["data"]["reference_column"] == "de"
    assert named.sealed().content_sha256 != plain.sealed().content_sha256
