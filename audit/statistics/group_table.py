"""The group table: rates of every group, and of thousands of resamples, from one tensor of counts.

Selection rate, error rates and accuracy need nothing of the rows but how many of each group have which label and which
prediction. Counted once, 10,000 rows of 20 groups are 80 numbers, and a resample is one multinomial draw of them.
`python -m benchmarks.fairness` times this against fairlearn's MetricFrame.
"""

from __future__ import annotations

import numpy as np

from audit.statistics.bootstrap import BLOCK


def group_counts(
    group: np.ndarray, target: np.ndarray, predicted: np.ndarray, *, groups: int | None = None
) -> np.ndarray:
    """Rows by group, label and prediction.

    Args:
        group: (rows,) group index, 0 to groups - 1.
        target, predicted: (rows,) 0 or 1 (or bool).
        groups: how many groups there are; the largest index + 1 unless said.
    Returns: (groups, 2, 2) integers, indexed [group, target, predicted].
    Raises: ValueError when a label or prediction is neither 0 nor 1, or a group index lies outside.
    """
    group, target, predicted = (np.asarray(a).astype(np.int64) for a in (group, target, predicted))
    groups = int(group.max(initial=-1)) + 1 if groups is None else groups
    if len(group) and not (
        group.min() >= 0 and group.max() < groups and {0, 1} >= {*np.unique(target), *np.unique(predicted)}
    ):
        raise ValueError(f"group indices run from 0 to {groups - 1}; labels and predictions are 0 or 1")
    cells = group * 4 + target * 2 + predicted
    return np.bincount(cells, minlength=groups * 4).reshape(groups, 2, 2)


def rate_parts(counts: np.ndarray) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """What each rate counts, and out of how many rows.

    Args:
        counts: (..., groups, 2, 2), indexed [..., group, target, predicted].
    Returns: name of the rate -> (successes, rows), each (..., groups).
    """
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
    """Each rate of each group, (..., groups); NaN, inside these arrays only, where a group has no such rows."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return {name: successes / n for name, (successes, n) in rate_parts(counts).items()}


def resampled_counts(counts: np.ndarray, random: np.random.Generator, *, resamples: int = 2000) -> np.ndarray:
    """Bootstrap resamples of all rows at once, (resamples, groups, 2, 2): the same law as drawing rows one by one.

    For statistics of single groups. The range over groups has its own interval (`ranges`): resampled ranges never
    cover a truth of 0.
    """
    n = int(counts.sum())
    share = counts.ravel() / n
    children = random.spawn(-(-resamples // BLOCK))
    draws = np.concatenate([child.multinomial(n, share, size=BLOCK) for child in children])[:resamples]
    return draws.reshape(resamples, *counts.shape)
