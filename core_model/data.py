"""Opening the rows that a checkpoint is trained or audited on.

    table = open_table("reviews.csv", group_columns=("gender",), label_names=checkpoint.labels)
    table.texts[3], table.targets[3], table.groups["gender"][3]

Local files are CSV, TSV, JSON Lines, JSON and Parquet; `hub:owner/name` is a data set of a hub. Beside `reviews.csv` a
`reviews.about.toml` may say what no file of rows can: `synthetic = true`, `sensitive = "..."`, `source`, `licence`.
"""

from __future__ import annotations

import json
import re
import tomllib
from array import array
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from core_model.data_columns import Columns, choose_columns, nearest
from core_model.data_hash import hash_file
from core_model.data_labels import label_key, read_labels
from core_model.data_reading import READERS, Source, joined, open_file, open_hub, reaching
from core_model.data_store import SPILL_CHARACTERS, TextWriter, cache_folder
from core_model.data_table import Table, frozen, group_value
from core_model.errors import BadInput, DataDamaged, DataMissing, LabelsUnfit
from core_model.tasks import Task

__all__ = ["About", "Table", "open_table"]

HUB_NAME = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*(@[\w.-]+)?")
SHARD = re.compile(r"-\d{5}-of-\d{5}(?=\.)")
WRITTEN_NAN = frozenset({"NaN", "nan", "<NA>"})  # what pandas and numpy write for a value that is absent
ROWS_SHOWN = 5


class About(BaseModel):
    """What stands in `NAME.about.toml` beside a data file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    synthetic: bool = False
    sensitive: str | None = None
    source: str | None = None
    licence: str | None = None


def open_table(
    source: str | Path,
    *,
    text_column: str | None = None,
    pair_column: str | None = None,
    label_column: str | None = None,
    reference_column: str | None = None,
    group_columns: Sequence[str] = (),
    label_names: Sequence[str] | None = None,
    split: str | None = None,
    encoding: str | None = None,
    cache_dir: str | Path | None = None,
    labels_required: bool = False,
    references_required: bool = False,
    task: Task | None = None,
    spill_characters: int = SPILL_CHARACTERS,
) -> Table:
    """Read and check a table of rows, once, as a stream; texts beyond `spill_characters` stay on disk.

    Args:
        source: a file; a folder of shards (`train-00000-of-00004.parquet`); `hub:owner/name` or `hub:owner/name@split`.
        text_column, pair_column, label_column, reference_column: columns; they are found by well-known names when left
            out, and then stand in `Table.guessed`. `translation.en` reaches into a column of objects.
        group_columns: columns by which rows are compared; several make intersections possible.
        label_names: the model's classes, in the order of its outputs; without them, the values are the classes.
        split: part of a hub's data set.
        encoding: of a text file; UTF-8 when left out.
        cache_dir: where a hub's files go.
        labels_required, references_required: whether to refuse data without such a column.
        task: whose columns these are (`core_model.data_columns.ROLES`); a classifier's when left out.
    Returns: a table with a content hash: the file's own sha256; for shards and hub names over canonical JSON rows.
    Raises: DataMissing, DataDamaged, ColumnMissing, LabelsUnfit, OptionUnfit; each names the file, the place, the mend.
    """
    location = str(source)
    path, rows = locate(location, split=split, encoding=encoding, cache_dir=cache_dir)
    columns = choose_columns(
        rows.name,
        rows.columns,
        text=text_column,
        pair=pair_column,
        label=label_column,
        groups=group_columns,
        reference=reference_column,
        labels_required=labels_required,
        references_required=references_required,
        task=task,
    )
    content = _Content(rows.name, columns, spill_characters)
    table = content.table(reaching(rows, content.names), label_names or None)
    about = about_beside(path) if path else About()
    fields = table | {
        "name": path.name if path else rows.name,
        "location": location,
        "guessed": rows.guessed | columns.guessed,
        "file_sha256": hash_file(path) if path and path.is_file() else None,
    }
    return Table(**fields, **about.model_dump())


def locate(
    location: str, *, split: str | None, encoding: str | None, cache_dir: str | Path | None
) -> tuple[Path | None, Source]:
    """The file (or folder of shards) and its rows; no path for a hub's data set.

    Raises: DataMissing, DataDamaged.
    """
    path = Path(location.removeprefix("file://")).expanduser()
    if location.startswith("hub:") or (_names_a_hub(location) and not path.exists()):
        cache = Path(cache_dir) if cache_dir else cache_folder("datasets")
        return None, open_hub(location.removeprefix("hub:"), split=split, cache=cache)
    if path.is_dir():
        return path, _shards(path, encoding)
    if not path.is_file():
        raise _missing(path)
    return path, open_file(path, encoding=encoding)


def _names_a_hub(location: str) -> bool:
    """Whether this could be `owner/name` rather than a file that is missing."""
    is_file_name = Path(location).suffix.lower() in {*READERS, ".gz", ".txt"}
    return bool(HUB_NAME.fullmatch(location)) and not is_file_name and not Path(location).parent.is_dir()


def _missing(path: Path) -> DataMissing:
    there = sorted(p.name for p in path.parent.iterdir() if p.suffix in READERS) if path.parent.is_dir() else []
    if not path.parent.is_dir():
        return DataMissing(f"{path} is not there: there is no folder {path.parent}", mend="check the path")
    mend = str(path.parent / nearest(path.name, there)) if there else f"a file of {', '.join(READERS)}"
    return DataMissing(f"{path} is not there", mend=mend)


def _shards(folder: Path, encoding: str | None) -> Source:
    files = sorted(file for file in folder.iterdir() if file.suffix.lower() in {*READERS, ".gz"})
    shards = [file for file in files if SHARD.search(file.name)]
    series = {SHARD.sub("", file.name) for file in shards}
    if len(series) != 1:
        inside = ", ".join(file.name for file in files[:ROWS_SHOWN]) or "no data file"
        raise DataMissing(
            f"{folder} is a folder, not a file of rows (it holds {inside})",
            mend=f"name one file: {files[0]}" if files else "name a file of rows",
        )
    whole = int(shards[0].name.split("-of-")[1][:5])
    if len(shards) != whole:
        raise DataMissing(f"{folder} holds {len(shards)} of {whole} shards", mend="fetch the folder again")
    return joined(str(folder), (open_file(file, encoding=encoding) for file in shards))


def about_beside(path: Path) -> About:
    """What `NAME.about.toml` beside a data file says, or the defaults where there is none.

    Raises: DataDamaged.
    """
    bare = path.name.removesuffix(".gz")
    names = [f"{path.name}.about.toml", f"{Path(bare).stem}.about.toml"]
    file = next((path.with_name(name) for name in names if path.with_name(name).is_file()), None)
    if file is None:
        return About()
    try:
        return About.model_validate(tomllib.loads(file.read_text(encoding="utf-8")))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DataDamaged(f"{file}: no TOML ({error})", mend="synthetic = true, or source = '...'") from None
    except ValidationError as error:
        [first, *_] = error.errors()
        raise DataDamaged(
            f"{file}: {'.'.join(map(str, first['loc']))}: {first['msg']}",
            mend=f"it may hold: {', '.join(About.model_fields)}",
        ) from None


def _reference(value: Any) -> Any:
    """Several acceptable answers as a JSON list; SQuAD's objects hold theirs under "text"."""
    if isinstance(value, dict) and isinstance(value.get("text"), list):
        value = value["text"]
    if isinstance(value, list):
        answers = [answer for answer in value if isinstance(answer, str) and answer.strip()]
        return json.dumps(answers, ensure_ascii=False) if answers else None
    return ("no", "yes")[value] if isinstance(value, bool) else value


class _Content:
    """One pass over the rows: texts to the store, labels and groups to small arrays, faults remembered by row."""

    def __init__(self, source: str, columns: Columns, spill_characters: int) -> None:
        self.source = source
        self.columns = columns
        self.texts = [name for name in (columns.text, columns.pair, columns.reference) if name]
        self.labels = [columns.label] if columns.label else []
        self.names = [*self.texts, *self.labels, *columns.groups]
        self.writer = TextWriter(len(self.texts), spill_characters=spill_characters)
        self.faults: dict[tuple[str, str], list[int]] = {}
        self.codes: list[array[int]] = [array("i") for _ in self.names[len(self.texts) :]]
        self.values: list[dict[str, int]] = [{} for _ in self.codes]
        self.first_rows: dict[str, int] = {}
        self.rows = 0

    def table(self, rows: Iterable[tuple[Any, ...]], label_names: Sequence[str] | None) -> dict[str, Any]:
        """What a Table holds of these rows, by field."""
        try:
            for row in rows:
                self._take(row)
            self._refuse_faults()
            stored = list(self.writer.finish())
        except BaseException:
            self.writer.discard()
            raise
        fields: dict[str, Any] = {
            "texts": stored.pop(0),
            "pairs": stored.pop(0) if self.columns.pair else None,
            "references": stored.pop(0) if self.columns.reference else None,
            "text_column": self.columns.text,
            "pair_column": self.columns.pair,
            "reference_column": self.columns.reference,
            "label_column": self.columns.label,
            "group_columns": self.columns.groups,
            "label_names": tuple(label_names or ()),
        }
        coded = [
            (np.frombuffer(codes, dtype=np.int32), list(values))
            for codes, values in zip(self.codes, self.values, strict=True)
        ]
        if self.columns.label:
            names, meaning = read_labels(self.source, self.columns.label, self.first_rows, label_names)
            codes, values = coded.pop(0)
            by_code = np.array([meaning[value] for value in values], dtype=np.int64)
            fields |= {"label_names": names, "label_values": meaning, "target_indices": frozen(by_code[codes])}
        fields["groups"] = {
            column: frozen(np.array(values, dtype=object)[codes])
            for column, (codes, values) in zip(self.columns.groups, coded, strict=True)
        }
        return fields

    def _take(self, row: tuple[Any, ...]) -> None:
        self.rows += 1
        texts = row[: len(self.texts)]
        if self.columns.reference:
            texts = (*texts[:-1], _reference(texts[-1]))
        sound = [self._is_text(column, text) for column, text in zip(self.texts, texts, strict=True)]
        if all(sound):
            try:
                self.writer.append(texts)
            except UnicodeEncodeError:
                self._fault(self.texts[0], "half of a surrogate pair (\\ud800 to \\udfff), which is no character")
        rest = row[len(self.texts) :]
        for place, value in enumerate(rest):
            if place < len(self.labels):
                key = label_key(value)
                if key is None:
                    self._fault(self.labels[0], "no label")
                    continue
                self.first_rows.setdefault(key, self.rows)
            else:
                key = group_value(value)
            values = self.values[place]
            self.codes[place].append(values.setdefault(key, len(values)))

    def _is_text(self, column: str, value: object) -> bool:
        if value is None or value != value or (isinstance(value, str) and value in WRITTEN_NAN):  # noqa: PLR0124
            self._fault(column, "no text (null or NaN)")  # NaN alone differs from itself
        elif not isinstance(value, str):
            self._fault(column, f"a {type(value).__name__} where a text was expected")
        elif not value.strip():
            self._fault(column, "a blank text")
        else:
            return True
        return False

    def _fault(self, column: str, what: str) -> None:
        self.faults.setdefault((column, what), []).append(self.rows)

    def _refuse_faults(self) -> None:
        if self.faults:
            (column, what), rows = next(iter(self.faults.items()))
            raise self._letter(column, what, rows)
        if self.rows < 2:
            count = "no row" if self.rows == 0 else "1 row"
            raise DataMissing(
                f"{self.source} has {count}; intervals need at least 2", mend="name a file with more rows"
            )

    def _letter(self, column: str, what: str, rows: Sequence[int]) -> BadInput:
        shown = ", ".join(f"{row:,}" for row in rows[:ROWS_SHOWN])
        more = f" and {len(rows) - ROWS_SHOWN:,} more" if len(rows) > ROWS_SHOWN else ""
        where = f"{self.source}: column {column!r} holds {what} in row{'s' * (len(rows) > 1)} {shown}{more}"
        kind = LabelsUnfit if column in self.labels else DataDamaged
        return kind(f"{where} (of {self.rows:,}, counted from 1, header aside)", mend="drop or fill these rows")
