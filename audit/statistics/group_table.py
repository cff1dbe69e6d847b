"""The group table: rates of every group, and of thousands of resamples, from one tensor of counts.

Selection rate, false-positive rate, false-negative rate and accuracy need nothing but how many rows of each group have
which label and which prediction. Counting once makes a resample of 10,000 rows a draw of 80 numbers.
"""

from __future__ import annotations

import numpy as np

RATES = ("selection_rate", "true_positive_rate", "false_positive_rate", "false_negative_rate", "accuracy")


def group_counts(
    group: np.ndarray, target: np.ndarray, predicted: np.ndarray, *, groups: int | None = None
) -> np.ndarray:
    """Rows by group, label and prediction.

    Args:
        group: (rows,) group index, 0 to groups - 1.
        target, predicted: (rows,) 0 or 1 (or bool).
        groups: how many groups there are; the largest index + 1 unless said.
    Returns: (groups, 2, 2) integers, indexed [group, target, predicted].
    """
    group = np.asarray(group)
    groups = int(group.max(initial=-1)) + 1 if groups is None else groups
    cells = group * 4 + np.asarray(target, dtype=np.int64) * 2 + np.asarray(predicted, dtype=np.int64)
    return np.bincount(cells, minlength=groups * 4).reshape(groups, 2, 2)


def rate_parts(counts: np.ndarray) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """(successes, rows) of each rate and group, from counts (..., groups, 2, 2); each part is (..., groups)."""
    tn, fp = counts[..., 0, 0], counts[..., 0, 1]
    fn, tp = counts[..., 1, 0], counts[..., 1, 1]
    negatives, positives = tn + fp, fn + tp
    return {
        "selection_rate": (fp + tp, negatives + positives),
        "true_positive_rate": (tp, positives),
        "false_positive_rate": (fp, negatives),
        "false_negative_rate": (fn, positives),
        "accuracy": (tn + tp, negatives + positives),
    }


def rates(counts: np.ndarray) -> dict[str, np.ndarray]:
    """Each rate of each group, (..., groups); NaN inside arrays where a group has no such rows."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return {name: successes / n for name, (successes, n) in rate_parts(counts).items()}
