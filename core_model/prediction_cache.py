"""What a model has already said, by what it was asked: in memory always, on disk where a folder is given.

On disk there is one SQLite file a scope. The scope is whatever the numbers depend on beside the input: checkpoint hash,
length limit, number type, versions of the libraries. Several processes may share a file (write-ahead log, waiting for
locks); a killed process loses the last second at most; a damaged file is begun anew; where nothing can be written, the
cache stays in memory and says so once. A record holds numbers (logits, log-probabilities, spans, ids of the tokens that
a model wrote), the request that computed them and a checksum; it holds no text, and its key is a hash. What a model
wrote can be read again by whoever has its tokenizer: the folder is open to its owner alone. Nothing is pickled.

The first write wins, here and between processes: an answer once given is not given differently later.

Size: the folder is kept under `max_bytes` by deleting the scopes used longest ago when one is opened (never the one in
use, so that a resumed run finds its own answers); a file that alone reaches the limit takes no more. Memory holds the
newest `max_rows` answers, or fewer where these are long (`MEMORY_BYTES`).
"""

from __future__ import annotations

import json
import os
import sqlite3
import time
import warnings
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Protocol
from zlib import crc32

import numpy as np
import platformdirs

from core_model.onnx_graph import graph_of

REQUEST_BYTES = 8
SECONDS_BETWEEN_COMMITS = 1.0
SECONDS_TO_WAIT_FOR_A_LOCK = 30.0
MEMORY_BYTES = 500_000_000
BYTES_BESIDE_A_RECORD = 150  # its key, two objects and a place in a dictionary
KEYS_PER_QUERY = 500  # SQLite takes at least 999 parameters
FORWARD_VERSION = 1  # raised when our own way through the model changes the last bits


class Named(Protocol):
    """As much of a checkpoint as its scope needs."""

    @property
    def sha256(self) -> str:
        """Content hash."""
        ...

    @property
    def max_length(self) -> int:
        """Tokens that it takes at once."""
        ...


def scope_of(checkpoint: Named, dtype: str = "float32") -> dict[str, str | int]:
    """Everything that a checkpoint's answers depend on, beside the input and the device (which is in the key)."""
    engine = "torch" if graph_of(checkpoint) is None else "onnxruntime"
    return {
        "checkpoint": checkpoint.sha256,
        "max_length": checkpoint.max_length,
        "dtype": dtype,
        "forward": FORWARD_VERSION,
        **{name: _version(name) for name in (engine, "transformers", "tokenizers")},
    }


def cache_folder() -> Path:
    """Where predictions are kept: $ABOVEBOARD_CACHE_DIR/predictions, else in the user's cache folder."""
    base = os.environ.get("ABOVEBOARD_CACHE_DIR") or platformdirs.user_cache_dir("aboveboard", appauthor=False)
    return Path(base) / "predictions"


class PredictionCache:
    """Answers by key. `PredictionCache()` lives in memory alone; see `open` and `default` for the disk.

    Args:
        max_rows: answers kept in memory, about 200 bytes each; the oldest go first.
    """

    def __init__(self, *, max_rows: int = 1_000_000) -> None:
        self.max_rows = max_rows
        self.path: Path | None = None
        self._scope: str | None = None
        self._memory: dict[bytes, bytes] = {}  # key -> request, then the record
        self._memory_bytes = 0
        self._pending: dict[bytes, bytes] = {}  # not yet on disk
        self._disk: sqlite3.Connection | None = None
        self._writable = False
        self._max_bytes = 0
        self._committed = time.monotonic()

    @classmethod
    def default(cls, checkpoint: Named) -> PredictionCache:
        """This checkpoint's cache in the user's cache folder."""
        return cls.open(cache_folder(), scope_of(checkpoint))

    @classmethod
    def open(
        cls,
        folder: str | Path,
        scope: Mapping[str, str | int],
        *,
        max_rows: int = 1_000_000,
        max_bytes: int = 2_000_000_000,
    ) -> PredictionCache:
        """The cache of one scope in `folder`, which is made; in memory alone, with a warning, where that fails.

        Args:
            folder: holds one file a scope.
            scope: what the answers depend on beside the input: `scope_of(checkpoint)`.
            max_rows: answers kept in memory.
            max_bytes: size of the folder; about 60 bytes an answer of two classes.
        """
        cache = cls(max_rows=max_rows)
        cache.bind(scope)
        name = f"{str(scope.get('checkpoint', ''))[:12]}-{sha256(_canonical(scope).encode()).hexdigest()[:20]}.sqlite"
        cache.path = Path(folder).expanduser() / name
        cache._max_bytes = max_bytes
        try:
            cache.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            _make_room(cache.path, max_bytes)
        except OSError as error:
            cache._give_up(error)
            return cache
        cache._connect()
        return cache

    def bind(self, scope: Mapping[str, str | int]) -> None:
        """Say whose answers these are.

        Raises: ValueError when the cache already holds another scope's: two models must not share answers.
        """
        text = _canonical(scope)
        if self._scope not in (None, text):
            raise ValueError(f"this cache holds answers of another scope: {self._scope}, not {text}")
        self._scope = text

    def lookup(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """Those of `keys` that are known, each with its record behind the request (8 bytes) that computed it."""
        found = {key: record for key in keys if (record := self._memory.get(key)) is not None}
        missing = [key for key in keys if key not in found]
        if self._disk is not None and missing:
            on_disk = self._from_disk(missing)
            found.update(on_disk)
            self._remember(on_disk.items())
        return found

    def store(self, keys: Sequence[bytes], records: Sequence[bytes] | np.ndarray, request: bytes) -> None:
        """Keep the answers of one batch; those already known stay as they are.

        Args:
            keys: (rows,); records: (rows,) 4 bytes or more each, or (rows, numbers) as an array in C order;
            request: 8 bytes that name who asked.
        """
        new = {
            key: request + bytes(record) for key, record in zip(keys, records, strict=True) if key not in self._memory
        }
        self._remember(new.items())
        if self._disk is not None and self._writable:
            self._pending.update(new)

    def flush(self, *, force: bool = True) -> dict[bytes, bytes]:
        """Write what is pending; without `force` only when a second has passed since the last time.

        Returns: records that another process wrote first, and which therefore hold instead of ours.
        """
        if not self._pending or not (force or time.monotonic() - self._committed > SECONDS_BETWEEN_COMMITS):
            return {}
        pending, self._pending = self._pending, {}
        theirs = self._to_disk(pending)
        self._remember((key, record) for key, record in theirs.items() if key in self._memory)
        self._committed = time.monotonic()
        return theirs

    def close(self) -> None:
        """Write what is pending and let go of the file."""
        self.flush()
        if self._disk is not None:
            self._disk.close()
            self._disk = None

    def _remember(self, records: Iterable[tuple[bytes, bytes]]) -> None:
        for key, record in records:
            self._memory_bytes += len(record) + BYTES_BESIDE_A_RECORD
            if (old := self._memory.get(key)) is not None:
                self._memory_bytes -= len(old) + BYTES_BESIDE_A_RECORD
            self._memory[key] = record
        rows, size, too_old = len(self._memory), self._memory_bytes, []
        for key, record in self._memory.items():  # dictionaries keep their order: the oldest stand first
            if rows <= self.max_rows and size <= MEMORY_BYTES:
                break
            too_old.append(key)
            rows, size = rows - 1, size - len(record) - BYTES_BESIDE_A_RECORD
        for key in too_old:
            del self._memory[key]
        self._memory_bytes = size

    # ---- the disk

    def _connect(self) -> None:
        assert self.path is not None  # noqa: S101  `open` has set it
        for attempt in (1, 2):
            try:
                self._disk = _opened(self.path, self._max_bytes)
                self._writable = True
                os.utime(self.path)  # used now: the last to be deleted for room
                return
            except sqlite3.OperationalError as error:
                self._give_up(error)
                return
            except sqlite3.DatabaseError as error:
                if attempt == 2:
                    self._give_up(error)
                    return
                self._delete_damaged(error)
            except OSError as error:
                self._give_up(error)
                return

    def _from_disk(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        found: dict[bytes, bytes] = {}
        try:
            for start in range(0, len(keys), KEYS_PER_QUERY):
                some = keys[start : start + KEYS_PER_QUERY]
                marks = ",".join("?" * len(some))
                query = f"SELECT key, record FROM predictions WHERE key IN ({marks})"  # noqa: S608  marks are "?"
                assert self._disk is not None  # noqa: S101
                for key, sealed in self._disk.execute(query, some):
                    found[key] = _unsealed(key, sealed)
        except sqlite3.OperationalError as error:
            self._give_up(error)
        except sqlite3.DatabaseError as error:
            self._begin_anew(error)
            return {}
        return found

    def _to_disk(self, records: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
        if self._disk is None:
            return {}
        try:
            with self._disk:  # one transaction: a batch is there as a whole or not at all
                written = self._disk.executemany(
                    "INSERT INTO predictions VALUES (?, ?) ON CONFLICT DO NOTHING",
                    [(key, _sealed(key, record)) for key, record in records.items()],
                ).rowcount
        except sqlite3.OperationalError as error:
            self._stop_writing(error)
            return {}
        except sqlite3.DatabaseError as error:
            self._begin_anew(error)
            return {}
        if written == len(records):
            return {}
        held = self._from_disk(list(records))
        return {key: record for key, record in held.items() if record != records[key]}

    def _begin_anew(self, error: Exception) -> None:
        if self._disk is not None:
            with suppress(sqlite3.Error):
                self._disk.close()
            self._disk = None
        self._delete_damaged(error)
        self._connect()

    def _delete_damaged(self, error: Exception) -> None:
        assert self.path is not None  # noqa: S101
        warnings.warn(f"{self.path} is damaged ({error}); the cache of predictions is begun anew", stacklevel=2)
        for file in (self.path, *_companions(self.path)):
            with suppress(OSError):
                file.unlink(missing_ok=True)

    def _stop_writing(self, error: Exception) -> None:
        warnings.warn(
            f"{self.path} takes no more predictions ({error}); new ones stay in memory and end with this process",
            stacklevel=2,
        )
        self._writable = False
        self._pending.clear()

    def _give_up(self, error: Exception) -> None:
        warnings.warn(
            f"no cache of predictions at {self.path} ({error}); they stay in memory and end with this process. "
            "Try: ABOVEBOARD_CACHE_DIR=FOLDER",
            stacklevel=2,
        )
        self._disk, self._writable = None, False
        self._pending.clear()


def _opened(path: Path, max_bytes: int) -> sqlite3.Connection:
    """A connection to a file that can be written, with its table."""
    disk = sqlite3.connect(path, timeout=SECONDS_TO_WAIT_FOR_A_LOCK, check_same_thread=False)
    try:
        _enter_wal(disk)
        disk.execute("PRAGMA synchronous=NORMAL")  # after a power cut the last commits may lack; no file is damaged
        page = disk.execute("PRAGMA page_size").fetchone()[0]
        disk.execute(f"PRAGMA max_page_count={max(16, max_bytes // page)}")
        with disk:
            disk.execute(
                "CREATE TABLE IF NOT EXISTS predictions (key BLOB PRIMARY KEY, record BLOB NOT NULL) WITHOUT ROWID"
            )
            disk.execute("SELECT key, record FROM predictions LIMIT 1").fetchone()
    except BaseException:
        disk.close()
        raise
    return disk


def _enter_wal(disk: sqlite3.Connection) -> None:
    """Several processes may do this at once; SQLite then answers "locked" without waiting."""
    deadline = time.monotonic() + SECONDS_TO_WAIT_FOR_A_LOCK
    while True:
        try:
            disk.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def _make_room(path: Path, max_bytes: int) -> None:
    """Delete the scopes that were used longest ago until the folder is under its size; never `path` itself."""
    files = sorted(path.parent.glob("*.sqlite"), key=lambda file: file.stat().st_mtime)
    sizes = {file: sum(f.stat().st_size for f in (file, *_companions(file)) if f.exists()) for file in files}
    total = sum(sizes.values())
    for file in files:
        if total <= max_bytes:
            return
        if file != path:
            total -= sizes[file]
            for part in (file, *_companions(file)):
                part.unlink(missing_ok=True)


def _companions(path: Path) -> list[Path]:
    return [path.with_name(path.name + suffix) for suffix in ("-wal", "-shm")]


def _sealed(key: bytes, record: bytes) -> bytes:
    return record + crc32(key + record).to_bytes(4, "little")


def _unsealed(key: bytes, sealed: bytes) -> bytes:
    record, seal = sealed[:-4], sealed[-4:]
    if len(record) < REQUEST_BYTES + 4 or crc32(key + record).to_bytes(4, "little") != seal:
        raise sqlite3.DatabaseError("a record does not fit its checksum")
    return record


def _canonical(scope: Mapping[str, str | int]) -> str:
    return json.dumps(dict(scope), sort_keys=True)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"
