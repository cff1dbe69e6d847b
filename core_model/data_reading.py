"""Files of rows, read strictly: a fault is named by its line, nothing is guessed, repaired or dropped.

The readers of `datasets` and pandas turn "NaN" and a ragged line into missing values and integer labels into floats; an
audit must see the rows as they are. So text formats are read here by the standard library, Parquet by Arrow, and only
hub names by `datasets`. Every reader streams.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any

from core_model.errors import DataDamaged, DataMissing, OptionUnfit

LARGEST_FIELD = 1 << 28  # characters of one CSV field; the csv module's own limit of 131,072 refuses long documents
PEEK_ROWS = 100  # rows of a JSONL file that are asked for column names

Row = tuple[Any, ...]


@dataclass(frozen=True)
class Source:
    """Rows that can be read once, column by column.

    Attributes:
        name: how messages call it.
        columns: the names that there are.
        read: for some columns, each row's values in that order; a value that is absent is None.
        guessed: what was taken without being told.
        objects: the rows of a JSON format as they stand there; a row may hold names that `columns` does not know.
    """

    name: str
    columns: tuple[str, ...]
    read: Callable[[Sequence[str]], Iterator[Row]]
    guessed: dict[str, str] = field(default_factory=dict)
    objects: Callable[[], Iterator[dict[str, Any]]] | None = None


def open_file(path: Path, *, encoding: str | None = None) -> Source:
    """A file of rows: .csv, .tsv, .jsonl, .ndjson, .json or .parquet; the text formats also as .gz.

    Raises: DataMissing when it is empty; DataDamaged when it is not what its name says, with the line.
    """
    suffixes = [suffix.lower() for suffix in path.suffixes]
    kind = suffixes[-2] if suffixes[-1:] == [".gz"] and len(suffixes) > 1 else (suffixes or [""])[-1]
    reader = READERS.get(kind)
    if reader is None:
        raise DataDamaged(
            f"{path} does not say what it holds: its ending is {path.suffix or 'missing'!r}",
            mend=f"rename it to one of {', '.join(READERS)} (text formats also with .gz)",
        )
    try:
        if path.stat().st_size == 0:
            raise DataMissing(f"{path} is empty (0 bytes)", mend="name a file with rows")
        if kind == ".parquet":
            return _parquet(path)
        return reader(path, lambda: _lines(path, encoding or "utf-8"))
    except OSError as error:
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: Exception) -> DataDamaged:
    if isinstance(error, PermissionError):
        return DataDamaged(f"{path} may not be read by this user", mend=f"chmod u+r {path}")
    return DataDamaged(f"{path} cannot be read: {error}", mend="fetch or write the file again")


def reaching(source: Source, names: Sequence[str]) -> Iterator[Row]:
    """Each row's values of some columns; `translation.en` is the member "en" of the objects in column "translation".

    A member that an object has not is None, as any absent value.
    """
    deep = {name: name.split(".") for name in names if name not in source.columns}
    if not deep:
        return source.read(names)
    tops = list(dict.fromkeys(deep[name][0] if name in deep else name for name in names))
    places = [(tops.index(deep[name][0]), deep[name][1:]) if name in deep else (tops.index(name), []) for name in names]
    return (tuple(_member(row[place], path) for place, path in places) for row in source.read(tops))


def whole_rows(source: Source) -> Iterator[dict[str, Any]]:
    """Each row with all it holds, by column."""
    if source.objects is not None:
        return source.objects()
    return (dict(zip(source.columns, row, strict=True)) for row in source.read(source.columns))


def _member(value: Any, path: Sequence[str]) -> Any:
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


# Lines of text ------------------------------------------------------------------------------------------------------


def _open(path: Path) -> IO[bytes]:
    return gzip.open(path, "rb") if path.suffix.lower() == ".gz" else path.open("rb")  # type: ignore[return-value]


def _lines(path: Path, encoding: str) -> Iterator[str]:
    """Lines with their ends. Split as bytes, so that a fault's byte offset and line are exact."""
    try:
        by_bytes = "\n".encode(encoding) == b"\n"
    except LookupError:
        raise OptionUnfit(
            f"--encoding {encoding}: Python knows no such encoding", mend="--encoding utf-8, latin-1 or cp1252"
        ) from None
    offset = number = 0
    try:
        with _open(path) as file:
            if not by_bytes:  # UTF-16 and UTF-32 have no byte that is a line's end
                yield from io.TextIOWrapper(file, encoding=encoding, newline="")
                return
            for number, raw in enumerate(file, start=1):  # the number stands in messages
                line = raw.decode(encoding)
                yield line.removeprefix("\ufeff") if number == 1 else line
                offset += len(raw)
    except UnicodeDecodeError as error:
        raise _undecodable(path, encoding, error, offset, number) from None
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataDamaged(
            f"{path} is no whole gzip file: {error}", mend=f"gzip --test {path}; fetch it again"
        ) from None
    except OSError as error:
        raise _unreadable(path, error) from None


def _undecodable(path: Path, encoding: str, error: UnicodeDecodeError, offset: int, line: int) -> DataDamaged:
    byte = error.object[error.start]
    where = f"byte {offset + error.start:,}, line {line:,}" if line else f"byte {error.start:,} of a block"
    if error.object[:2] in (b"\xff\xfe", b"\xfe\xff"):
        likely = "utf-16"
    else:
        likely = "cp1252" if 0x80 <= byte < 0xA0 else "latin-1"
    return DataDamaged(
        f"{path} is not {encoding.upper()}: 0x{byte:02x} at {where}",
        mend=f"--encoding {likely}, or iconv -f {likely} -t utf-8 {path} > utf-8-{path.name}",
    )


# CSV and TSV --------------------------------------------------------------------------------------------------------


def _delimited(path: Path, lines: Callable[[], Iterator[str]], delimiter: str | None = None) -> Source:
    guessed: dict[str, str] = {}
    first = next(lines(), "")
    if delimiter is None:
        delimiter = next((mark for mark in ",;\t" if mark in first), ",")
        if delimiter != ",":
            guessed["delimiter"] = delimiter
    with _long_fields():
        header = next(_records(path, lines(), delimiter), (0, []))[1]
    if not any(name.strip() for name in header):
        raise DataMissing(f"{path} has no header line", mend="begin it with the names of its columns")
    twice = next((name for name in header if header.count(name) > 1), None)
    if twice is not None:
        raise DataDamaged(f"{path}, line 1: two columns are called {twice!r}", mend="rename one of them")

    def read(columns: Sequence[str]) -> Iterator[Row]:
        places = [header.index(column) for column in columns]
        with _long_fields():
            records = _records(path, lines(), delimiter)
            next(records)
            for line, record in records:
                if len(record) != len(header):
                    raise DataDamaged(
                        f"{path}, line {line:,}: {len(record)} fields where the header has {len(header)}",
                        mend='put quotes around fields that hold the delimiter, and write a quote within them as ""',
                    )
                yield tuple(record[place] or None for place in places)

    return Source(str(path), tuple(header), read, guessed)


def _records(path: Path, lines: Iterator[str], delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Each record with the line where it begins; blank lines are no records."""
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    begins = 1
    while True:
        begins = reader.line_num + 1
        try:
            record = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise DataDamaged(
                f"{path}, record beginning at line {begins:,}: {error}",
                mend='look for a quote that is never closed; a quote within a field is written ""',
            ) from None
        if record:
            yield begins, record


@contextmanager
def _long_fields() -> Iterator[None]:
    """The csv module's limit belongs to the whole process: lift it while we read, and put it back."""
    before = csv.field_size_limit(LARGEST_FIELD)
    try:
        yield
    finally:
        csv.field_size_limit(before)


# JSON ---------------------------------------------------------------------------------------------------------------


def _json_lines(path: Path, lines: Callable[[], Iterator[str]]) -> Source:
    def objects() -> Iterator[dict[str, Any]]:
        for number, line in enumerate(lines(), start=1):
            if line.strip():
                yield _object(path, line.strip(), number)

    return _mappings(path, objects)


def _object(path: Path, line: str, number: int) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        column = f", column {error.colno:,}" if isinstance(error, json.JSONDecodeError) else ""
        what = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
        raise DataDamaged(
            f"{path}, line {number:,}{column}: no JSON ({what})", mend="one JSON object a line, as json.dumps writes it"
        ) from None
    if not isinstance(value, dict):
        raise DataDamaged(
            f"{path}, line {number:,}: {type(value).__name__} where an object was expected",
            mend='one JSON object a line: {"text": "...", "label": "..."}',
        )
    return value


def _json(path: Path, lines: Callable[[], Iterator[str]]) -> Source:
    """One JSON document: a list of objects, or an object that holds one list of them. Read whole."""
    first = next((line for line in lines() if line.strip()), "")
    try:  # many a .json file holds JSON Lines
        if isinstance(json.loads(first), dict) and sum(1 for line in islice(lines(), 2) if line.strip()) > 1:
            return _json_lines(path, lines)
    except (ValueError, RecursionError):
        pass
    try:
        document = json.loads("".join(lines()))
    except (ValueError, RecursionError) as error:
        raise DataDamaged(f"{path}: no JSON ({error})", mend="write one JSON object a line, as .jsonl") from None
    lists = [v for v in document.values() if isinstance(v, list)] if isinstance(document, dict) else [document]
    rows = lists[0] if len(lists) == 1 else None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise DataDamaged(f"{path} is no list of objects", mend="write one JSON object a line, as .jsonl")
    return _mappings(path, lambda: iter(rows))


def _mappings(path: Path, objects: Callable[[], Iterator[dict[str, Any]]]) -> Source:
    columns = tuple(dict.fromkeys(chain.from_iterable(islice(objects(), PEEK_ROWS))))
    if not columns:
        raise DataMissing(f"{path} has no row", mend="name a file with rows")

    def read(columns: Sequence[str]) -> Iterator[Row]:
        return (tuple(row.get(column) for column in columns) for row in objects())

    return Source(str(path), columns, read, objects=objects)


# Parquet and hubs ---------------------------------------------------------------------------------------------------


def _parquet(path: Path) -> Source:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        columns = tuple(pq.read_schema(path).names)
    except pa.ArrowException as error:
        raise DataDamaged(f"{path} is no Parquet file ({_short(error)})", mend="write or fetch it again") from None

    def read(columns: Sequence[str]) -> Iterator[Row]:
        try:
            with pq.ParquetFile(path, pre_buffer=False) as file:
                for batch in file.iter_batches(batch_size=1_024, columns=list(columns)):
                    yield from zip(*(batch.column(column).to_pylist() for column in columns), strict=True)
        except pa.ArrowException as error:
            raise DataDamaged(f"{path} is damaged ({_short(error)})", mend="write or fetch it again") from None
        except UnicodeDecodeError as error:
            raise DataDamaged(
                f"{path} holds a text that is not UTF-8 ({error.reason})", mend="write it again"
            ) from None

    return Source(str(path), columns, read)


def open_hub(name: str, *, split: str | None, cache: Path) -> Source:
    """A data set of a hub, by `datasets`: `owner/name`, `owner/name@split`, `owner/name:part@split` where it has parts
    (languages, say). Scripts of a hub are never run.

    Raises: DataMissing when it cannot be reached or has no such split.
    """
    whole, _, at = name.partition("@")
    owner_name, _, part = whole.partition(":")
    split = split or at or None
    import datasets

    bars_were_on = datasets.utils.is_progress_bar_enabled()
    datasets.disable_progress_bars()
    try:
        chosen = (owner_name, part) if part else (owner_name,)
        loaded = datasets.load_dataset(*chosen, split=split, cache_dir=str(cache))
    except Exception as error:  # the library raises a dozen kinds; its traceback is not for our reader
        raise DataMissing(
            f"hub data set {whole!r} cannot be opened: {_short(error)}",
            mend="check the name and the network (offline, only what was fetched before opens), or name a local file",
        ) from None
    finally:
        if bars_were_on:
            datasets.enable_progress_bars()
    if isinstance(loaded, dict):
        splits = list(loaded)
        if len(splits) > 1:
            raise DataMissing(
                f"hub data set {whole!r} has the splits {', '.join(splits)}",
                mend=f"hub:{whole}@{splits[-1]}",
            )
        loaded = loaded[splits[0]]

    def read(columns: Sequence[str]) -> Iterator[Row]:
        for batch in loaded.select_columns(list(columns)).iter(batch_size=1_024):
            yield from zip(*(batch[column] for column in columns), strict=True)

    return Source(f"hub:{whole}" + (f"@{split}" if split else ""), tuple(loaded.column_names), read)


def joined(name: str, parts: Iterable[Source]) -> Source:
    """Shards of one table, one after the other.

    Raises: DataDamaged when their columns differ.
    """
    shards = list(parts)
    odd = next((shard for shard in shards if set(shard.columns) != set(shards[0].columns)), None)
    if odd is not None:
        raise DataDamaged(
            f"{odd.name} has the columns {', '.join(odd.columns)}; {shards[0].name} has {', '.join(shards[0].columns)}",
            mend="keep the shards of one table in a folder of their own",
        )
    return Source(
        name,
        shards[0].columns,
        lambda columns: chain.from_iterable(shard.read(columns) for shard in shards),
        objects=lambda: chain.from_iterable(whole_rows(shard) for shard in shards),
    )


def _short(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__)[:200]


READERS: dict[str, Callable[[Path, Callable[[], Iterator[str]]], Source]] = {
    ".csv": _delimited,
    ".tsv": lambda path, lines: _delimited(path, lines, "\t"),
    ".jsonl": _json_lines,
    ".ndjson": _json_lines,
    ".json": _json,
    ".parquet": lambda path, lines: _parquet(path),
}
