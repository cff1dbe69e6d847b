"""Writing files so that a crash, a full disk or Ctrl-C never leaves half of one.

What is written goes to a neighbour first, is flushed to the disk, and then takes the place in one step: a reader sees
the previous content or the new one, never a mixture. A disk that is full or a folder that cannot be written is an
`OutputUnwritable` letter, and the previous content stands.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import shutil
from collections.abc import Collection, Iterator
from pathlib import Path

from core_model.errors import OutputUnwritable

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def write_atomically(path: str | Path, content: bytes | str) -> Path:
    """Write a file whole or not at all; missing parent folders are made. Text is written as UTF-8.

    Returns: the path written.
    Raises: OutputUnwritable when the disk is full or the place cannot be written; the previous file survives.
    """
    path = Path(path)
    with replace_file(path) as fresh:
        fresh.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)
    return path


def write_new(path: str | Path, content: bytes, *, mode: int) -> Path:
    """Write a file whole or not at all where none stands, with these permissions from its first byte on.

    Raises: OutputUnwritable when a file stands there already, which is left as it is, or the place cannot be written.
    """
    path = Path(path)
    with unwritable_letters(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = _neighbour(path)
        try:
            with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
                file.write(content)
            _flush(fresh)
            os.link(fresh, path)  # fails where a file stands; a rename would replace it
        except FileExistsError:
            raise OutputUnwritable(
                f"{path} is there already, and is not written over", mend="name another file, or move that one away"
            ) from None
        finally:
            fresh.unlink(missing_ok=True)
        _flush_folder(path.parent)
    return path


@contextlib.contextmanager
def replace_file(path: str | Path) -> Iterator[Path]:
    """Give a path to write a large file to; when the block ends well, that file takes the place of `path`.

    Raises: OutputUnwritable when the disk is full or the place cannot be written; the previous file survives.
    """
    path = Path(path)
    with unwritable_letters(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = _neighbour(path)
        try:
            yield fresh
            _flush(fresh)
            fresh.replace(path)
        finally:
            fresh.unlink(missing_ok=True)
        _flush_folder(path.parent)


@contextlib.contextmanager
def replace_folder(path: str | Path) -> Iterator[Path]:
    """Give an empty folder to write into; when the block ends well, it takes the place of `path` and all it held.

    When the block raises, `path` is as it was and the new folder is gone. Replacing an existing folder takes two
    renames (POSIX has no exchange): a crash between them leaves the old one beside it, as `.NAME.*.old`.

    Raises: OutputUnwritable when the disk is full or the place cannot be written.
    """
    path = Path(path)
    with unwritable_letters(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = _neighbour(path)
        try:
            fresh.mkdir()
            yield fresh
            _flush_files(fresh)
            previous = fresh.with_suffix(".old")
            if path.exists():
                path.replace(previous)
            try:
                fresh.replace(path)
            except OSError:
                if previous.exists():
                    previous.replace(path)
                raise
            shutil.rmtree(previous, ignore_errors=True)
            _flush_folder(path.parent)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)


def publish_files(source: Path, destination: Path, *, last: str, obsolete: Collection[str] = ()) -> None:
    """Move a finished folder's files into a folder that may be a mount point or hold files of others.

    `last` is the file without which a reader takes the folder for unfinished (`config.json`): it is removed first and
    moved in last, so that a crash on the way leaves a folder that nobody mistakes for a whole one, and the move can
    simply be done again. `source` and `destination` are on one disk.

    Args:
        obsolete: names in `destination` that belong to the previous content and must not outlive it.
    Raises: OutputUnwritable.
    """
    with unwritable_letters(destination):
        _flush_files(source)
        (destination / last).unlink(missing_ok=True)
        for gone in obsolete:
            (destination / gone).unlink(missing_ok=True)
        names = sorted(file.relative_to(source) for file in source.rglob("*") if file.is_file())
        for name in [*(n for n in names if n != Path(last)), Path(last)]:
            (destination / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).replace(destination / name)
        _flush_folder(destination)


def writable_folder(path: str | Path) -> Path:
    """Make a folder and prove that a file can be written in it, before hours of work depend on it.

    Raises: OutputUnwritable.
    """
    path = Path(path)
    with unwritable_letters(path):
        path.mkdir(parents=True, exist_ok=True)
        probe = _neighbour(path / "probe")
        try:
            probe.write_bytes(b"?")
        finally:
            probe.unlink(missing_ok=True)
    return path


@contextlib.contextmanager
def unwritable_letters(path: Path) -> Iterator[None]:
    """Turn what the operating system says about writing to `path` into an `OutputUnwritable` letter."""
    try:
        yield
    except Exception as error:
        number = _system_error(error)
        if number is None:
            raise
        if number in FULL:
            raise OutputUnwritable(
                f"{path}: the disk is full ({os.strerror(number)}); what stood there before is untouched",
                mend="make room on that disk, or name another place with --out",
            ) from error
        raise OutputUnwritable(
            f"{path} cannot be written ({os.strerror(number)})",
            mend="name a folder that you may write to with --out",
        ) from error


def _system_error(error: Exception) -> int | None:
    """The errno behind an exception; safetensors, written in Rust, wraps it in its own: "... (os error 28)"."""
    if isinstance(error, OSError):
        return error.errno
    said = re.search(r"\(os error (\d+)\)", str(error)) if type(error).__name__ == "SafetensorError" else None
    return int(said[1]) if said else None


def _neighbour(path: Path) -> Path:
    """A name beside `path` (same disk, so that a rename is one step) that nobody else uses."""
    return path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.new")


def _flush(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _flush_files(folder: Path) -> None:
    for written in folder.rglob("*"):
        if written.is_file() and not written.is_symlink():
            _flush(written)


def _flush_folder(path: Path) -> None:
    """Make the rename itself survive a power cut, where the file system allows it."""
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
