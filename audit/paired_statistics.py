"""Two systems' statistics of the same rows, and the paired difference of any metric made of their sums."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from audit.corpus_estimates import paired_difference
from audit.rows import GROUP, STATISTIC, WORDS
from audit.statistics import Estimate
from core_model.evaluation import VALUES, remade
from reports.record import Metric

if TYPE_CHECKING:
    import pandas as pd

LENGTH_SLICES = ("words", "text_length")
RANGE = re.compile(r"(\d+) to (\d+)( words)?")
ON_TEST_ROWS = "test_"  # generalization's name for the same number


@dataclass(frozen=True)
class PairedStatistics:
    """The rows that both records hold.

    Attributes:
        words: (rows,) words of each text.
        groups: column -> (rows,) of str.
        signatures: of each metric.
        a, b: metric -> (rows, k) statistics of each system.
    """

    words: np.ndarray
    groups: Mapping[str, np.ndarray]
    signatures: Mapping[str, str]
    a: Mapping[str, np.ndarray]
    b: Mapping[str, np.ndarray]

    def difference(self, metric: Metric, random: np.random.Generator) -> Estimate | None:
        """B minus A of a metric, paired; None where the rows cannot give it."""
        name, rows = metric.name.removeprefix(ON_TEST_ROWS), self._slice(metric)
        if rows is None or name not in VALUES or name not in self.a or name not in self.b:
            return None
        a, b = (
            remade(name, side[name][rows], signature=self.signatures[name], unit=metric.unit)
            for side in (self.a, self.b)
        )
        return paired_difference(b, a, random)

    def _slice(self, metric: Metric) -> np.ndarray | None:
        """Rows of the metric's slice; None where it is made neither of lengths nor of group columns."""
        rows = np.ones(len(self.words), dtype=bool)
        for column, value in metric.slice.items():
            between = RANGE.fullmatch(value) if column in LENGTH_SLICES else None
            if column in self.groups:
                rows &= self.groups[column] == value
            elif between is not None:
                rows &= (self.words >= int(between[1])) & (self.words <= int(between[2]))
            else:
                return None
        return rows


def paired_statistics(left: pd.DataFrame, right: pd.DataFrame, signatures: Mapping[str, str]) -> PairedStatistics:
    """The statistics of two evidence files, whose rows are in one order.

    Args:
        signatures: of each metric, the same in both.
    """
    return PairedStatistics(
        words=left[WORDS].to_numpy(),
        groups={c.removeprefix(GROUP): left[c].to_numpy(dtype=str) for c in left.columns if c.startswith(GROUP)},
        signatures=signatures,
        a=_statistics(left),
        b=_statistics(right),
    )


def _statistics(frame: pd.DataFrame) -> dict[str, np.ndarray]:
    """Metric -> (rows, k), from columns "statistic METRIC NUMBER"."""
    found: dict[str, list[tuple[int, str]]] = {}
    for column in frame.columns:
        if column.startswith(STATISTIC):
            name, _, number = column.removeprefix(STATISTIC).rpartition(" ")
            found.setdefault(name, []).append((int(number), column))
    return {
        name: frame[[column for _, column in sorted(columns)]].to_numpy(dtype=np.float64)
        for name, columns in found.items()
    }
