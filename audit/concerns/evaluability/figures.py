"""Pictures: each label's rates with their intervals, and which label is taken for which."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from audit.concerns.evaluability.quality import Answers
from reports.record import Figure, Metric, Scalar

MOST_LABELS = 20  # more lines than this are no picture


def figures_of(answers: Answers, metrics: Sequence[Metric]) -> list[Figure]:
    """Both pictures, of the commonest labels where there are many."""
    table = answers.table
    shown = [int(i) for i in np.argsort(-table.sum(axis=1), kind="stable")[:MOST_LABELS]]
    left_out = len(answers.labels) - len(shown)
    more = f" The {len(shown)} commonest of {len(answers.labels)} labels." if left_out else ""
    return [_rates(answers, metrics, shown, more), _confusion(answers, table, shown, more)]


def _rates(answers: Answers, metrics: Sequence[Metric], shown: Sequence[int], more: str) -> Figure:
    names = {answers.labels[i] for i in shown}
    lines = [
        m
        for m in metrics
        if m.name in ("precision", "recall", "f1") and m.value is not None and m.interval and m.slice["label"] in names
    ]
    rows: list[dict[str, Scalar]] = [
        {
            "label": m.slice["label"], "series": m.name, "value": m.value,
            "low": m.interval[0], "high": m.interval[1], "n": m.n,
        }
        for m in lines if m.interval
    ]  # fmt: skip
    worst = min((m for m in lines if m.name == "recall"), key=lambda m: m.value or 0.0, default=None)
    said = (
        f"Found least often: {worst.slice['label']}, {worst.value:.2f} of its rows." if worst else "No label has rows."
    )
    return Figure(
        id="evaluability-labels", kind="intervals", title="Precision, recall and F1 of each label",
        caption=said + more, x_label="share of rows", rows=rows,
    )  # fmt: skip


def _confusion(answers: Answers, table: np.ndarray, shown: Sequence[int], more: str) -> Figure:
    labels = answers.labels
    rows: list[dict[str, Scalar]] = [
        {"x": labels[j], "y": labels[i], "value": float(table[i, j] / table[i].sum()), "n": int(table[i, j])}
        for i in shown
        if table[i].sum()
        for j in shown
    ]
    wrong = table * (1 - np.eye(len(labels), dtype=np.int64))
    i, j = (int(k) for k in np.unravel_index(int(wrong.argmax()), wrong.shape))
    said = f"Most often confused: {labels[i]} taken for {labels[j]}, {wrong[i, j]} rows."
    return Figure(
        id="evaluability-confusion", kind="heatmap", title="Which label is taken for which, by true label",
        caption=(said if wrong[i, j] else "No label is taken for another.") + more,
        x_label="predicted", y_label="true", rows=rows,
    )  # fmt: skip
