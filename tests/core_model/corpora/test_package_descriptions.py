"""Promises of the package descriptions: paragraphs as deb822 has them, paired where both sides have equally many."""

from __future__ import annotations

import pytest

from core_model.corpora import package_descriptions
from core_model.corpora.package_descriptions import read_synopses, read_texts, read_translations, write_synopses
from core_model.errors import DataDamaged, DataMissing
from tests.core_model.corpora.archives_world import ARCHIVE, package_lists


def test_translations_are_paired_by_description_paragraph_and_sentence(tmp_path):
    rows = read_translations(package_lists(tmp_path), pinned=False)
    assert [(row["en"], row["de"]) for row in rows] == [
        ("receiver of network notifications", "Empfänger für Benachrichtigungen im Netz"),
        (
            "This daemon receives and logs SNMP messages that agents of your network have sent.",
            "Dieser Daemon empfängt und protokolliert SNMP-Nachrichten, die Agenten Ihres Netzes gesandt haben.",
        ),
        ("It needs little memory.", "Er braucht wenig Speicher."),
        (
            "Two programs that do the same cannot run at once here.",
            "Zwei Programme, die dasselbe tun, können hier nicht zugleich laufen.",
        ),
    ]  # joe's paragraphs are one against two, its synopsis one word; tkmib's translation is a placeholder
    assert {(row["package"], row["section"]) for row in rows} == {("net-snmp", "net")}


def test_synopses_need_a_body_and_a_line(tmp_path, monkeypatch):
    monkeypatch.setattr(package_descriptions, "FEWEST_BODY_WORDS", 9)
    rows = read_synopses(package_lists(tmp_path), pinned=False)
    assert [row["synopsis"] for row in rows] == ["receiver of network notifications"]  # "editor" is one word
    assert rows[0]["description"].startswith("This daemon receives") and rows[0]["description"].endswith("once here.")
    assert "verbatim" not in rows[0]["description"]


def test_texts_are_paragraphs_of_english(tmp_path):
    rows = read_texts(package_lists(tmp_path), pinned=False)
    assert [(row["package"], row["text"].split()[0]) for row in rows] == [
        ("net-snmp", "This"), ("net-snmp", "Two"), ("joe", "A"), ("net-snmp", "Untranslated"),
    ]  # fmt: skip


def test_lists_of_another_release_are_refused(tmp_path):
    lists = package_lists(tmp_path)
    with pytest.raises(DataDamaged, match=r"give 4 translations-de, where Debian 12 gives 38,635"):
        read_translations(lists)
    with pytest.raises(DataDamaged, match="4 texts"):
        read_texts(lists)


def test_a_count_within_the_tolerance_passes(tmp_path, monkeypatch):
    monkeypatch.setattr(package_descriptions, "SEEN", {"texts": 4})
    assert len(read_texts(package_lists(tmp_path))) == 4
    monkeypatch.setattr(package_descriptions, "SEEN", {"texts": 5})
    with pytest.raises(DataDamaged):
        read_texts(tmp_path)


def test_lists_without_translations_are_refused(tmp_path):
    package_lists(tmp_path)
    (tmp_path / f"{ARCHIVE}_i18n_Translation-de").unlink()
    with pytest.raises(DataMissing, match="translations to 'de'"):
        read_translations(tmp_path)


def test_written_rows_say_whose_licence_they_have(tmp_path, monkeypatch):
    monkeypatch.setattr(package_descriptions, "FEWEST_BODY_WORDS", 9)
    paths = write_synopses(tmp_path / "out", read_synopses(package_lists(tmp_path), pinned=False))
    assert sum(len(path.read_text(encoding="utf-8").splitlines()) for path in paths) == 1
    assert "licence of its package" in (tmp_path / "out" / "train.about.toml").read_text(encoding="utf-8")
