"""What a scan found: where, what, why it matters, how to mend it. Text of the files stands in it, and is hostile."""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass
from enum import StrEnum

LONGEST = 160  # characters quoted of a file


class Level(StrEnum):
    """How much an issue matters.

    HIGH: whoever opens or runs the file as it is meant to be can be attacked. MEDIUM: this could not be ruled out, or
    it needs a second step. LOW: not dangerous as far as is known, and better gone.
    """

    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


class Kind(StrEnum):
    """What an issue is about; findings are grouped by it."""

    PICKLE = "pickle"
    REMOTE_CODE = "remote-code"
    TEMPLATE = "template"
    GRAPH = "graph"
    ARCHIVE = "archive"
    LINK = "link"
    SPECIAL_FILE = "special-file"
    EMPTY_FILE = "empty-file"
    WEIGHTS = "weights"
    EXECUTABLE = "executable"
    SECRET = "secret"  # noqa: S105 - the kind's name
    ADDRESS = "address"
    NOT_LOOKED_INTO = "not-looked-into"


@dataclass(frozen=True)
class Issue:
    """One thing in one file.

    Attributes:
        kind, level: what it is about, and how much it matters.
        file: path from the folder; a member of an archive is `archive!member`.
        offset: byte in that file or member where it stands; None where it is the file as such.
        what: what was found; why: what it can do; mend: what to type or change.
    """

    kind: Kind
    level: Level
    file: str
    offset: int | None
    what: str
    why: str
    mend: str


def shown(name: str | os.PathLike[str]) -> str:
    """A file's name in characters that can be seen: others, bytes that are no text, `\\` and `!` stand as escapes.

    `!` parts an archive from its member, so that no name may hold it.
    """
    return "".join(_seen(character) for character in os.fsencode(name).decode("utf-8", "surrogateescape"))


def _seen(character: str) -> str:
    code = ord(character)
    if character in "\\!" or 0xDC80 <= code <= 0xDCFF:
        return "\\\\" if character == "\\" else f"\\x{code & 0xFF:02x}"
    return character if character.isprintable() else character.encode("unicode_escape").decode()


def for_shell(name: str) -> str:
    """A shown name as one word of a shell: escapes are read again by `$'...'`."""
    return "$'" + name.replace("'", "\\'") + "'" if "\\" in name else shlex.quote(name)


def quoted(text: str) -> str:
    """A short piece of a file's text, with everything unusual escaped."""
    cut = text if len(text) <= LONGEST else text[:LONGEST] + " ..."
    return ascii(cut)


def remove(file: str) -> str:
    """The command that removes a file, or the archive that it stands in."""
    return f"rm -- {for_shell(file.partition('!')[0])}"
