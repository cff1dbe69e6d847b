"""Leakage: which test rows did the model meet in training, and how much do they flatter it?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from audit.concerns.evaluability.quality import SHARE
from audit.evidence import Limit, metric
from audit.statistics import Estimate, bootstrap_table, proportion
from core_model.duplicates import normalised, overlap
from reports.record import Metric

NEEDS_TRAINING = "no training data was given; --train-data FILE supplies it"
SOURCE = "Lee et al. 2022, arXiv:2107.06499"


@dataclass(frozen=True)
class Leaked:
    """Test rows that are also, or almost, training rows. Arrays are (rows,) bool.

    Attributes:
        exact: the text is a training row's, but for case and blanks.
        near: the text is close to a training row's, by Jaccard similarity of three-word shingles; exact ones included.
        twins: each marked row's most similar training row: (test row, training row, similarity), rows counted from 0.
    """

    exact: np.ndarray
    near: np.ndarray
    twins: Sequence[tuple[int, int, float]]


def find_leaked(training: Sequence[str], test: Sequence[str], *, threshold: float) -> Leaked:
    """Test rows that overlap with training rows; `threshold` is the Jaccard similarity that counts as near."""
    found = overlap(training, test, threshold=threshold)
    return Leaked(found.exact, found.exact | found.near, found.pairs)


def repeats_within(texts: Sequence[str]) -> np.ndarray:
    """Rows whose text, as `core_model.duplicates` compares it, stood in an earlier row, (rows,) bool."""
    seen: set[str] = set()
    repeated = np.zeros(len(texts), bool)
    for row, text in enumerate(texts):
        plain = normalised(text)
        repeated[row] = plain in seen
        seen.add(plain)
    return repeated


def overlap_metrics(leaked: Leaked | None, repeated: np.ndarray, limits: dict[str, Limit]) -> list[Metric]:
    """Shares of test rows that stand in the training rows, or twice among themselves."""

    def share(marks: np.ndarray | None) -> Estimate:
        if marks is None:
            return Estimate.absent(NEEDS_TRAINING)
        return proportion(int(marks.sum()), len(marks), method="clopper-pearson")

    return [
        metric(
            "exact_duplicate_overlap", share(leaked.exact if leaked else None), unit=SHARE, better="lower",
            limit=limits["exact"], definition="Test rows whose text is a training row's, but for case and blanks.",
        ),
        metric(
            "near_duplicate_overlap", share(leaked.near if leaked else None), unit=SHARE, better="lower",
            limit=limits["near"], source=SOURCE,
            definition="Test rows whose text is a training row's or close to one (Jaccard, three-word shingles).",
        ),
        metric(
            "duplicates_within_test", share(repeated), unit=SHARE, better="lower",
            definition="Test rows whose text stood in an earlier test row; they count twice in every number.",
        ),
    ]  # fmt: skip


def inflation_metrics(leaked: Leaked | None, correct: np.ndarray, random: np.random.Generator) -> list[Metric]:
    """Accuracy with and without the rows that overlap, and the difference that they make.

    Args:
        leaked: which test rows overlap; None where that is not known.
        correct: (rows,) bool.
    """
    if leaked is None:
        on, without, inflation = (Estimate.absent(NEEDS_TRAINING) for _ in range(3))
    else:
        near, rows = leaked.near, len(correct)
        on = _accuracy(correct[near], "no test row overlaps with the training rows")
        without = _accuracy(correct[~near], "every test row overlaps with the training rows")
        cells = np.array(
            [(near & correct).sum(), (near & ~correct).sum(), (~near & correct).sum(), (~near & ~correct).sum()]
        )

        def all_minus_clean(tables: np.ndarray) -> np.ndarray:
            a, b, c, d = tables.T
            return (a + c) / (a + b + c + d) - c / (c + d)

        inflation = (
            bootstrap_table(cells, all_minus_clean, random)
            if not near.all()
            else Estimate.absent("every test row overlaps with the training rows", n=rows)
        )
    return [
        metric(
            "accuracy_on_overlapping_rows", on, unit=SHARE,
            definition="Accuracy on the test rows that overlap with the training rows, near duplicates included.",
        ),
        metric(
            "accuracy_without_overlap", without, unit=SHARE, better="higher",
            definition="Accuracy on the test rows that do not overlap with the training rows.",
        ),
        metric(
            "leakage_inflation", inflation, unit="difference of shares of rows", better="lower",
            definition="Accuracy on all test rows minus accuracy without those that overlap.",
        ),
    ]  # fmt: skip


def _accuracy(correct: np.ndarray, reason: str) -> Estimate:
    return proportion(int(correct.sum()), len(correct)) if len(correct) else Estimate.absent(reason)
