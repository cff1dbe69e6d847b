"""Rows of a corpus as files: JSON Lines with what must be said of them beside, split so that nothing leaks.

A split depends on the content alone: a unit (a page, a source package) goes where the sha256 of its name says, whole,
so that it needs no seed and never moves. Test rows that stand in the training rows, word for word or nearly
(`core_model.duplicates`), are dropped.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from core_model.duplicates import overlap
from core_model.files import write_atomically

Row = Mapping[str, str]
PARTS = ("train", "validation", "test")
VALIDATION, TEST = 0.02, 0.04  # about these shares of the units are held out


def content_sha256(rows: Iterable[Row]) -> str:
    """The sha256 over the rows as JSON lines with sorted keys: what text was read, whatever archive it came in."""
    digest = hashlib.sha256()
    for row in rows:
        digest.update(json.dumps(row, ensure_ascii=False, sort_keys=True).encode() + b"\n")
    return digest.hexdigest()


def split(
    rows: Sequence[Row], *, unit: str, text: str, validation: float = VALIDATION, test: float = TEST, near: float = 0.8
) -> dict[str, list[Row]]:
    """Rows of "train", "validation" and "test"; the held-out ones without those that training rows (nearly) repeat.

    Args:
        unit: column whose rows stay together.
        text: column that is held against the training rows.
        validation, test: about these shares of the units are held out.
        near: Jaccard similarity of three-word shingles from which a row counts as repeated.
    """
    parts: dict[str, list[Row]] = {part: [] for part in PARTS}
    for row in rows:
        parts[part_of(row[unit], validation=validation, test=test)].append(row)
    known = [row[text] for row in parts["train"]]
    for part in ("validation", "test"):
        found = overlap(known, [row[text] for row in parts[part]], threshold=near)
        repeated = found.exact | found.near
        parts[part] = [row for row, drop in zip(parts[part], repeated, strict=True) if not drop]
    return parts


def write_rows(folder: str | Path, name: str, rows: Iterable[Row], about: Mapping[str, str]) -> Path:
    """Write NAME.jsonl and NAME.about.toml (`source`, `licence` ...) into a folder; returns the first.

    Raises: OutputUnwritable.
    """
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    said = "synthetic = false\n" + "".join(f"{key} = {json.dumps(text)}\n" for key, text in about.items())
    write_atomically(Path(folder) / f"{name}.about.toml", said)
    return write_atomically(Path(folder) / f"{name}.jsonl", lines)


def part_of(unit: str, *, validation: float = VALIDATION, test: float = TEST) -> str:
    """Where the sha256 of a unit's name sends it: "train", "validation" or "test"."""
    place = int.from_bytes(hashlib.sha256(unit.encode("utf-8", "surrogatepass")).digest()[:8], "big") / 2**64
    return "test" if place < test else "validation" if place < test + validation else "train"
