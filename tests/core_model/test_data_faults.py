"""Promises of `open_table` about data that is broken: one letter, naming the file, the place and the mend."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys

import pytest

from core_model.data import Table, open_table
from core_model.errors import BadInput, ColumnMissing, DataDamaged, DataMissing, LabelsUnfit, OptionUnfit
from tests.factories import write_rows

LABELS = ("negative", "positive")
SOUND = "text,label\na good film,1\na bad film,0\n"


def letter(kind, path, **options) -> str:
    with pytest.raises(kind) as caught:
        open_table(path, **options)
    assert type(caught.value) is kind and isinstance(caught.value, BadInput) and caught.value.exit_code == 2
    assert caught.value.__suppress_context__ or caught.value.__context__ is None  # no library's traceback
    text = str(caught.value)
    assert "\n  Try: " in text
    return text


def file(tmp_path, content: bytes | str, name: str = "reviews.csv"):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_sound_twin_opens(tmp_path):
    assert open_table(file(tmp_path, SOUND), label_names=LABELS).rows == 2


def test_missing_file_is_named_with_its_nearest_neighbour(tmp_path):
    file(tmp_path, SOUND)
    text = letter(DataMissing, tmp_path / "review.csv")
    assert "review.csv is not there" in text and f"Try: {tmp_path / 'reviews.csv'}" in text
    assert "there is no folder" in letter(DataMissing, tmp_path / "nowhere" / "a.csv")


@pytest.mark.parametrize("name", ["empty.csv", "empty.jsonl", "empty.parquet", "empty.json"])
def test_empty_file_is_named(tmp_path, name):
    assert f"{name} is empty (0 bytes)" in letter(DataMissing, file(tmp_path, b"", name))


def test_header_without_rows_is_no_data(tmp_path):
    assert "reviews.csv has no row" in letter(DataMissing, file(tmp_path, "text,label\n"))
    assert "has no row" in letter(DataMissing, file(tmp_path, "\n\n", "blank.jsonl"))
    assert "has no row" in letter(DataMissing, file(tmp_path, "[]", "none.json"))
    assert "has no header" in letter(DataMissing, file(tmp_path, "\n\n\n", "blank.csv"))


def test_single_row_has_no_interval(tmp_path):
    assert "reviews.csv has 1 row; intervals need at least 2" in letter(
        DataMissing, file(tmp_path, "text,label\nx,1\n")
    )


def test_missing_column_is_answered_with_those_there_are_and_the_nearest(tmp_path):
    path = file(tmp_path, "text,label,sex,age\na,1,f,3\nb,0,m,4\n")
    text = letter(ColumnMissing, path, group_columns=["Sex "])
    assert "no column 'Sex '" in text and "--group-column sex" in text and "'text', 'label', 'sex', 'age'" in text
    assert "--label-column label" in letter(ColumnMissing, path, label_column="lable")
    assert "--text-column text" in letter(ColumnMissing, path, text_column="Text")


def test_unguessable_columns_are_asked_for(tmp_path):
    path = file(tmp_path, "aa,bb,cc\nx,y,z\nx,y,z\n")
    assert "no column with a usual name for text" in letter(ColumnMissing, path)
    assert "--label-column COLUMN" in letter(ColumnMissing, path, text_column="aa", labels_required=True)


def test_one_column_cannot_be_two_things(tmp_path):
    assert "'text'" in letter(OptionUnfit, file(tmp_path, SOUND), text_column="text", label_column="text")


def test_labels_outside_the_models_set_are_listed_with_their_rows(tmp_path):
    path = file(tmp_path, "text,label\na,positive\nb,neutral\nc,negative\nd,mixed\n")
    text = letter(LabelsUnfit, path, label_names=LABELS)
    assert "'neutral' (row 2); 'mixed' (row 4)" in text and "'negative', 'positive'" in text and "'label'" in text
    assert "'2' (row 3)" in letter(LabelsUnfit, file(tmp_path, "text,label\na,0\nb,1\nc,2\n"), label_names=LABELS)


def test_missing_labels_are_named_by_row(tmp_path):
    assert "no label in rows 2, 3" in letter(LabelsUnfit, file(tmp_path, "text,label\na,1\nb,\nc, \n"))


def test_a_column_of_scores_is_no_set_of_classes(tmp_path):
    path = file(tmp_path, "text,label\n" + "".join(f"row,{i / 7}\n" for i in range(1_500)))
    assert "1,500 different values" in letter(LabelsUnfit, path)


def test_one_class_is_refused_only_where_two_are_needed(tmp_path):
    table = open_table(file(tmp_path, "text,label\na,1\nb,1\n"), label_names=LABELS)
    with pytest.raises(LabelsUnfit, match=r"reviews\.csv: all 2 rows are of one class, 'positive' \(column 'label'\)"):
        table.require_two_classes()
    open_table(file(tmp_path, SOUND), label_names=LABELS).require_two_classes()
    with pytest.raises(LabelsUnfit, match="has no labels"):
        Table.from_rows(name="t", texts=["a", "b"]).require_two_classes()


@pytest.mark.parametrize(
    ("value", "what"),
    [
        (None, "no text (null or NaN)"),
        (float("nan"), "no text (null or NaN)"),
        (" \t\n", "a blank text"),
        (3, "a int where a text was expected"),
        (["x"], "a list where a text was expected"),
        ({"x": 1}, "a dict where a text was expected"),
        ("\ud800", "half of a surrogate pair"),
    ],
)
def test_what_is_no_text_is_refused_with_its_rows(tmp_path, value, what):
    rows = [{"text": text, "label": 1} for text in ("fine", value, "fine", value)]
    path = tmp_path / "r.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    text = letter(DataDamaged, path)
    assert f"column 'text' holds {what}" in text and "in rows 2, 4 (of 4, counted from 1" in text


def test_nan_and_nothing_in_a_csv_are_no_text(tmp_path):
    assert "(null or NaN) in rows 1, 2" in letter(DataDamaged, file(tmp_path, "text,label\nNaN,1\n,0\nfine,1\n"))
    assert open_table(file(tmp_path, "text,label\nnone,1\nnull,0\n")).rows == 2  # words that people write


def test_null_in_parquet_is_no_text(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"text": ["a", None, "c"]}), tmp_path / "r.parquet")
    assert "in row 2 (of 3" in letter(DataDamaged, tmp_path / "r.parquet")


def test_a_file_that_is_not_utf8_is_named_by_byte_and_line(tmp_path):
    content = "text,label\nfine,1\ncafé,0\n".encode("latin-1")
    text = letter(DataDamaged, file(tmp_path, content))
    assert f"0xe9 at byte {content.index(0xE9)}, line 3" in text and "--encoding latin-1" in text and "iconv" in text
    assert open_table(file(tmp_path, content), encoding="latin-1").texts[1] == "café"
    assert "--encoding utf-16" in letter(DataDamaged, file(tmp_path, "text\na\nb\n".encode("utf-16")))
    assert "no such encoding" in letter(OptionUnfit, file(tmp_path, SOUND), encoding="utf-99")


def test_ragged_lines_are_named(tmp_path):
    path = file(tmp_path, 'text,label\n"two\nlines",1\nb\nc,1\n')
    assert "line 4: 1 fields where the header has 2" in letter(DataDamaged, path)
    assert "line 2: 3 fields" in letter(DataDamaged, file(tmp_path, "text,label\nyes, but,1\nb,0\n"))


def test_an_open_quote_is_named_by_where_it_opens(tmp_path):
    path = file(tmp_path, 'text,label\nfine,1\n"never closed,1\nb,0\n')
    assert "record beginning at line 3" in letter(DataDamaged, path)


def test_two_columns_of_one_name_are_refused(tmp_path):
    assert "two columns are called 'text'" in letter(DataDamaged, file(tmp_path, "text,text\na,b\nc,d\n"))


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ('{"text": ', "no JSON"),
        ('{"text": "a"} {"text": "b"}', "no JSON"),
        ("[1, 2]", "list where an object was expected"),
        ("[" * 100_000, "no JSON"),
        ('{"text": ' + "9" * 5_000 + "}", "no JSON"),
    ],
)
def test_a_malformed_json_line_is_named(tmp_path, line, what):
    text = letter(DataDamaged, file(tmp_path, f'{{"text": "a"}}\n\n{line}\n', "r.jsonl"))
    assert "r.jsonl, line 3" in text and what in text


@pytest.mark.parametrize("content", ["[1, 2]", '{"a": 1}', "[{]", '"text"'])
def test_json_that_is_no_list_of_objects_is_refused(tmp_path, content):
    assert "r.json" in letter(DataDamaged, file(tmp_path, content, "r.json"))


def test_damaged_parquet_and_gzip_are_named(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"text": ["a", "b"] * 1_000}), tmp_path / "r.parquet")
    whole = (tmp_path / "r.parquet").read_bytes()
    assert "no Parquet" in letter(DataDamaged, file(tmp_path, whole[:-20], "cut.parquet"))
    assert "no Parquet" in letter(DataDamaged, file(tmp_path, SOUND, "csv.parquet"))
    assert "gzip" in letter(DataDamaged, file(tmp_path, gzip.compress(SOUND.encode())[:-9], "r.csv.gz"))
    assert "gzip" in letter(DataDamaged, file(tmp_path, SOUND, "plain.csv.gz"))


def test_a_folder_and_an_unknown_ending_are_refused(tmp_path):
    path = file(tmp_path, SOUND)
    assert f"name one file: {path}" in letter(DataMissing, tmp_path)
    assert "rename it" in letter(DataDamaged, file(tmp_path, SOUND, "reviews.txt"))


def test_a_missing_shard_is_noticed(tmp_path):
    write_rows(tmp_path / "train-00000-of-00002.jsonl", [{"text": "a"}, {"text": "b"}])
    assert "1 of 2 shards" in letter(DataMissing, tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_forbidden_file_is_named(tmp_path):
    path = file(tmp_path, SOUND)
    path.chmod(0)
    assert "chmod u+r" in letter(DataDamaged, path)


@pytest.mark.skipif(sys.platform == "win32", reason="limits file sizes by setrlimit")
def test_a_full_disk_is_named_with_the_variable_that_helps(tmp_path):
    path = write_rows(tmp_path / "r.jsonl", [{"text": f"row {i} " + "x" * 100} for i in range(9_000)])
    code = f"""
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
from core_model.data import open_table
try:
    open_table({str(path)!r}, spill_characters=1_000)
except Exception as error:
    print(error)
"""
    environment = os.environ | {"ABOVEBOARD_CACHE_DIR": str(tmp_path / "cache")}
    run = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True, env=environment)
    assert run.stdout.startswith("OutputUnwritable: ") and "ABOVEBOARD_CACHE_DIR" in run.stdout, run.stderr
    assert list((tmp_path / "cache" / "datasets").iterdir()) == []


def test_a_hub_name_offline_is_one_letter_and_no_traceback(tmp_path):
    code = """
from core_model.data import open_table
try:
    open_table("hub:nobody/nothing@test")
except Exception as error:
    print(error)
"""
    environment = os.environ | {
        "HF_HUB_OFFLINE": "1",
        "HF_DATASETS_OFFLINE": "1",
        "ABOVEBOARD_CACHE_DIR": str(tmp_path),
    }
    run = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True, env=environment)
    assert run.stdout.startswith("DataMissing: hub data set 'nobody/nothing' cannot be opened")
    assert "Traceback" not in run.stderr and run.returncode == 0


def test_hub_rows_come_by_datasets_one_split_at_a_time(tmp_path, monkeypatch):
    import datasets

    rows = datasets.Dataset.from_dict({"text": ["a", "b"], "label": [0, 1]})
    splits = datasets.DatasetDict({"train": rows, "test": rows})
    asked = []

    def load(name, split, cache_dir):  # stands for the hub, which a test must not reach
        asked.append((name, split, cache_dir))
        return splits[split] if split else splits

    monkeypatch.setattr(datasets, "load_dataset", load)
    table = open_table("hub:owner/name@test", cache_dir=tmp_path, label_names=LABELS)
    assert asked == [("owner/name", "test", str(tmp_path))]
    assert list(table.texts) == ["a", "b"] and table.targets.tolist() == [0, 1] and table.name == "hub:owner/name@test"
    assert table.sha256 == table.select([0, 1]).sha256
    assert "hub:owner/name@test" in letter(DataMissing, "owner/name")
