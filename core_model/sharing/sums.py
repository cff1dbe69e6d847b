"""Do the files hash to what stands beside them? SHA256SUMS, and the hashes that the records of a training carry."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from core_model.checkpoint_files import checked, hash_once
from core_model.errors import BadInput
from core_model.sharing.folder import read_if_sound

SUMS = "SHA256SUMS"
LINE = re.compile(r"([0-9a-fA-F]{64}) [ *](.+)")  # as `sha256sum` writes and reads it
LARGEST = 16 * 2**20  # bytes of a file of sums
WEIGHTS = "model.safetensors"
RECORDS = {"training_record.json": "model_sha256", "federated_record.json": "model_sha256"}

State = Literal["agrees", "differs", "is missing", "cannot be read"]


@dataclass(frozen=True)
class Sum:
    """One hash that something says of a file, and how the file stands to it."""

    said_by: str
    file: str
    state: State


def sums_of(folder: Path) -> list[Sum] | None:
    """What SHA256SUMS says; None where there is none. A line that is no sum is one that cannot be read."""
    path = _sound(folder, SUMS)
    if path is None:
        return None
    with path.open("rb") as file:
        lines = file.read(LARGEST).decode("utf-8", "replace").splitlines()
    found = []
    for number, line in enumerate(lines, start=1):
        if line.strip():
            match = LINE.fullmatch(line)
            found.append(
                _held(folder, SUMS, match[2], match[1].lower())
                if match
                else Sum(SUMS, f"line {number}", "cannot be read")
            )
    return found


def unlisted(folder: Path, names: list[str]) -> list[str]:
    """Files of the folder that SHA256SUMS does not list."""
    listed = {one.file for one in sums_of(folder) or ()}
    return [name for name in names if name not in listed and name != SUMS]


def sums_of_records(folder: Path) -> list[Sum]:
    """What the records of training and federation say of the files beside them."""
    found: list[Sum] = []
    for name, field in RECORDS.items():
        record = read_if_sound(folder, name)
        files = record.get("files")
        said = dict(files) if isinstance(files, dict) else {}
        said.setdefault(WEIGHTS, record.get(field))
        found += [
            _held(folder, name, file, sha256)
            for file, sha256 in said.items()
            if isinstance(sha256, str) and re.fullmatch(r"[0-9a-f]{64}", sha256)
        ]
    return found


def held(folder: Path, said_by: str, hashes: dict[str, str]) -> Iterator[Sum]:
    """The same for hashes of any other source, by name."""
    for file, sha256 in hashes.items():
        yield _held(folder, said_by, file, sha256)


def _held(folder: Path, said_by: str, file: str, sha256: str) -> Sum:
    path = _sound(folder, file)
    if path is None:
        return Sum(said_by, file, "is missing")
    return Sum(said_by, file, "agrees" if hash_once(path) == sha256 else "differs")


def _sound(folder: Path, name: str) -> Path | None:
    """A file of this folder; None for a name that leads out of it, whatever a record says."""
    if Path(name).is_absolute() or ".." in Path(name).parts or "\0" in name:
        return None
    try:
        return checked(folder, name)
    except (BadInput, OSError, ValueError):
        return None
