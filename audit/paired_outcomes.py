"""What the same rows did in two runs of one audit: an attack's success, an answer under noise, and their difference.

A share of rows that were right before (an attack's success) counts other rows in either run, for the two models are
right about others; the difference is then that on the rows which count in both, and the line says on how many. Rows
that were attacked otherwise (another budget, more steps) are not compared at all: the foe changed, too.
Source: Newcombe, Statistics in Medicine 17 (1998) 2635, method 10; paired bootstrap for differences of shares.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from audit.outcomes import Outcome, Outcomes
from audit.rows import GROUP
from audit.statistics import Estimate, bootstrap_mean, paired_shares
from reports.record import Metric

if TYPE_CHECKING:
    import pandas as pd

LEAST_COMMON = 0.5  # of the rows of either run: below, pairing would leave out more than it gains
CLASS = "class"  # the slice of rows by their label, as the attacks name it


@dataclass(frozen=True)
class PairedOutcomes:
    """Outcomes of two runs over joined rows.

    Attributes:
        a, b: audit -> metric -> what its rows counted, places among the joined rows.
        columns: slice -> (rows,) its values, by which a number of a part is made from that of all rows.
        names: what the two are called.
    """

    a: Mapping[str, Outcomes]
    b: Mapping[str, Outcomes]
    columns: Mapping[str, np.ndarray]
    names: tuple[str, str] = ("A", "B")

    def difference(self, audit: str, metric: Metric, random: np.random.Generator) -> tuple[Estimate | None, str | None]:
        """B minus A of a metric, paired.

        Returns: the difference, and on how many rows where these are not all; absent, with why, where the two were
            attacked otherwise; (None, why) where too few rows are common; (None, None) where no row's outcome is known.
        """
        sides = [side.get(audit, {}) for side in (self.a, self.b)]
        a, b = (self._of(side, metric) for side in sides)
        here, there = (_protocol(side, own, metric) for side, own in zip(sides, (a, b), strict=True))
        if here is not None and there is not None and here != there:
            one, other = self.names
            return Estimate.absent(f"measured otherwise: {here} in {one}, {there} in {other}"), None
        if a is None or b is None:
            return None, None
        rows, of_a, of_b = np.intersect1d(a.rows, b.rows, assume_unique=True, return_indices=True)
        most = max(len(a.rows), len(b.rows))
        if len(rows) < 2 or len(rows) < LEAST_COMMON * most:
            one, other = self.names
            return None, (
                f"{len(rows):,} rows count in both, of {len(a.rows):,} in {one} and {len(b.rows):,} in {other}: "
                "intervals combined"
            )
        left, right = a.values[of_a].astype(int), b.values[of_b].astype(int)
        shares = bool(np.isin([left, right], (0, 1)).all())
        found = paired_shares(right == 1, left == 1) if shares else bootstrap_mean(right - left, random, bounds=(-2, 2))
        return found, f"on the {len(rows):,} rows that count in both" if len(rows) < most else None

    def _of(self, outcomes: Outcomes, metric: Metric) -> Outcome | None:
        """The metric's own rows; of a part of the data, those rows of the whole that are in it."""
        if metric.key in outcomes:
            return outcomes[metric.key]
        parts = {name: value for name, value in metric.slice.items() if name in self.columns}
        whole = outcomes.get(
            metric.model_copy(update={"slice": {k: v for k, v in metric.slice.items() if k not in parts}}).key
        )
        if whole is None or not parts:
            return None
        inside = np.ones(len(whole.rows), dtype=bool)
        for name, value in parts.items():
            inside &= self.columns[name][whole.rows] == value
        return Outcome(whole.rows[inside], whole.values[inside], whole.protocol)


def _protocol(outcomes: Outcomes, own: Outcome | None, metric: Metric) -> str | None:
    """That of the metric's own rows, or of another number of the same attack, which has the same slice."""
    if own is not None or not metric.slice:
        return None if own is None else own.protocol
    part = metric.key.removeprefix(metric.name)
    return next((outcome.protocol for key, outcome in outcomes.items() if key.endswith(part)), None)


def paired_outcomes(
    a: Mapping[str, Outcomes],
    b: Mapping[str, Outcomes],
    rows: pd.DataFrame,
    labels: Sequence[str],
    *,
    names: tuple[str, str] = ("A", "B"),
) -> PairedOutcomes:
    """Outcomes over the joined rows, with the slices that can be made of these.

    Args:
        rows: the joined rows of A's evidence file. labels: names of its classes.
    """
    columns = {c.removeprefix(GROUP): rows[c].to_numpy(dtype=str) for c in rows.columns if c.startswith(GROUP)}
    if "target" in rows:
        columns.setdefault(CLASS, np.array(labels, dtype=object)[rows["target"].to_numpy()])
    return PairedOutcomes(a, b, columns, names)
