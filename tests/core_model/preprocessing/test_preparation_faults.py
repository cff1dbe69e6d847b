"""Promises of preparation about what goes wrong: one letter with the mend, and nothing half-written."""

from __future__ import annotations

import datetime
import hashlib
import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from core_model.errors import BadInput, ColumnMissing, DataDamaged, DataMissing, OptionUnfit, OutputUnwritable
from core_model.preprocessing import prepare
from core_model.preprocessing.rows import WaitingRows
from core_model.preprocessing.spool import Spool, json_line
from tests.core_model.preprocessing.worlds import parts, read, write
from tests.core_model.test_files import small_disk

PAIR = {"task": "translation", "source_column": "en", "target_column": "de"}
WHOLE = {"validation": 0, "test": 0}


def names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


@pytest.fixture
def file(tmp_path) -> Path:
    return write(tmp_path, ({"en": f"sentence number {i}", "de": f"Satz Nummer {i}", "year": i} for i in range(200)))


def letter(kind: type[BadInput], data: Path, **options: object) -> str:
    out = data.parent / "never"
    with pytest.raises(kind) as caught:
        prepare(data, out, **options)
    assert type(caught.value) is kind
    assert caught.value.exit_code == 2
    assert not out.exists()
    assert not [name for name in names(data.parent) if name.startswith(".")]
    return str(caught.value)


def test_the_healthy_twin_is_prepared(file, tmp_path):
    assert set(prepare(file, tmp_path / "out", **PAIR).files) == {"train", "validation", "test"}


def test_a_missing_column_is_answered_with_the_nearest(file):
    assert "--target-column de" in letter(ColumnMissing, file, **PAIR | {"target_column": "dee"})
    text = letter(ColumnMissing, file, **PAIR, split_column="yeer")
    assert "asked for by --split-column" in text
    assert "Try: --split-column year" in text


def test_columns_that_do_not_fit_the_task_are_refused(file):
    assert "--source-column C --target-column C" in letter(OptionUnfit, file, task="translation", text_column="en")
    assert "name two columns" in letter(OptionUnfit, file, **PAIR | {"target_column": "en"})
    assert "'year' holds a int where a text was expected, in row 1" in letter(
        DataDamaged, file, **PAIR | {"target_column": "year"}
    )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"min_word": 3}, "min_words"),
        ({"similarity": 0.1}, "greater than or equal to 0.3"),
        ({"validation": 0.6, "test": 0.5}, "sum smaller than 1"),
        ({"min_words": 9, "max_words": 3}, "swap the two limits"),
        ({"max_length_ratio": float("nan")}, "finite"),
        ({"language": "en", "source_language": "en"}, "source and target only"),
        ({"exact_duplicates": "keep"}, "keep the near ones"),
        ({"task": "translaton"}, "'translation'"),
        ({"duplicates_by": "sauce"}, "--duplicates-by row or either or source or target"),
    ],
)
def test_an_option_that_does_not_fit_is_refused_with_what_would(file, options, said):
    assert said in letter(OptionUnfit, file, **PAIR | options)


def test_a_filter_that_drops_everything_is_named_with_its_option(file):
    text = letter(DataMissing, file, **PAIR, min_words=4)
    assert "the step 'length' dropped the last 200 of 200 rows (source: fewer than 4 words: 200, such as row 1)" in text
    assert "Try: wider limits: --min-words" in text
    assert "--min-letters below 0.99" in letter(DataMissing, file, **PAIR, min_letters=0.99)


def test_no_row_at_all_and_too_few_for_a_part(tmp_path):
    empty = tmp_path / "empty.csv"
    empty.write_text("text\n")
    assert "has no row" in letter(DataMissing, empty)
    few = write(tmp_path / "few", ({"text": f"one {i}"} for i in range(2)))
    assert "--test 0 leaves it out" in letter(OptionUnfit, few)
    assert prepare(few, tmp_path / "out", **WHOLE).card["parts"][0]["rows"] == 2


def test_a_folder_with_files_of_others_is_left_alone(file, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.txt").write_text("years of work")
    with pytest.raises(OutputUnwritable, match=r"holds files of others: thesis.txt"):
        prepare(file, out, **PAIR)
    assert (out / "thesis.txt").read_text() == "years of work"
    (out / "thesis.txt").rename(out / "train.jsonl")  # a name of ours, but no card beside it
    with pytest.raises(OutputUnwritable, match=r"train.jsonl"):
        prepare(file, out, **PAIR)


def test_an_earlier_preparation_is_replaced_but_never_prepared_from_within(file, tmp_path):
    out = tmp_path / "out"
    prepare(file, out, **PAIR)
    assert prepare(file, out, **PAIR, **WHOLE).files == {"train": out / "train.jsonl"}
    assert names(out) == ["data_card.json", "data_card.md", "train.about.toml", "train.jsonl"]
    with pytest.raises(OutputUnwritable, match=r"holds the data itself"):
        prepare(out / "train.jsonl", out, **PAIR)


def test_a_full_disk_leaves_the_earlier_preparation(file, tmp_path):
    out = tmp_path / "out"
    before = prepare(file, out, **PAIR).card
    with pytest.raises(OutputUnwritable, match=r"the disk is full"), small_disk():
        prepare(file, out, **PAIR, seed=1)
    assert json.loads((out / "data_card.json").read_text()) == before
    assert names(tmp_path) == ["out", "rows.jsonl"]


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_run_leaves_no_output(tmp_path, how):
    """The rows come through a pipe that stays open, so that the run is surely on its way when it is stopped."""
    pipe = tmp_path / "rows.jsonl"
    write(tmp_path, ({"text": f"row {i} of many"} for i in range(500)))
    code = (
        # A shell that puts its work into the background lets it ignore Ctrl-C.
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from core_model.preprocessing import intake, prepare\n"
        "true = intake.text_of\n"
        "def slow(row, column, source, number):\n"
        "    import time\n"
        "    if number == 300: print('half', flush=True); time.sleep(60)\n"
        "    return true(row, column, source=source, number=number)\n"
        "intake.text_of = slow\n"
        f"prepare({str(pipe)!r}, {str(tmp_path / 'out')!r})\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as run:
        assert run.stdout is not None
        assert run.stdout.readline() == "half\n"
        run.send_signal(how)
        assert run.wait(20) != 0
    assert not (tmp_path / "out").exists()
    left = [name for name in names(tmp_path) if name != "rows.jsonl"]
    assert left == [] or (how == signal.SIGKILL and all(name.startswith(".out.") for name in left))
    for name in left:
        assert names(tmp_path / name) == []  # the rows' file has no name
    assert prepare(pipe, tmp_path / "out").card["input"]["rows"] == 500


def test_columns_that_come_late_or_hold_anything_are_kept(tmp_path):
    rows = [{"text": f"row number {i}", "more": {"a": [1, None, True], "b": {"c": 0.5}}} for i in range(150)]
    rows[140]["late"] = "kept"
    file = write(tmp_path, rows)
    file.write_text(
        file.read_text() + '{"text": "the odd one", "x": "\\ud800", "nan": NaN, "big": 123456789012345678901}\n'
    )
    kept = parts(prepare(file, tmp_path / "out", **WHOLE, near_duplicates="keep"))["train"]
    assert kept[:150] == rows
    assert kept[150] == {"text": "the odd one", "x": "\ud800", "nan": None, "big": 123456789012345678901}


def test_nested_columns_are_cleaned_where_they_stand(tmp_path):
    rows = [{"translation": {"en": f"<b>text</b> {i}", "de": f"Text {i} &amp;"}, "id": i} for i in range(5)]
    options = PAIR | {"source_column": "translation.en", "target_column": "translation.de"}
    kept = parts(prepare(write(tmp_path, rows), tmp_path / "out", **options, **WHOLE))["train"]
    assert kept[3] == {"translation": {"en": "text 3", "de": "Text 3 &"}, "id": 3}


def test_every_format_gives_the_same_rows(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [{"text": f"row number {i}, “quoted”", "label": "ab"[i % 2]} for i in range(50)]
    write(tmp_path, rows, "a.jsonl")
    (tmp_path / "a.json").write_text(json.dumps(rows))
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    for name, mark in (("a.csv", ","), ("a.tsv", "\t")):
        lines = [f"text{mark}label", *(f'"{row["text"]}"{mark}{row["label"]}' for row in rows)]
        (tmp_path / name).write_text("\n".join(lines) + "\n")
    found = {
        name: read(prepare(tmp_path / name, tmp_path / "out", **WHOLE).files["train"])
        for name in ("a.jsonl", "a.json", "a.parquet", "a.csv", "a.tsv")
    }
    assert all(each == rows for each in found.values())


def test_a_folder_of_shards_is_one_table(tmp_path):
    rows = [{"text": f"row number {i}"} for i in range(10)]
    write(tmp_path / "shards", rows[:5], "train-00000-of-00002.jsonl")
    write(tmp_path / "shards", rows[5:], "train-00001-of-00002.jsonl")
    prepared = prepare(tmp_path / "shards", tmp_path / "out", **WHOLE)
    assert parts(prepared)["train"] == rows
    lines = b"".join((tmp_path / "shards" / f"train-0000{i}-of-00002.jsonl").read_bytes() for i in range(2))
    assert prepared.card["input"]["sha256"] == hashlib.sha256(lines).hexdigest()
    assert prepared.card["input"]["sha256_of"] == "rows as JSON lines"
    assert prepared.card["input"]["name"] == "shards"


def test_a_file_that_changes_while_it_is_read_is_refused(file):
    def write_more(stage: str, rows: int) -> None:
        with file.open("a") as more:
            more.write('{"en": "one more", "de": "eine mehr", "year": 1}\n')

    with file.open("a") as more:
        more.writelines(f'{{"en": "number {i}", "de": "Zahl {i}", "year": 0}}\n' for i in range(1_900))
    assert "was changed while it was read" in letter(DataDamaged, file, **PAIR, progress=write_more)


def test_what_json_cannot_hold_is_a_letter_or_its_text():
    assert json_line({"when": datetime.date(2020, 1, 2)}) == b'{"when": "2020-01-02"}\n'
    assert json_line({"x": [float("inf"), 1.5, {"y": float("nan")}]}) == b'{"x": [null, 1.5, {"y": null}]}\n'
    with pytest.raises(DataDamaged, match="bytes"):
        json_line({"raw": b"\x00"})


def test_parquet_that_cannot_hold_mixed_types_says_so(tmp_path):
    file = write(tmp_path, [{"text": "one thing", "x": 1}, {"text": "another", "x": "a"}])
    assert "--format jsonl" in letter(DataDamaged, file, **WHOLE, format="parquet")


def test_rows_on_disk_come_back_in_order_and_one_at_a_time(tmp_path):
    spool = Spool(tmp_path)
    rows = [{"i": i, "text": "ä" * i} for i in range(1_000)]
    for row in rows:
        spool.append(row)
    spool.finish()
    assert [json.loads(line) for line in spool.lines()] == rows
    assert [spool[i] for i in (999, 0, 500)] == [rows[999], rows[0], rows[500]]
    assert list(tmp_path.iterdir()) == []
    spool.close()


@pytest.mark.parametrize(("columns", "expected"), [(1, 56), (2, 72)])
def test_a_waiting_row_takes_some_numbers_of_memory(tmp_path, columns, expected):
    rows = WaitingRows(["en", "de"][:columns], tmp_path)
    for number in range(1_000):
        rows.append(number, {"en": "word " * 500}, ["word " * 500] * columns, label="", group="")
    rows.finish()
    assert rows.state_bytes == 1_000 * expected
    rows.close()


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")
def test_memory_stays_far_below_the_data(tmp_path):
    """Twenty times the rows: 12 MB more of text, less than half of it more memory (a whole copy would be all of it)."""
    code = (
        "import sys\nfrom core_model.preprocessing import prepare\n"
        "prepare(sys.argv[1], sys.argv[2], validation=0, test=0, near_duplicates='keep')\n"
        "print(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))\n"
    )

    def peak(rows: int) -> float:
        file = write(tmp_path, ({"text": f"{i} " + f"word{i % 97} " * 1_500} for i in range(rows)), f"{rows}.jsonl")
        run = subprocess.run(
            [sys.executable, "-c", code, str(file), str(tmp_path / f"out{rows}")],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        return int(run.stdout) * 1_024

    small, large = peak(65), peak(1_300)
    more = (tmp_path / "1300.jsonl").stat().st_size - (tmp_path / "65.jsonl").stat().st_size
    assert more > 12_000_000
    assert large - small < more / 2
