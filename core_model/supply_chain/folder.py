"""What lies in a folder, found with `lstat` alone: links, pipes, sockets and devices are seen before they are opened.

A pipe that is opened waits for ever, and a device may do anything. So only regular files are opened, and the opened
file is asked once more, since whoever made the folder may still be writing to it.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from core_model.supply_chain.issues import Issue, Kind, Level, for_shell, remove, shown

MOST_FILES = 100_000
SPECIAL = {
    stat.S_IFIFO: "a named pipe", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a character device",
    stat.S_IFBLK: "a block device",
}  # fmt: skip


@dataclass(frozen=True)
class Entry:
    """A regular file: `path` to open, `name` from the folder to show, size in bytes, and its mode bits."""

    path: Path
    name: str
    size: int
    mode: int


def walk(folder: Path) -> Iterator[Entry | Issue]:
    """Every regular file below a folder, and an issue for everything else; links to folders are never followed."""
    count = 0
    for parent, names, files in os.walk(folder, followlinks=False, onerror=None):
        names.sort()
        for name in sorted([*files, *(n for n in names if (Path(parent) / n).is_symlink())]):
            count += 1
            if count > MOST_FILES:
                yield Issue(
                    Kind.NOT_LOOKED_INTO, Level.MEDIUM, ".", None, f"more than {MOST_FILES:,} files",
                    "the rest was not looked at", "scan its folders one by one",
                )  # fmt: skip
                return
            yield from _entry(folder, Path(parent) / name)
        for name in names:
            if not os.access(Path(parent) / name, os.R_OK | os.X_OK):
                yield _unreadable(shown((Path(parent) / name).relative_to(folder)))


def _entry(folder: Path, path: Path) -> Iterator[Entry | Issue]:
    name = shown(path.relative_to(folder))
    try:
        status = path.lstat()
        if stat.S_ISLNK(status.st_mode):
            if (problem := _link(folder, path, name)) is not None:
                yield problem
                return
            status = path.stat()
    except OSError:
        yield _unreadable(name)
        return
    kind = stat.S_IFMT(status.st_mode)
    if kind in SPECIAL:
        yield Issue(
            Kind.SPECIAL_FILE, Level.HIGH, name, None, f"this is {SPECIAL[kind]}, not a file",
            "whoever opens it may wait for ever, or talk to a device or another process", remove(name),
        )  # fmt: skip
    elif kind == stat.S_IFREG and status.st_size == 0:
        if path.name not in (".gitkeep", "__init__.py"):
            yield Issue(
                Kind.EMPTY_FILE, Level.LOW, name, None, "the file has 0 bytes",
                "it was cut off while being copied, or holds a place for something", "fetch the file again",
            )  # fmt: skip
        yield Entry(path, name, 0, status.st_mode)
    elif kind == stat.S_IFREG:
        yield Entry(path, name, status.st_size, status.st_mode)


def _link(folder: Path, path: Path, name: str) -> Issue | None:
    """What is wrong with a link; None when it leads to a file of this folder, or of the hub's own cache."""
    target = shown(path.readlink())
    try:
        real = path.resolve(strict=True)
    except (OSError, RuntimeError):
        return Issue(
            Kind.LINK, Level.MEDIUM, name, None, f"a link to nothing ({target})",
            "what it will open is decided by whoever makes that file", remove(name),
        )  # fmt: skip
    if stays_inside(folder, real):
        return None if not real.is_dir() else Issue(
            Kind.LINK, Level.LOW, name, None, f"a link to another folder of this one ({target})",
            "copying it may copy the same files twice, or for ever", remove(name),
        )  # fmt: skip
    return Issue(
        Kind.LINK, Level.HIGH, name, None, f"a link out of the folder, to {target}",
        "whoever copies, shares or serves the folder gives away or changes a file of this machine",
        f"cp --remove-destination SOURCE {for_shell(name)} if you know the file, else {remove(name)}",
    )  # fmt: skip


def stays_inside(folder: Path, real: Path) -> bool:
    """Whether a file is of this folder, or of the cache that the hub's links lead to."""
    blobs = folder.parent.parent / "blobs" if folder.parent.name == "snapshots" else folder
    return real.is_relative_to(folder) or real.is_relative_to(blobs.resolve())


def open_regular(path: Path) -> BinaryIO:
    """Open a file for reading if it is a regular one, without ever waiting for it.

    Raises: OSError where it is none, or may not be read.
    """
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(f"{path} is no regular file")
    return os.fdopen(descriptor, "rb")


def _unreadable(name: str) -> Issue:
    return Issue(
        Kind.NOT_LOOKED_INTO, Level.MEDIUM, name, None, "it cannot be read", "what is in it is not known",
        f"chmod u+r {for_shell(name)}, and scan again",
    )  # fmt: skip
