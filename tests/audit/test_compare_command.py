"""`aboveboard compare` with many records: what it writes, what it says, and what it refuses without losing anything."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from audit.main import run
from reports.history import History
from tests.audit.histories import BASE_WRONG, accuracy, kept_run, wrong_by

MENDED = wrong_by(0.4, seed=3)


@pytest.fixture(scope="module")
def records(tmp_path_factory) -> list[str]:
    folder = tmp_path_factory.mktemp("runs")
    answers = {"base": (BASE_WRONG, 0.8), "again": (BASE_WRONG, 0.8), "mended": (MENDED, 0.6)}
    for day, (name, (wrong, limit)) in enumerate(answers.items(), start=1):
        kept_run(folder, name, wrong, day=day, metrics=[accuracy(wrong, limit=limit)])
    return [str(folder / name / "audit.json") for name in answers]


def test_three_records_give_a_page_and_a_document(records, tmp_path, capsys):
    assert run(["compare", *records, "--out", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "3 runs, by the date of their runs" in said
    assert "limit of accuracy moved from 0.8 to 0.6 (softer)" in said
    assert "better   evaluability.accuracy" in said and "paired" in said
    assert "after Holm 1979 over 1 changes" not in said  # first to last, and the last step
    page = (tmp_path / "history.html").read_text(encoding="utf-8")
    found = History.model_validate_json((tmp_path / "history.json").read_text(encoding="utf-8"))
    assert len(found.runs) == 3 and "mended" in page
    assert not (tmp_path / "comparison.html").exists()


def test_the_same_records_give_the_same_bytes_in_any_order(records, tmp_path, capsys):
    assert run(["compare", *records, "--out", str(tmp_path / "a")]) == 0
    assert run(["compare", *reversed(records), "--out", str(tmp_path / "b")]) == 0
    for file in ("history.html", "history.json"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_json_is_the_document(records, tmp_path, capsys):
    assert run(["compare", *records, "--out", str(tmp_path), "--json", "--order", "given"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads((tmp_path / "history.json").read_text(encoding="utf-8"))
    assert printed["order"] == "given"


def test_two_records_are_compared_and_one_is_refused(records, tmp_path, capsys):
    assert run(["compare", *records[:2], "--out", str(tmp_path)]) == 0
    assert (tmp_path / "comparison.html").exists() and not (tmp_path / "history.html").exists()
    assert run(["compare", records[0]]) == 2
    assert "nothing to be compared with" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda text: text[: len(text) // 2], "is truncated"),
        (lambda text: text.replace('"schema_version": "1.0"', '"schema_version": "9.1"', 1), "has schema 9.1"),
        (lambda text: "{}", "no schema_version"),
        (lambda text: text.replace('"task": "classification"', '"task": "translation"', 1), "mean different things"),
    ],
    ids=["truncated", "newer schema", "foreign", "another task"],
)
def test_a_bad_record_is_named_and_what_was_written_stays(records, tmp_path, capsys, spoil, words):
    out = tmp_path / "out"
    assert run(["compare", *records, "--out", str(out)]) == 0
    before = (out / "history.html").read_bytes()
    bad = tmp_path / "bad.json"
    bad.write_text(spoil(Path(records[1]).read_text(encoding="utf-8")), encoding="utf-8")
    capsys.readouterr()
    assert run(["compare", records[0], str(bad), records[2], "--out", str(out)]) == 2
    said = capsys.readouterr().err
    assert words in said and "bad.json" in said and "Try: " in said and "Traceback" not in said
    assert (out / "history.html").read_bytes() == before


def test_the_same_record_named_twice_is_refused(records, tmp_path, capsys):
    assert run(["compare", *records, records[0], "--out", str(tmp_path / "out")]) == 2
    assert "are the same record" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
