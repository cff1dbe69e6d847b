"""Names made of content: which rows a table holds, and which row is which.

A file is named by the sha256 of its bytes, so that a reviewer can check it with `sha256sum`. Rows that are no single
file (in memory, from a hub, a selection) are named by the sha256 over their canonical JSON lines.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import overload

import numpy as np


def hash_file(path: Path) -> str:
    """The sha256 of a file's bytes, as `sha256sum` prints it; read in blocks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hash_rows(
    texts: Iterable[str],
    pairs: Iterable[str] | None,
    labels: Iterable[str] | None,
    groups: Mapping[str, Iterable[str]],
    references: Iterable[str] | None = None,
) -> str:
    """The sha256 over one line a row: `{"groups":{...},"label":...,"pair":...,"text":...}`, keys sorted, UTF-8.

    Absent parts are left out, so that rows without labels and rows labelled "" differ.
    """
    columns: dict[str, Iterable[str]] = {"text": texts}
    if pairs is not None:
        columns["pair"] = pairs
    if labels is not None:
        columns["label"] = labels
    if references is not None:
        columns["reference"] = references
    names = list(groups)
    digest = hashlib.sha256()
    for values in zip(*columns.values(), *groups.values(), strict=True):
        row: dict[str, object] = dict(zip(columns, values, strict=False))
        if names:
            row["groups"] = dict(zip(names, values[len(columns) :], strict=True))
        line = json.dumps(row, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
        digest.update(line.encode("utf-8", "surrogatepass") + b"\n")
    return digest.hexdigest()


class RowIds(Sequence[str]):
    """A name for each row that survives reordering: 16 hex digits of sha256(text, 0x1F, pair).

    A row that repeats gets its occurrence behind a dash: `3a7b...`, `3a7b...-2`. Kept as twelve bytes a row, so that
    ten million rows need 120 MB.
    """

    def __init__(self, texts: Iterable[str], pairs: Iterable[str] | None = None) -> None:
        self._hashes = np.fromiter((_hash_row(*row) for row in _zip(texts, pairs)), dtype=np.uint64)
        self._occurrences = _occurrences(self._hashes)

    @classmethod
    def _of(cls, hashes: np.ndarray, occurrences: np.ndarray) -> RowIds:
        ids = cls.__new__(cls)
        ids._hashes, ids._occurrences = hashes, occurrences
        return ids

    def take(self, indices: np.ndarray) -> RowIds:
        """The names of some rows: the very names that they have in the whole."""
        return self._of(self._hashes[indices], self._occurrences[indices])

    def __len__(self) -> int:
        return len(self._hashes)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> RowIds: ...
    def __getitem__(self, index: int | slice) -> str | RowIds:
        if isinstance(index, slice):
            return self._of(self._hashes[index], self._occurrences[index])
        name = f"{int(self._hashes[index]):016x}"
        occurrence = int(self._occurrences[index])
        return name if occurrence == 1 else f"{name}-{occurrence}"


def _zip(texts: Iterable[str], pairs: Iterable[str] | None) -> Iterable[tuple[str, ...]]:
    return zip(texts, strict=True) if pairs is None else zip(texts, pairs, strict=True)


def _hash_row(*parts: str) -> int:
    content = "\x1f".join(parts).encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.sha256(content).digest()[:8], "big")


def _occurrences(hashes: np.ndarray) -> np.ndarray:
    """1 for the first row with this hash, 2 for the second ...: (rows,) int32."""
    order = np.argsort(hashes, kind="stable")
    ordered = hashes[order]
    starts = (
        np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]])) if len(ordered) else np.array([], int)
    )
    lengths = np.diff(np.append(starts, len(ordered)))
    counted = np.arange(len(ordered)) - np.repeat(starts, lengths) + 1
    occurrences = np.empty(len(ordered), np.int32)
    occurrences[order] = counted
    return occurrences
