"""What became of single rows in an audit, kept so that two runs can be paired number by number.

The model's plain answers stand in the evidence file anyway. What a row did under an attack or under noise does not: an
audit hands it on beside the metric that is its mean, and it becomes a column of that file, empty at rows that do not
count. `audit.paired_outcomes` reads two such files side by side.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

OUTCOME, PROTOCOL = "outcome ", "protocol "


@dataclass(frozen=True, eq=False)
class Outcome:
    """What each row counted, for a metric that is the mean of it.

    Attributes:
        rows: (k,) places in the data, none twice.
        values: (k,) 0 or 1 of a share; -1, 0 or 1 of a difference of two shares.
        protocol: what must be alike in two runs before a row of one may be held against the same row of the other: how
            hard the attack is. Not the seed, nor how many rows are drawn.
    """

    rows: np.ndarray
    values: np.ndarray
    protocol: str = ""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Outcome) and (
            np.array_equal(self.rows, other.rows)
            and np.array_equal(self.values, other.values)
            and self.protocol == other.protocol
        )

    __hash__ = None  # type: ignore[assignment]


Outcomes = Mapping[str, Outcome]
"""Metric.key -> what its rows counted."""


def refuse_unfit(outcomes: Outcomes, *, keys: set[str], rows: int) -> None:
    """Raises: ValueError for an outcome of no metric, of rows that are not there or come twice, or of other values."""
    for key, outcome in outcomes.items():
        places, values = np.asarray(outcome.rows), np.asarray(outcome.values, dtype=np.float64)
        if key not in keys:
            raise ValueError(f"outcomes of {key!r}, which is no metric of this audit")
        if places.shape != values.shape or places.ndim != 1:
            raise ValueError(f"outcomes of {key}: {places.shape} rows and {values.shape} values")
        if len(np.unique(places)) < len(places) or (len(places) and not 0 <= places.min() <= places.max() < rows):
            raise ValueError(f"outcomes of {key}: rows come twice, or are not in the data")
        if not np.isin(values, (-1, 0, 1)).all():
            raise ValueError(f"outcomes of {key}: a row counts -1, 0 or 1")


def as_columns(outcomes: Mapping[str, Outcomes], rows: int) -> tuple[dict[str, Any], dict[str, str]]:
    """Columns "outcome AUDIT METRIC" of the evidence file, int8 with nulls, and "protocol ..." of its schema.

    Args:
        outcomes: audit -> its outcomes. rows: of the data.
    """
    import pyarrow as pa

    columns, metadata = {}, {}
    for audit, its in outcomes.items():
        for key, outcome in its.items():
            values, absent = np.zeros(rows, dtype=np.int8), np.ones(rows, dtype=bool)
            values[outcome.rows], absent[outcome.rows] = outcome.values, False
            columns[f"{OUTCOME}{audit} {key}"] = pa.array(values, mask=absent)
            metadata[f"{PROTOCOL}{audit} {key}"] = outcome.protocol
    return columns, metadata


def from_columns(frame: pd.DataFrame, metadata: Mapping[str, str]) -> dict[str, dict[str, Outcome]]:
    """The inverse: audit -> its outcomes, of an evidence file's rows; what is no outcome counts nowhere."""
    from pandas.api.types import is_numeric_dtype

    found: dict[str, dict[str, Outcome]] = {}
    for column in frame.columns:
        if column.startswith(OUTCOME) and is_numeric_dtype(frame[column]):
            name = column.removeprefix(OUTCOME)
            audit, _, key = name.partition(" ")
            values = frame[column].to_numpy(dtype=np.float64, na_value=np.nan)
            rows = np.flatnonzero(np.isin(values, (-1, 0, 1)))
            outcome = Outcome(rows, values[rows].astype(np.int8), metadata.get(f"{PROTOCOL}{name}", ""))
            found.setdefault(audit, {})[key] = outcome
    return found
