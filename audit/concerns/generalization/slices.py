"""Slices: on which part of the data does the model do worst, honestly said after having looked at all of them?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from audit.evidence import Limit, metric
from audit.statistics import Estimate, difference_of_proportions, proportion
from audit.text_length import length_quartiles
from reports.record import Figure, Metric

FEWEST_ROWS = 20  # a smaller slice says nothing of itself and widens every other interval
SHOWN = 20
LENGTH, PREDICTED = "text_length", "predicted_label"


@dataclass(frozen=True)
class Slice:
    """Rows that have something in common: `column` is `value`. `rows` is (rows,) bool."""

    column: str
    value: str
    rows: np.ndarray


def slices_of(
    texts: Sequence[str], predicted: np.ndarray, labels: Sequence[str], groups: Mapping[str, np.ndarray]
) -> list[Slice]:
    """By each group column, by quartile of text length in words, and by predicted label.

    Args:
        texts: (rows,). predicted: (rows,) class indices. labels: names of the classes.
        groups: column -> (rows,) values.
    """
    return slices_by(groups, {LENGTH: length_quartiles(texts), PREDICTED: np.array(labels, dtype=object)[predicted]})


def slices_by(groups: Mapping[str, np.ndarray], ours: Mapping[str, np.ndarray]) -> list[Slice]:
    """A slice for each value of each column; a group column that is called as one of ours goes first.

    Args:
        groups, ours: column -> (rows,) values.
    """
    columns = {name: np.asarray(values, dtype=object).astype(str) for name, values in {**ours, **groups}.items()}
    ordered = {name: columns[name] for name in dict.fromkeys([*groups, *ours])}
    return [Slice(c, str(v), values == v) for c, values in ordered.items() for v in sorted(set(values))]


@dataclass(frozen=True)
class Judged:
    """A slice with its accuracy and how far the other rows are above it; both intervals hold for all slices at once."""

    slice: Slice
    accuracy: Estimate
    gap: Estimate


def judge_slices(slices: Sequence[Slice], correct: np.ndarray) -> list[Judged]:
    """Accuracy of each slice that has 20 rows and that leaves 20, lowest first.

    The interval of each slice is made at 1 - 0.05 / slices, so that with 95% probability all of them hold at once
    (Bonferroni: slices share rows, so nothing better than a union bound is safe). It therefore holds for the slice that
    was picked for being lowest, too.

    Args:
        slices: any. correct: (rows,) bool.
    """
    large = [s for s in slices if min(s.rows.sum(), (~s.rows).sum()) >= FEWEST_ROWS]
    level = 1 - 0.05 / max(1, len(large))
    how = f"Bonferroni over {len(large)} slices"
    judged = []
    for s in large:
        hits, n = int(correct[s.rows].sum()), int(s.rows.sum())
        other_hits, others = int(correct[~s.rows].sum()), int((~s.rows).sum())
        accuracy = proportion(hits, n, confidence=level)
        gap = difference_of_proportions(other_hits, others, hits, n, confidence=level)
        judged.append(
            Judged(
                s,
                replace(accuracy, confidence=0.95, method=f"{accuracy.method}, {how}"),
                replace(gap, confidence=0.95, method=f"{gap.method}, {how}"),
            )
        )
    return sorted(judged, key=lambda j: (j.accuracy.value or 0.0, j.slice.column, j.slice.value))


def slice_metrics(judged: Sequence[Judged], limit: Limit | None) -> list[Metric]:
    """The slice with the lowest accuracy, and its distance from all other rows."""
    if judged:
        worst = judged[0]
        accuracy, gap, named = worst.accuracy, worst.gap, {worst.slice.column: worst.slice.value}
    else:
        accuracy = gap = Estimate.absent(f"no slice has {FEWEST_ROWS} rows and leaves as many")
        named = {}
    return [
        metric(
            "worst_slice_accuracy", accuracy, unit="share of rows", better="higher", slice=named,
            definition="Accuracy on the slice where it is lowest; the interval allows for its having been picked.",
        ),
        metric(
            "worst_slice_gap", gap, unit="difference of shares of rows", better="lower", slice=named, limit=limit,
            definition="Accuracy on all other rows minus accuracy on that slice; the interval allows for the pick.",
        ),
    ]  # fmt: skip


def slice_figure(judged: Sequence[Judged]) -> Figure:
    """Accuracy slice by slice, lowest first."""
    rows = [
        {
            "label": f"{j.slice.column}: {j.slice.value}", "value": j.accuracy.value,
            "low": j.accuracy.low, "high": j.accuracy.high, "n": j.accuracy.n,
        }
        for j in judged[:SHOWN]
    ]  # fmt: skip
    said = f"Lowest: {rows[0]['label']}, {rows[0]['value']:.2f}." if rows else "No slice has rows enough."
    more = f" The {SHOWN} lowest of {len(judged)}." if len(judged) > SHOWN else ""
    return Figure(
        id="generalization-slices", kind="intervals", title="Accuracy by slice; intervals hold for all at once",
        caption=said + more, x_label="accuracy", rows=rows,
    )  # fmt: skip
