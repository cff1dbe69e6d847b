"""Rows that wait on disk, in a file without a name: written once in order, read again in order or one at a time.

What stays in memory of a row is its place (8 bytes). The file is gone when it is closed, however the process ends.
"""

from __future__ import annotations

import json
import math
import os
import tempfile
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from core_model.errors import DataDamaged


class Spool:
    """JSON lines by number.

    Args:
        folder: where the file lives; its disk must hold the rows.
    """

    def __init__(self, folder: Path) -> None:
        self._file = tempfile.TemporaryFile(dir=folder, buffering=1 << 20)  # noqa: SIM115  # lives as long as this object
        self._ends = array("Q")
        self._size = 0

    def __len__(self) -> int:
        return len(self._ends)

    @property
    def state_bytes(self) -> int:
        """Memory that the places take."""
        return len(self._ends) * self._ends.itemsize

    def append(self, row: dict[str, Any]) -> None:
        """Write a row behind the others."""
        line = json_line(row)
        self._file.write(line)
        self._size += len(line)
        self._ends.append(self._size)

    def finish(self) -> None:
        """End the writing; only now can rows be read."""
        self._file.flush()

    def lines(self) -> Iterator[bytes]:
        """All rows in order, as they will stand in a JSONL file."""
        self._file.seek(0)
        yield from self._file

    def __getitem__(self, number: int) -> dict[str, Any]:
        begin = self._ends[number - 1] if number else 0
        row: dict[str, Any] = json.loads(os.pread(self._file.fileno(), self._ends[number] - begin, begin))
        return row

    def close(self) -> None:
        """Give the disk back."""
        self._file.close()


def json_line(row: dict[str, Any]) -> bytes:
    """A row as one line of UTF-8 JSON; not a number is null, a date is its ISO text.

    Raises: DataDamaged for what JSON cannot hold.
    """
    try:
        text = json.dumps(row, ensure_ascii=False, allow_nan=False, default=_written)
    except ValueError:
        text = json.dumps(_finite(row), ensure_ascii=False, default=_written)
    try:
        return text.encode() + b"\n"
    except UnicodeEncodeError:  # half of a surrogate pair, in a column that is not cleaned
        return json.dumps(json.loads(text)).encode() + b"\n"


def _written(value: object) -> str:
    if isinstance(value, bytes | bytearray | memoryview):
        raise DataDamaged("a column holds bytes, which JSON cannot hold", mend="leave that column out of the data")
    return str(value.isoformat()) if hasattr(value, "isoformat") else str(value)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    return [_finite(inner) for inner in value] if isinstance(value, list | tuple) else value
