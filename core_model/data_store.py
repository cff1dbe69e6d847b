"""Where texts are kept: Arrow record batches, in memory while small, else in a file that is mapped and has no name.

The file is unlinked as soon as it is mapped. So a table can be larger than memory, no stale copy can be mistaken for a
file that has changed since, and no training text is left lying in a cache folder.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, overload

import numpy as np

from core_model.errors import OutputUnwritable

if TYPE_CHECKING:
    import pyarrow as pa

BATCH_ROWS = 4_096
BATCH_CHARACTERS = 4_000_000
SPILL_CHARACTERS = 64_000_000  # texts up to here stay in memory


class Texts(Sequence[str]):
    """A column of texts, read when asked for: `texts[3]`, `texts[10:20]` (a list), iteration block by block."""

    def __init__(self, column: pa.ChunkedArray, indices: np.ndarray | None = None) -> None:
        self._chunks = column.chunks
        self._starts = np.cumsum([0, *(len(chunk) for chunk in column.chunks)])
        self._indices = indices

    def __len__(self) -> int:
        return int(self._starts[-1]) if self._indices is None else len(self._indices)

    def take(self, indices: np.ndarray) -> Texts:
        """Some of these texts, as lazy as the whole."""
        chosen = np.asarray(indices, dtype=np.int64)
        chosen = np.where(chosen < 0, chosen + len(self), chosen)
        if len(chosen) and not (chosen.min() >= 0 and chosen.max() < len(self)):
            raise IndexError(f"row {int(chosen.max())} of {len(self)}")
        some = Texts.__new__(Texts)
        some._chunks, some._starts = self._chunks, self._starts
        some._indices = chosen if self._indices is None else self._indices[chosen]
        return some

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self._at(i) for i in range(*index.indices(len(self)))]
        position = int(index) + len(self) if index < 0 else int(index)
        if not 0 <= position < len(self):
            raise IndexError(f"row {index} of {len(self)}")
        return self._at(position)

    def __iter__(self) -> Iterator[str]:
        if self._indices is not None:
            yield from (self._at(i) for i in range(len(self)))
            return
        for chunk in self._chunks:
            for start in range(0, len(chunk), 256):  # small blocks: a text may be long
                yield from chunk.slice(start, 256).to_pylist()

    def _at(self, position: int) -> str:
        row = position if self._indices is None else int(self._indices[position])
        chunk = int(np.searchsorted(self._starts, row, side="right")) - 1
        text: str = self._chunks[chunk][row - int(self._starts[chunk])].as_py()
        return text


class TextWriter:
    """Takes texts one row at a time and hands them back as lazy columns.

    Args:
        columns: how many texts a row has: 1, or 2 with a pair.
        spill_characters: beyond this many characters the texts go to a file.
    """

    def __init__(self, columns: int, *, spill_characters: int = SPILL_CHARACTERS) -> None:
        import pyarrow as pa

        self._pa = pa
        self._schema = pa.schema([(str(i), pa.large_string()) for i in range(columns)])
        self._rows: list[tuple[str, ...]] = []
        self._pending = 0
        self._total = 0
        self._spill_characters = spill_characters
        self._batches: list[pa.RecordBatch] = []
        self._path: Path | None = None
        self._writer: pa.RecordBatchFileWriter | None = None

    def append(self, row: tuple[str, ...]) -> None:
        """One more row.

        Raises: UnicodeEncodeError when a text holds half of a surrogate pair; OutputUnwritable when the disk is full.
        """
        for text in row:
            if not text.isascii():
                text.encode()  # Arrow holds UTF-8; better here, where the row is known, than in a batch
            self._pending += len(text)
        self._rows.append(row)
        if len(self._rows) >= BATCH_ROWS or self._pending >= BATCH_CHARACTERS:
            self._flush()

    def finish(self) -> tuple[Texts, ...]:
        """The columns, each (rows,)."""
        self._flush()
        if self._writer is None:
            table = self._pa.Table.from_batches(self._batches, schema=self._schema)
        else:
            assert self._path is not None  # noqa: S101  # set together with the writer
            with _full_disk(self._path):
                self._writer.close()
            self._writer = None
            table = self._pa.ipc.open_file(self._pa.memory_map(str(self._path))).read_all()
            self.discard()
        return tuple(Texts(column) for column in table.columns)

    def discard(self) -> None:
        """Remove the file's name; what is mapped stays readable until the last reader lets go."""
        if self._writer is not None:
            with contextlib.suppress(OSError):
                self._writer.close()
        if self._path is not None:
            with contextlib.suppress(OSError):  # some systems keep a mapped file until the process ends
                self._path.unlink()

    def _flush(self) -> None:
        if not self._rows:
            return
        columns = [self._pa.array(column, self._pa.large_string()) for column in zip(*self._rows, strict=True)]
        self._batches.append(self._pa.record_batch(columns, schema=self._schema))
        self._total += self._pending
        self._rows, self._pending = [], 0
        if self._writer is None and self._total > self._spill_characters:
            self._open()
        if self._writer is not None:
            assert self._path is not None  # noqa: S101
            with _full_disk(self._path):
                for batch in self._batches:
                    self._writer.write_batch(batch)
            self._batches = []

    def _open(self) -> None:
        handle, name = tempfile.mkstemp(suffix=".arrow", prefix="rows-", dir=cache_folder("datasets"))
        os.close(handle)
        self._path = Path(name)
        with _full_disk(self._path):
            self._writer = self._pa.ipc.new_file(name, self._schema)


def cache_folder(subject: str) -> Path:
    """A writable folder for what can be made again: `$ABOVEBOARD_CACHE_DIR`, the user's cache, or a temporary one."""
    import platformdirs

    wished = os.environ.get("ABOVEBOARD_CACHE_DIR") or platformdirs.user_cache_dir("aboveboard")
    folder = Path(wished) / subject
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError:  # read-only home, as in many containers
        folder = (
            Path(tempfile.gettempdir()) / f"aboveboard-{os.getuid() if hasattr(os, 'getuid') else 'user'}" / subject
        )
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return folder


@contextlib.contextmanager
def _full_disk(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        with contextlib.suppress(OSError):
            path.unlink()
        raise OutputUnwritable(
            f"{path.parent} cannot take the rows of a large file: {error.strerror or error}",
            mend="free space there, or point ABOVEBOARD_CACHE_DIR to a larger disk",
        ) from None
