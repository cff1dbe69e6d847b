"""Programs among the weights: told by their first bytes, by their names, and by the mode bits that let them run."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import PurePosixPath

from core_model.supply_chain.content import PROGRAMS, Content
from core_model.supply_chain.issues import Issue, Kind, Level, for_shell, remove

SUFFIXES = {
    ".sh", ".bash", ".bat", ".cmd", ".ps1", ".vbs", ".js", ".exe", ".dll", ".so", ".dylib", ".com", ".scr", ".msi",
    ".jar", ".class", ".wasm", ".app", ".desktop", ".lnk",
}  # fmt: skip
ANYONE = stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH


def scan_program(name: str, content: Content) -> Issue | None:
    """A program by its content, or by a name that a double click runs."""
    suffix = PurePosixPath(name.lower()).suffix
    if content in PROGRAMS:
        level = Level.MEDIUM if content is Content.SCRIPT else Level.HIGH
        return Issue(
            Kind.EXECUTABLE, level, name, 0, f"this is {content}",
            "a checkpoint needs no program; something may run it", remove(name),
        )  # fmt: skip
    if suffix in SUFFIXES:
        return Issue(
            Kind.EXECUTABLE, Level.MEDIUM, name, 0, f"its name makes it a program ({suffix})",
            "a checkpoint needs no program; a double click may run it", remove(name),
        )  # fmt: skip
    return None


def scan_modes(files: list[tuple[str, int]]) -> Iterator[Issue]:
    """Files that are allowed to run; none told where all are, as on file systems that know no modes."""
    running = [name for name, mode in files if mode & ANYONE]
    if len(running) < len(files):
        for name in running:
            yield Issue(
                Kind.EXECUTABLE, Level.LOW, name, None, "the file is allowed to run (mode bits)",
                "data need not be", f"chmod a-x {for_shell(name)}",
            )  # fmt: skip
    for name, mode in files:
        if mode & (stat.S_ISUID | stat.S_ISGID):
            yield Issue(
                Kind.EXECUTABLE, Level.HIGH, name, None, "the file runs with its owner's rights (setuid or setgid)",
                "whoever runs it becomes another user", f"chmod ug-s {for_shell(name)}",
            )  # fmt: skip
