"""The parts as files: JSON lines just as the rows wait on disk, or Parquet; each with its sidecar and its hash."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from core_model.data import About
from core_model.data_hash import hash_file
from core_model.errors import DataDamaged
from core_model.preprocessing.splitting import PARTS
from core_model.preprocessing.spool import Spool

BATCH_ROWS = 4_096


def write_parts(spool: Spool, parts: np.ndarray, folder: Path, *, parquet: bool, about: About) -> dict[str, Path]:
    """Write each part that has rows, in the order of the input.

    Args:
        parts: (all rows,) places in PARTS; -1 for rows that were dropped.
    Returns: part -> file.
    Raises: DataDamaged when Parquet cannot hold a column that mixes types.
    """
    present = [place for place in range(len(PARTS)) if (parts == place).any()]
    files = {PARTS[place]: folder / f"{PARTS[place]}.{'parquet' if parquet else 'jsonl'}" for place in present}
    (_write_parquet if parquet else _write_lines)(spool, parts, files)
    for file in files.values():
        file.with_suffix(".about.toml").write_text(sidecar(about), encoding="utf-8")
    return files


def described(files: dict[str, Path]) -> dict[str, dict[str, Any]]:
    """Each part's file by name, sha256 and size in bytes."""
    return {
        part: {"file": file.name, "sha256": hash_file(file), "bytes": file.stat().st_size}
        for part, file in files.items()
    }


def sidecar(about: About) -> str:
    """The sidecar of a part: what was known of the whole."""
    lines = [f"synthetic = {'true' if about.synthetic else 'false'}"]
    for key in ("sensitive", "source", "licence"):
        value = getattr(about, key)
        if value is not None:  # a JSON string is a TOML string but for DEL, which TOML wants escaped
            lines.append(f"{key} = " + json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f"))
    return "\n".join(lines) + "\n"


def _write_lines(spool: Spool, parts: np.ndarray, files: dict[str, Path]) -> None:
    with ExitStack() as stack:
        opened = {PARTS.index(part): stack.enter_context(file.open("wb")) for part, file in files.items()}
        for part, line in zip(parts.tolist(), spool.lines(), strict=True):
            if part >= 0:
                opened[part].write(line)


def _write_parquet(spool: Spool, parts: np.ndarray, files: dict[str, Path]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        schema = pa.schema([])
        for place in range(len(PARTS)):
            for batch in _batches(spool, parts, place):
                some = pa.table(_by_column(batch)).schema
                schema = pa.unify_schemas([schema, some], promote_options="permissive")
        for part, file in files.items():
            with pq.ParquetWriter(file, schema) as writer:
                for batch in _batches(spool, parts, PARTS.index(part)):
                    writer.write_table(pa.Table.from_pylist(batch, schema=schema))
    except (pa.ArrowException, OverflowError) as error:
        said = str(error).splitlines()[0][:200]
        raise DataDamaged(f"Parquet cannot hold these rows: {said}", mend="--format jsonl") from None


def _batches(spool: Spool, parts: np.ndarray, place: int) -> Iterator[list[dict[str, Any]]]:
    chosen = (json.loads(line) for part, line in zip(parts.tolist(), spool.lines(), strict=True) if part == place)
    while batch := list(islice(chosen, BATCH_ROWS)):
        yield batch


def _by_column(batch: list[dict[str, Any]]) -> dict[str, list[Any]]:
    return {name: [row.get(name) for row in batch] for name in dict.fromkeys(name for row in batch for name in row)}
