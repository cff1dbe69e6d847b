"""Promises of the data card: its numbers add up, it holds no text, and the same input gives the same bytes."""

from __future__ import annotations

import hashlib
import json
import random
import re
import tomllib
from collections import Counter

import numpy as np
import pytest

from core_model.data import open_table
from core_model.preprocessing import prepare
from core_model.preprocessing.card_text import inert
from tests.core_model.preprocessing.worlds import WORDS, families, parts, read, sentence, write

OPTIONS = {
    "task": "translation", "source_column": "en", "target_column": "de", "min_words": 4, "max_length_ratio": 3,
    "min_letters": 0.5, "source_language": "en", "min_language_probability": 0.001, "split_column": "page",
    "validation": 0.25, "test": 0.25,
}  # fmt: skip


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("card")
    chance = random.Random(1)
    texts = families(2, 90)
    rows = [
        {"id": i, "page": f"p{i % 30}", "en": text, "de": " ".join(sentence(chance, 30))}
        for i, text in enumerate(texts)
    ]
    for i in range(0, len(rows), 9):
        rows[i]["en"] = chance.choice(
            ["", "too short", "x <b>" + str(rows[i]["en"]), "1 2 3 4 5 6", str(rows[5]["en"])]
        )
        rows[i]["de"] = rows[5]["de"] if chance.random() < 0.3 else rows[i]["de"]
    file = write(folder, rows)
    (folder / "rows.about.toml").write_text('synthetic = true\nsource = "made \\"up\\" \\u007f"\nlicence = "CC0-1.0"\n')
    return folder, rows, prepare(file, folder / "out", **OPTIONS)


def test_rows_add_up_in_every_step_and_from_step_to_step(world):
    _, rows, prepared = world
    steps = prepared.card["steps"]
    assert len(steps) == 9
    coming = len(rows)
    assert prepared.card["input"]["rows"] == coming
    for step in steps:
        gone = sum(entry["rows"] for entry in step["dropped"])
        assert step["rows_in"] == coming
        assert step["rows_in"] == step["rows_out"] + gone
        assert all(min(entry["rows"], 5) == len(entry["examples"]) for entry in step["dropped"] + step["changed"])
        assert all(entry["rows"] <= step["rows_in"] for entry in step["changed"])
        coming = step["rows_out"]
    assert coming == sum(part["rows"] for part in prepared.card["parts"])
    assert sum(bool(step["dropped"]) for step in steps) >= 5  # the faults were planted
    assert all(0 < row <= len(rows) for step in steps for entry in step["dropped"] for row in entry["examples"])


def test_parts_are_the_files_that_stand_there(world):
    _, rows, prepared = world
    for part in prepared.card["parts"]:
        content = (prepared.folder / part["file"]).read_bytes()
        assert part["sha256"] == hashlib.sha256(content).hexdigest()
        assert part["bytes"] == len(content)
        assert part["rows"] == content.count(b"\n")
    kept = [row for found in parts(prepared).values() for row in found]
    assert all(row.keys() == rows[0].keys() for row in kept)
    assert all(row["de"] == rows[row["id"]]["de"] for row in kept)
    assert [row["id"] for row in parts(prepared)["train"]] == sorted(row["id"] for row in parts(prepared)["train"])


def test_lengths_and_languages_are_those_of_the_rows_left(world):
    _, _, prepared = world
    kept = [row for found in parts(prepared).values() for row in found]
    for side, column in (("source", "en"), ("target", "de")):
        words = sorted(len(row[column].split()) for row in kept)
        told = prepared.card["lengths"][side]["words"]
        assert told["0"] == words[0]
        assert told["1"] == words[-1]
        assert told["0.5"] == np.percentile(words, 50, method="inverted_cdf")
        counts = prepared.card["languages"]["rows"][side]
        assert sum(counts.values()) == prepared.card["languages"]["sample_rows"] == len(kept)
        from py3langid.langid import MODEL_FILE, LanguageIdentifier

        model = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
        assert counts == Counter(model.classify(row[column])[0] for row in kept)


def test_the_card_holds_no_text_no_path_and_no_time(world):
    folder, _, prepared = world
    for name in ("data_card.json", "data_card.md"):
        content = (prepared.folder / name).read_text("utf-8")
        assert not any(word in content for word in WORDS)
        assert str(folder) not in content
        assert not re.search(r"20\d\d-\d\d-\d\d|\d\d:\d\d:\d\d", content)
    assert json.loads((prepared.folder / "data_card.json").read_text("utf-8")) == prepared.card
    assert prepared.card["input"]["sha256"] == hashlib.sha256((folder / "rows.jsonl").read_bytes()).hexdigest()


def test_same_input_and_options_give_the_same_bytes(world):
    folder, _, prepared = world
    again = prepare(folder / "rows.jsonl", folder / "again", **OPTIONS)
    files = {file.name: file.read_bytes() for file in prepared.folder.iterdir()}
    assert {file.name: file.read_bytes() for file in again.folder.iterdir()} == files
    other = prepare(folder / "rows.jsonl", folder / "other", **OPTIONS, seed=7)
    assert other.card["parts"] != prepared.card["parts"]


def test_sidecars_carry_what_was_known_of_the_whole(world):
    _, _, prepared = world
    for part in prepared.files:
        about = tomllib.loads((prepared.folder / f"{part}.about.toml").read_text("utf-8"))
        assert about == {"synthetic": True, "source": 'made "up" \x7f', "licence": "CC0-1.0"}
    table = open_table(prepared.files["train"], text_column="en")
    assert table.synthetic
    assert table.licence == "CC0-1.0"


def test_parquet_holds_the_same_rows_as_jsonl(world):
    import pyarrow.parquet as pq

    folder, _, prepared = world
    columns = prepare(folder / "rows.jsonl", folder / "parquet", **OPTIONS, format="parquet")
    for part, file in prepared.files.items():
        assert pq.read_table(columns.files[part]).to_pylist() == read(file)
        assert (columns.folder / f"{part}.about.toml").exists()


@pytest.mark.parametrize(
    "hostile",
    ["a|b", "<script>x</script>", "[x](javascript:y)", "`x`", "# x", "a\nb", "\u202ex", "https://x.org", "@x"],
)
def test_names_from_the_data_are_inert_in_markdown(tmp_path, hostile):
    file = write(tmp_path, [{hostile: f"text number {i}"} for i in range(3)])
    prepared = prepare(file, tmp_path / "out", text_column=hostile, validation=0, test=0, near_duplicates="keep")
    card = (prepared.folder / "data_card.md").read_text("utf-8")
    [line] = [line for line in card.splitlines() if line.startswith("- columns")]
    assert inert(hostile) != hostile
    assert inert(hostile) in line

    from markdown_it import MarkdownIt

    page = MarkdownIt("commonmark", {"html": True, "linkify": False}).enable("table").render(card)
    tags = set(re.findall(r"<(\w+)", page))
    assert tags <= {"h1", "h2", "ul", "li", "p", "table", "thead", "tbody", "tr", "th", "td"}
    assert page.count("<h1>") == 1
