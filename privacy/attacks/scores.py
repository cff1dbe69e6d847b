"""Attack scores: how well do they tell training rows (members) from held-out rows (others)?

A score is higher where the attacker says "was in training". Everything here takes two arrays of scores and returns
counts or rates of these very rows; intervals are the audit's. Rows with equal scores are accused together or not at
all: an attacker cannot tell them apart, and half of a tie would be an invented success.

Source: Carlini et al. 2022, arXiv:2112.03570: averages hide leaks, so true positives are read at a low false-positive
rate, and curves are drawn on logarithmic axes.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, floor

import numpy as np

from core_model.errors import OptionUnfit


@dataclass(frozen=True)
class OperatingPoint:
    """What an attacker finds who accuses at most a set share of the others; counts, from which intervals are made.

    Attributes:
        threshold: rows that score above it are accused; None where nothing was decided.
        found, members: members accused, of how many. `found` is None where it was not measured.
        accused, others: others wrongly accused, of how many.
        because: why `found` is None.
    """

    threshold: float | None
    found: int | None
    members: int
    accused: int | None
    others: int
    because: str | None = None

    @property
    def rate(self) -> float | None:
        """Share of members found (true-positive rate)."""
        return None if self.found is None else self.found / self.members


@dataclass(frozen=True)
class Curve:
    """The ROC curve as steps, from nobody accused to everybody.

    Attributes:
        thresholds: (points,) falling; the first is infinite.
        false_positives: (points,) others that score at least the threshold.
        true_positives: (points,) members that score at least the threshold.
        members, others: how many there are.
    """

    thresholds: np.ndarray
    false_positives: np.ndarray
    true_positives: np.ndarray
    members: int
    others: int

    def on_log_axes(self) -> list[tuple[float, float]]:
        """(false-positive rate, true-positive rate) that logarithmic axes can show: both above 0.

        What is left out at the lower left is "no false positive in k rows"; the axis starts at 1/k.
        """
        shown = (self.false_positives > 0) & (self.true_positives > 0)
        rates = zip(self.false_positives[shown] / self.others, self.true_positives[shown] / self.members, strict=True)
        return [(float(x), float(y)) for x, y in rates]


def auc(members: np.ndarray, others: np.ndarray) -> float:
    """The chance that a member outscores another row, ties counting half; guessing gives 0.5.

    Args:
        members: (m,) scores of training rows.
        others: (k,) scores of held-out rows.
    Raises: OptionUnfit without rows on one side, or for a score that is not a number.
    """
    members, others = _checked(members, others)
    ordered = np.sort(others)
    below = np.searchsorted(ordered, members, side="left")
    at_most = np.searchsorted(ordered, members, side="right")
    return float((below + at_most).sum() / (2 * len(members) * len(others)))


def tpr_at_fpr(members: np.ndarray, others: np.ndarray, fpr: float) -> OperatingPoint:
    """Members found while at most `fpr` of the others are accused.

    The threshold is taken from these same others, so it fits them a little: guessing finds about
    (k * fpr + 1) / (k + 1) of the members. An interval over the members does not see that choice:
    `threshold_interval` does, and a threshold from other rows (`found_above`) does away with it.

    Args:
        members: (m,); others: (k,); higher means "was in training".
        fpr: in (0, 1); the field reports 0.001 and 0.01.
    Returns: counts. Not measured when k * fpr < 1: then not one accusation would be allowed.
    Raises: OptionUnfit for a rate outside (0, 1), or scores as in `auc`.
    Source: Carlini et al. 2022, arXiv:2112.03570.
    """
    if not 0 < fpr < 1:
        raise OptionUnfit(f"false-positive rate is {fpr}", mend="a number between 0 and 1, such as 0.01")
    members, others = _checked(members, others)
    allowed = floor(len(others) * fpr + 1e-9)  # others that may be wrongly accused; 1,000 * 0.001 is 1
    if allowed < 1:
        because = f"{len(others):,} held-out rows; at {fpr:g} false positives, {ceil(1 / fpr - 1e-9):,} are needed"
        return OperatingPoint(None, None, len(members), None, len(others), because)
    threshold = float(np.sort(others)[-(allowed + 1)]) if allowed < len(others) else -np.inf
    return found_above(members, others, threshold)


def found_above(members: np.ndarray, others: np.ndarray, threshold: float) -> OperatingPoint:
    """Counts at a given threshold: for an attacker who set it on other rows, such as those of shadow models.

    Raises: OptionUnfit as in `auc`.
    """
    members, others = _checked(members, others)
    return OperatingPoint(
        threshold, int((members > threshold).sum()), len(members), int((others > threshold).sum()), len(others)
    )


def threshold_interval(others: np.ndarray, fpr: float, *, confidence: float) -> tuple[float, float]:
    """Where the threshold of a true false-positive rate lies: order statistics of the others around it.

    Args:
        others: (k,) scores of held-out rows.
        confidence: that the threshold, a quantile of the distribution that the others were drawn from, lies inside.
    Returns: (low, high); infinite where so few rows bound it on no side.
    Source: David and Nagaraja 2003, Order Statistics, section 7.1 (distribution-free, never below `confidence`).
    """
    from scipy.stats import binom

    ordered, tail = np.sort(others), (1 - confidence) / 2
    first = int(binom.ppf(tail, len(ordered), 1 - fpr))
    last = int(binom.ppf(1 - tail, len(ordered), 1 - fpr)) + 1
    low = -np.inf if first < 1 else float(ordered[first - 1])
    return low, np.inf if last > len(ordered) else float(ordered[last - 1])


def roc(members: np.ndarray, others: np.ndarray) -> Curve:
    """Every operating point: one for each distinct score, and one where nobody is accused.

    Raises: OptionUnfit as in `auc`.
    """
    members, others = _checked(members, others)
    thresholds = np.unique(np.concatenate([members, others]))[::-1]

    def at_least(scores: np.ndarray) -> np.ndarray:
        counts = len(scores) - np.searchsorted(np.sort(scores), thresholds, side="left")
        return np.concatenate([[0], counts])

    return Curve(np.concatenate([[np.inf], thresholds]), at_least(others), at_least(members), len(members), len(others))


def _checked(members: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    members, others = np.asarray(members, dtype=np.float64), np.asarray(others, dtype=np.float64)
    for name, scores in (("training", members), ("held-out", others)):
        if scores.ndim != 1 or not len(scores):
            raise OptionUnfit(
                f"scores of {name} rows have shape {scores.shape}", mend=f"scores of {name} rows, (rows,)"
            )
        if np.isnan(scores).any():
            raise OptionUnfit(
                f"{int(np.isnan(scores).sum())} of {len(scores)} {name} rows have no score",
                mend="leave those rows out of the attack, and say how many",
            )
    return members, others
