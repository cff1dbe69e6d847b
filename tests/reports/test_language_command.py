"""Promises of --lang and --lang-file: pages speak, machines read English, a bad catalogue is a letter."""

from __future__ import annotations

from pathlib import Path

import pytest

from audit.main import run
from audit.session import Session
from reports.catalogue import language
from tests.reports.factories import record

HEADER = 'msgid ""\nmsgstr ""\n"Language: fr\\n"\n\n'


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "audit.json"
    path.write_text(record(audits=[]).sealed().to_json(), encoding="utf-8")
    return path


def test_a_report_in_german_gives_the_record_back_as_it_was(source, tmp_path):
    page, back = tmp_path / "bericht.html", tmp_path / "back.json"
    before = source.read_bytes()
    assert run(["report", "--from", str(source), "--lang", "de", "--out", str(page)]) == 0
    assert '<html lang="de">' in page.read_text(encoding="utf-8")
    assert run(["report", "--extract", str(page), "--out", str(back)]) == 0
    assert back.read_bytes() == source.read_bytes() == before


def test_what_machines_read_is_english(source, tmp_path, capsys):
    assert run(["report", "--from", str(source), "--format", "sarif", "--lang", "de"]) == 2
    assert "--lang with html or pdf" in capsys.readouterr().err


def test_an_unknown_language_is_refused_before_anything_is_opened(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(["audit", "no-such-checkpoint", "--data", "no-such-file.csv", "--lang", "tlh"]) == 2
    assert "LanguageUnknown" in capsys.readouterr().err


def test_a_catalogue_of_ones_own_is_used_and_what_it_lacks_is_said(source, tmp_path, capsys):
    (tmp_path / "my.po").write_text(f'{HEADER}msgid "Findings"\nmsgstr "Constats"\n', encoding="utf-8")
    page = tmp_path / "rapport.html"
    assert run(["report", "--from", str(source), "--lang-file", str(tmp_path / "my.po"), "--out", str(page)]) == 0
    assert "Constats" in page.read_text(encoding="utf-8")
    assert "my.po and stay English" in capsys.readouterr().err


def test_a_wrong_placeholder_is_refused_with_file_and_line_and_nothing_is_written(source, tmp_path, capsys):
    (tmp_path / "my.po").write_text(f'{HEADER}msgid "limit %(limit)s"\nmsgstr "limite %(limite)s"\n', encoding="utf-8")
    page = tmp_path / "rapport.html"
    assert run(["report", "--from", str(source), "--lang-file", str(tmp_path / "my.po"), "--out", str(page)]) == 2
    said = capsys.readouterr().err
    assert "my.po, line 5" in said and "use these placeholders as they are: %(limit)s" in said
    assert not page.exists()


def test_an_audit_writes_its_report_in_the_language_of_its_session(tmp_path):
    session = Session(None, None, {}, None, tmp_path, language=language("zh"))  # only the folder and the language count
    session._report(record(audits=[]).sealed())
    assert '<html lang="zh-CN">' in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_a_comparison_speaks_too(source, tmp_path):
    out = tmp_path / "difference"
    assert run(["compare", str(source), str(source), "--out", str(out), "--lang", "de"]) == 0
    assert "0 Kennzahlen verglichen" in (out / "comparison.html").read_text(encoding="utf-8")
