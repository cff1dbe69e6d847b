"""Promises of the help corpus: pairs as a reader of both pages would make them, and pages that stay together."""

from __future__ import annotations

import json

import pytest

from core_model.corpora import libreoffice_help
from core_model.corpora.libreoffice_help import is_sound, read_help, sentence_pairs, write_help
from core_model.corpora.writing import split
from core_model.data import open_table
from core_model.errors import DataDamaged, DataMissing
from core_model.tasks import Task
from tests.core_model.corpora.archives_world import ENGLISH, GERMAN, PAIRS, help_debs


def rows_of(pairs) -> list[tuple[str, str, str]]:
    return [(row["en"], row["de"], row["page"]) for row in pairs.rows]


def test_pairs_are_those_that_a_reader_makes(tmp_path):
    pairs = read_help(help_debs(tmp_path), pinned=False)
    assert rows_of(pairs) == PAIRS  # the second page's first sentence belongs to the first page
    assert [row["module"] for row in pairs.rows] == ["scalc"] * 4 + ["swriter"]
    assert [(row["en"], row["de"], row["page"]) for row in pairs.terms] == [("Sum", "Summe", "scalc/01/sum.html")]


def test_unpacked_folders_give_the_same_rows_as_packages(tmp_path):
    packages = read_help(help_debs(tmp_path), pinned=False)
    for language, pages in (("en-US", ENGLISH), ("de", GERMAN)):
        for page, text in pages.items():
            file = tmp_path / "unpacked" / "help" / language / page
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
    assert read_help([tmp_path / "unpacked"], pinned=False) == packages


def test_another_text_than_the_measured_one_is_refused(tmp_path, monkeypatch):
    debs = help_debs(tmp_path)
    known = read_help(debs, pinned=False)
    with pytest.raises(DataDamaged, match=f"sha256 {known.sha256}, expected {libreoffice_help.PINNED_SHA256}"):
        read_help(debs)
    monkeypatch.setattr(libreoffice_help, "PINNED_SHA256", known.sha256)
    assert read_help(debs) == known and known.is_pinned


def test_a_language_that_is_missing_is_named(tmp_path):
    english, _ = help_debs(tmp_path)
    with pytest.raises(DataMissing, match="no help pages of libreoffice-help-de in"):
        read_help([english])
    with pytest.raises(DataMissing, match=r"no file or folder .*nowhere"):
        read_help([tmp_path / "nowhere"])


@pytest.mark.parametrize(
    ("english", "german", "sound"),
    [
        ("Open the file now.", "Öffnen Sie die Datei.", True),
        ("Open the file.", "Öffnen Sie die Datei.", False),  # three words
        ("Open the file %1 now.", "Öffnen Sie %1 jetzt.", False),
        ("Writer and Calc and Math", "Writer and Calc and Math", False),
        ("Open the file now, please.", "Ja.", False),  # lengths
        (" ".join(["word"] * 61), " ".join(["Wort"] * 61), False),
    ],
)
def test_only_sound_sentences_are_pairs(english, german, sound):
    assert is_sound(english, german) is sound


def test_the_first_paragraph_of_an_id_counts():
    english = '<p id="par_id1">This is the first one.</p><p id="par_id1">This is the second one.</p>'
    german = '<p id="par_id1">Dies ist der erste Absatz.</p>'
    assert list(sentence_pairs(english, german)) == [("This is the first one.", "Dies ist der erste Absatz.")]


def test_pages_stay_together_and_repeated_sentences_leave_the_held_out_parts():
    rows = [{"page": f"page {i}", "en": f"Sentence number {i} of page {i} says this.", "de": "x"} for i in range(400)]
    rows += [
        {"page": f"page {i}", "en": "The same sentence stands on every single page.", "de": "x"} for i in range(400)
    ]
    parts = split(rows, unit="page", text="en", validation=0.1, test=0.2)
    pages = {name: {row["page"] for row in part} for name, part in parts.items()}
    assert not pages["train"] & pages["test"] and not pages["train"] & pages["validation"]
    assert 0.7 * 0.8 < len(pages["train"]) / 400 < 0.7 * 1.2
    for held_out in ("test", "validation"):
        assert parts[held_out] and all("number" in row["en"] for row in parts[held_out])
    assert split(rows[::-1], unit="page", text="en", validation=0.1, test=0.2)["test"] == parts["test"][::-1]


def test_written_rows_open_as_translations_with_their_licence(tmp_path):
    paths = write_help(tmp_path / "out", read_help(help_debs(tmp_path), pinned=False))
    assert [path.name for path in paths] == ["train.jsonl", "validation.jsonl", "test.jsonl", "terms.jsonl"]
    written = [json.loads(line) for path in paths for line in path.read_text(encoding="utf-8").splitlines()]
    assert {(row["en"], row["de"], row["page"]) for row in written} <= {*PAIRS, ("Sum", "Summe", "scalc/01/sum.html")}
    filled = next(path for path in paths if path.stat().st_size)
    table = open_table(filled, text_column="en", reference_column="de", task=Task.TRANSLATION)
    assert table.licence == "mpl-2.0" and "LibreOffice" in table.source and not table.synthetic
