"""The evidence rows of two records, joined: each file held to its record by hash, each row found again by its name."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from audit.outcomes import Outcomes, from_columns
from audit.paired_outcomes import PairedOutcomes, paired_outcomes
from audit.paired_rows import PairedRows, paired_answers
from audit.paired_statistics import PairedStatistics, paired_statistics
from audit.rows import SIGNATURE, WORDS
from audit.statistics import Estimate
from reports.record import Metric, Record

if TYPE_CHECKING:
    import pandas as pd


class Unpaired(Exception):
    """Why two records' rows cannot be joined, in a few words."""


@dataclass(frozen=True)
class JoinedEvidence:
    """The rows that both records hold: what the models said of them, and what they did in the audits."""

    answers: PairedRows | PairedStatistics
    outcomes: PairedOutcomes

    def difference(self, audit: str, metric: Metric, random: np.random.Generator) -> tuple[Estimate | None, str | None]:
        """B minus A of a metric, paired; None where the rows cannot give it. And how to read it, or why not."""
        found, reason = self.outcomes.difference(audit, metric, random)
        if found is not None or reason is not None:
            return found, reason
        found = self.answers.difference(metric, random)
        return found, None if found else "this number cannot be computed from the evidence rows: intervals combined"


def paired_rows(
    a: Record, b: Record, folder_a: Path | None, folder_b: Path | None, *, names: tuple[str, str] = ("A", "B")
) -> tuple[JoinedEvidence | None, str | None]:
    """The rows of two records joined, or why they cannot be; `names` is what the two are called there."""
    try:
        sides = zip(names, (a, b), (folder_a, folder_b), strict=True)
        paths = [_evidence(name, record, folder) for name, record, folder in sides]
        if a.subject.labels != b.subject.labels:
            raise Unpaired("the two checkpoints have different labels")
        left, right = _joined(*paths)
        answers: PairedRows | PairedStatistics
        if WORDS in left and WORDS in right:
            answers = paired_statistics(left, right, _one_signature(*paths))
        else:
            answers = paired_answers(left, right, a)
        of_a, of_b = (from_columns(frame, _metadata(path)) for frame, path in zip((left, right), paths, strict=True))
        return JoinedEvidence(answers, paired_outcomes(of_a, of_b, left, a.subject.labels, names=names)), None
    except Unpaired as why:
        return None, str(why)


def outcomes_of(record: Record, folder: Path) -> dict[str, Outcomes]:
    """What rows did in the audits of one record, by audit; nothing where its evidence file is not its own."""
    import pandas as pd

    try:
        path = _evidence("the record", record, folder)
    except Unpaired:
        return {}
    return dict(from_columns(pd.read_parquet(path), _metadata(path)))


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
    return {key.removeprefix(SIGNATURE): value for key, value in _metadata(path).items() if key.startswith(SIGNATURE)}


def _metadata(path: Path) -> dict[str, str]:
    """What stands in the file's schema."""
    import pyarrow.parquet as pq

    return {key.decode(): value.decode() for key, value in (pq.read_schema(path).metadata or {}).items()}
