"""The evidence rows of two records, joined: each file held to its record by hash, each row found again by its name."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from audit.paired_rows import PairedRows, paired_answers
from audit.paired_statistics import PairedStatistics, paired_statistics
from audit.rows import SIGNATURE, WORDS
from reports.record import Record

if TYPE_CHECKING:
    import pandas as pd


class Unpaired(Exception):
    """Why two records' rows cannot be joined, in a few words."""


def paired_rows(
    a: Record, b: Record, folder_a: Path | None, folder_b: Path | None, *, names: tuple[str, str] = ("A", "B")
) -> tuple[PairedRows | PairedStatistics | None, str | None]:
    """The rows of two records joined, or why they cannot be; `names` is what the two are called there."""
    try:
        sides = zip(names, (a, b), (folder_a, folder_b), strict=True)
        paths = [_evidence(name, record, folder) for name, record, folder in sides]
        if a.subject.labels != b.subject.labels:
            raise Unpaired("the two checkpoints have different labels")
        left, right = _joined(*paths)
        if WORDS in left and WORDS in right:
            return paired_statistics(left, right, _one_signature(*paths)), None
        return paired_answers(left, right, a), None
    except Unpaired as why:
        return None, str(why)


def _evidence(name: str, record: Record, folder: Path | None) -> Path:
    """The file that a record names, found to be that file."""
    if record.evidence is None or folder is None:
        raise Unpaired(f"{name} has no evidence rows")
    path = folder / record.evidence.file
    if not path.is_file():
        raise Unpaired(f"{record.evidence.file} of {name} does not stand beside its record")
    if hashlib.sha256(path.read_bytes()).hexdigest() != record.evidence.sha256:
        raise Unpaired(f"{record.evidence.file} of {name} is not the file that its record names")
    return path


def _joined(a: Path, b: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The rows that both files have, in one order; of rows with one name the first goes with the first."""
    import pandas as pd

    left, right = (pd.read_parquet(path) for path in (a, b))
    for frame in (left, right):
        frame["occurrence"] = frame.groupby("row").cumcount()
    left, right = (frame.set_index(["row", "occurrence"]) for frame in (left, right))
    common = left.index.intersection(right.index)
    if len(common) < 2:
        raise Unpaired("the two records share no rows")
    return left.loc[common], right.loc[common]


def _one_signature(a: Path, b: Path) -> dict[str, str]:
    """Metric -> signature, the same in both files."""
    here, there = _signatures(a), _signatures(b)
    differing = [name for name in here if there.get(name) != here[name]]
    if differing:
        raise Unpaired(f"{', '.join(differing)} were counted under two signatures")
    return here


def _signatures(path: Path) -> dict[str, str]:
    import pyarrow.parquet as pq

    metadata = pq.read_schema(path).metadata or {}
    named = {key.decode(): value.decode() for key, value in metadata.items()}
    return {key.removeprefix(SIGNATURE): value for key, value in named.items() if key.startswith(SIGNATURE)}
