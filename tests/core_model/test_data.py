"""Promises of `open_table` about sound data: what is read, guessed, hashed and kept out of memory."""

from __future__ import annotations

import gzip
import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from core_model.data import Table, open_table
from core_model.errors import DataDamaged, LabelsUnfit
from tests.factories import write_rows

ROWS = [
    {"text": "a good film", "label": "positive", "gender": "female", "age": 30},
    {"text": "a bad, awful film", "label": "negative", "gender": "male", "age": 41},
    {"text": 'she said "no"\nand left', "label": "positive", "gender": None, "age": None},
]
LABELS = ("negative", "positive")


def as_csv(path: Path, delimiter: str = ",") -> Path:
    import csv

    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ROWS[0], delimiter=delimiter)
        writer.writeheader()
        writer.writerows(ROWS)
    return path


def as_parquet(path: Path) -> Path:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.Table.from_pylist(ROWS), path)
    return path


def as_gzip(path: Path, plain: Path) -> Path:
    path.write_bytes(gzip.compress(plain.read_bytes()))
    return path


def as_json(path: Path) -> Path:
    path.write_text(json.dumps(ROWS, indent=1), encoding="utf-8")
    return path


WRITERS = {
    "rows.csv": as_csv,
    "rows.tsv": lambda path: as_csv(path, "\t"),
    "semicolons.csv": lambda path: as_csv(path, ";"),
    "rows.jsonl": lambda path: write_rows(path, ROWS),
    "rows.json": as_json,
    "lines.json": lambda path: write_rows(path, ROWS),
    "rows.parquet": as_parquet,
    "rows.csv.gz": lambda path: as_gzip(path, as_csv(path.with_name("plain.csv"))),
    "rows.jsonl.gz": lambda path: as_gzip(path, write_rows(path.with_name("plain.jsonl"), ROWS)),
}


@pytest.mark.parametrize("name", WRITERS)
def test_every_format_gives_the_same_rows(tmp_path, name):
    path = WRITERS[name](tmp_path / name)
    table = open_table(str(path), group_columns=("gender", "age"), label_names=LABELS)
    assert list(table.texts) == [row["text"] for row in ROWS]
    assert table.targets.tolist() == [1, 0, 1]
    assert table.groups["gender"].tolist() == ["female", "male", "(missing)"]
    assert table.groups["age"].tolist() == ["30", "41", "(missing)"]
    assert table.name == name and table.rows == len(table) == 3


def test_the_hash_of_a_file_is_what_sha256sum_prints(tmp_path):
    path = as_csv(tmp_path / "rows.csv")
    assert open_table(path).sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_guesses_are_reported_and_named_columns_are_not(tmp_path):
    path = write_rows(tmp_path / "r.jsonl", [{"comment": "yes", "target": 1}, {"comment": "no", "target": 0}])
    assert open_table(path).guessed == {"text_column": "comment", "label_column": "target"}
    assert open_table(path, text_column="comment", label_column="target").guessed == {}


def test_sentence_pairs_are_found_by_their_usual_names(tmp_path):
    rows = [{"premise": "it rains", "hypothesis": "it is wet", "label": 0}] * 2
    table = open_table(write_rows(tmp_path / "nli.jsonl", rows))
    assert list(table.pairs) == ["it is wet"] * 2
    assert table.guessed["pair_column"] == "hypothesis"


def test_groups_are_never_guessed(tmp_path):
    assert open_table(as_csv(tmp_path / "rows.csv")).groups == {}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["negative", "positive"], [0, 1]),
        (["Negative", "POSITIVE"], [0, 1]),
        ([0, 1], [0, 1]),
        (["0", "1"], [0, 1]),
        ([0.0, 1.0], [0, 1]),
        (["LABEL_0", "LABEL_1"], [0, 1]),
        ([False, True], [0, 1]),
        (["1", "1"], [1, 1]),
    ],
)
def test_labels_may_be_names_or_indices_or_booleans(tmp_path, values, expected):
    rows = [{"text": f"row {i}", "label": value} for i, value in enumerate(values)]
    assert open_table(write_rows(tmp_path / "r.jsonl", rows), label_names=LABELS).targets.tolist() == expected


def test_names_that_are_numbers_are_names_before_they_are_indices(tmp_path):
    path = write_rows(tmp_path / "stars.jsonl", [{"text": f"row {i}", "label": i} for i in (1, 2, 3)])
    assert open_table(path, label_names=("1", "2", "3")).targets.tolist() == [0, 1, 2]


def test_without_a_model_the_values_are_the_classes_and_numbers_go_by_size(tmp_path):
    path = write_rows(tmp_path / "r.jsonl", [{"text": f"row {i}", "label": i} for i in (10, 9, 2)])
    table = open_table(path)
    assert table.label_names == ("2", "9", "10")
    assert table.targets.tolist() == [2, 1, 0]
    assert open_table(path, label_names=()).label_names == ("2", "9", "10")


def test_a_row_keeps_its_name_wherever_it_stands(tmp_path):
    rows = [{"text": text} for text in ("one", "two", "one", "three")]
    table = open_table(write_rows(tmp_path / "r.jsonl", rows))
    assert table.row_ids[0] == hashlib.sha256(b"one").hexdigest()[:16]
    assert table.row_ids[2] == table.row_ids[0] + "-2"
    assert len(set(table.row_ids)) == 4
    shuffled = open_table(write_rows(tmp_path / "s.jsonl", rows[::-1]))
    assert sorted(shuffled.row_ids) == sorted(table.row_ids)
    assert list(table.select([2, 3]).row_ids) == [table.row_ids[2], table.row_ids[3]]


def test_a_selection_agrees_with_the_whole_in_every_column(tmp_path):
    table = open_table(as_csv(tmp_path / "rows.csv"), group_columns=("gender",), label_names=LABELS)
    some = table.select(np.array([True, False, True])).select([1])
    assert list(some.texts) == [ROWS[2]["text"]] and some.texts[-1] == ROWS[2]["text"]
    assert some.targets.tolist() == [1] and some.groups["gender"].tolist() == ["(missing)"]
    assert some.sha256 != table.sha256


def test_texts_behave_as_a_sequence_across_batches(tmp_path):
    rows = [{"text": f"row {i}"} for i in range(10_000)]
    table = open_table(write_rows(tmp_path / "r.jsonl", rows))
    assert table.texts[4_095:4_098] == ["row 4095", "row 4096", "row 4097"]
    assert table.texts[-1] == "row 9999" and len(table.texts) == 10_000
    assert table.select(range(9_999, -1, -1)).texts[::5_000] == ["row 9999", "row 4999"]
    with pytest.raises(IndexError):
        table.texts[10_000]


def test_a_sidecar_says_what_rows_cannot(tmp_path):
    path = as_csv(tmp_path / "rows.csv")
    path.with_name("rows.about.toml").write_text('synthetic = true\nsensitive = "rude"\nlicence = "cc0-1.0"\n')
    table = open_table(path)
    assert (table.synthetic, table.sensitive, table.licence, table.source) == (True, "rude", "cc0-1.0", None)
    path.with_name("rows.about.toml").write_text("synthetc = true\n")
    with pytest.raises(DataDamaged, match=r"rows\.about\.toml: synthetc.*\n.*synthetic, sensitive, source, licence"):
        open_table(path)


def test_a_changed_file_of_the_same_name_size_and_time_gives_its_new_rows(tmp_path):
    import os

    path = write_rows(tmp_path / "r.jsonl", [{"text": "old one"}, {"text": "old two"}])
    before, times = open_table(path), path.stat()
    write_rows(path, [{"text": "new one"}, {"text": "new two"}])
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    after = open_table(path)
    assert list(after.texts) == ["new one", "new two"] and after.sha256 != before.sha256
    assert list(before.texts) == ["old one", "old two"]


def test_hostile_text_is_kept_as_it_is(tmp_path):
    texts = [
        "<script>alert(1)</script>",
        "a\x00b",
        "\u202eabc\u202c",
        "x" * 100_000,
        '"=cmd|"',
        "\x07 bell",
        "a\u2028b",
    ]
    path = tmp_path / "r.csv"
    path.write_text("text\n" + "".join('"' + t.replace('"', '""') + '"\n' for t in texts), encoding="utf-8", newline="")
    assert list(open_table(path).texts) == texts
    assert list(open_table(write_rows(tmp_path / "r.jsonl", [{"text": t} for t in texts])).texts) == texts


def test_a_long_field_leaves_the_csv_module_as_it_was(tmp_path):
    import csv

    before = csv.field_size_limit()
    path = tmp_path / "r.csv"
    path.write_text(f"text\n{'x' * 300_000}\nshort\n")
    assert len(open_table(path).texts[0]) == 300_000
    assert csv.field_size_limit() == before


def test_another_encoding_is_read_when_it_is_named(tmp_path):
    path = tmp_path / "r.csv"
    for encoding in ("latin-1", "utf-16", "utf-8-sig"):
        path.write_text("text\ncafé\nthé\n", encoding=encoding)
        assert list(open_table(path, encoding=None if "8" in encoding else encoding).texts) == ["café", "thé"]


def test_shards_are_one_table(tmp_path):
    for i in range(3):
        write_rows(tmp_path / f"train-{i:05}-of-00003.jsonl", [{"text": f"row {i} {j}", "label": j} for j in range(2)])
    table = open_table(tmp_path)
    assert list(table.texts) == [f"row {i} {j}" for i in range(3) for j in range(2)]
    whole = write_rows(tmp_path / "other.jsonl", [{"text": t, "label": i % 2} for i, t in enumerate(table.texts)])
    assert table.sha256 == open_table(whole).select(range(6)).sha256  # over canonical rows, wherever they came from


def test_rows_in_memory_have_the_hash_of_their_canonical_lines():
    table = Table.from_rows(name="t", texts=["é"], targets=[0], label_names=["no"], groups={"g": ["x"]}, synthetic=True)
    line = '{"groups":{"g":"x"},"label":"no","text":"é"}\n'
    assert table.sha256 == hashlib.sha256(line.encode()).hexdigest()


def test_rows_in_memory_are_checked():
    with pytest.raises(DataDamaged, match="'targets' has 1 values for 2 texts"):
        Table.from_rows(name="t", texts=["a", "b"], targets=[0])
    with pytest.raises(DataDamaged, match="first: row 2"):
        Table.from_rows(name="t", texts=["a", " "])
    with pytest.raises(LabelsUnfit, match="row 2 has target 2; there are 2 classes"):
        Table.from_rows(name="t", texts=["a", "b"], targets=[0, 2], label_names=LABELS)


def test_a_table_cannot_be_changed():
    table = Table.from_rows(name="t", texts=["a", "b"], targets=[0, 1], groups={"g": ["x", "y"]})
    for array in (table.targets, table.groups["g"], table.select([1]).targets):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1


def test_a_table_does_not_show_its_texts_in_a_traceback():
    assert "secret" not in repr(Table.from_rows(name="t", texts=["secret one", "secret two"]))


def test_opening_a_small_file_imports_neither_datasets_nor_torch(tmp_path):
    path = as_csv(tmp_path / "rows.csv")
    code = f"import sys; from core_model.data import open_table; open_table({str(path)!r}); " + (
        "print([m for m in ('datasets', 'torch', 'transformers') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True).stdout == "[]\n"


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc")
def test_a_file_larger_than_its_share_of_memory_streams(tmp_path):
    path = tmp_path / "large.csv"
    line = "w" * 2_000  # few long rows: the promise is about bytes, and the test stays quick
    with path.open("w") as file:
        file.write("text,label\n")
        file.writelines(f"{i} {line},{i % 2}\n" for i in range(75_000))  # 150 MB
    code = f"""
import re
from core_model.data import open_table
def anonymous():  # memory that is our own; mapped pages of a file can be given back at any time
    return int(re.search(r"RssAnon:\\s+(\\d+)", open("/proc/self/status").read())[1]) // 1024
import pyarrow
before = anonymous()
peak = 0
table = open_table({str(path)!r}, spill_characters=8_000_000)
peak = max(peak, anonymous())
length = 0
for i, text in enumerate(table.texts):
    length += len(text)
    if i % 5_000 == 0:
        peak = max(peak, anonymous())
print(table.rows, length, peak - before)
"""
    environment = {"ABOVEBOARD_CACHE_DIR": str(tmp_path / "cache"), "PATH": "/usr/bin:/bin"}
    run = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True, env=environment)
    assert run.returncode == 0, run.stderr
    rows, length, megabytes = map(int, run.stdout.split())
    assert rows == 75_000 and length > 150_000_000
    assert megabytes < 80, f"{megabytes} MB of memory for a file of 150 MB"
    assert list((tmp_path / "cache" / "datasets").iterdir()) == []  # no copy of the texts is left lying about


def test_spilled_texts_are_the_same_texts(tmp_path, monkeypatch):
    monkeypatch.setenv("ABOVEBOARD_CACHE_DIR", str(tmp_path / "cache"))
    path = write_rows(tmp_path / "r.jsonl", [{"text": f"row {i}", "label": i % 2} for i in range(9_000)])
    held, spilled = open_table(path), open_table(path, spill_characters=1_000)
    assert list(held.texts) == list(spilled.texts)
    assert held.select([8_999, 1]).texts[:] == spilled.select([8_999, 1]).texts[:]


def test_an_unwritable_cache_is_no_reason_to_fail(tmp_path, monkeypatch):
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("ABOVEBOARD_CACHE_DIR", str(blocked))
    path = write_rows(tmp_path / "r.jsonl", [{"text": f"row {i}"} for i in range(9_000)])
    assert open_table(path, spill_characters=1_000).rows == 9_000
