"""Removing rows that repeat others: exactly (after Unicode normalisation, case and blanks), and nearly.

Of near duplicates, the first row of each cluster stays. A cluster is a connected component: a chain of similar pairs
links its rows, so a row may go that is less similar to the one that stays; the card counts these.

Source: Lee et al. 2022, Deduplicating Training Data Makes Language Models Better, arXiv:2107.06499.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from core_model.preprocessing.clusters import Clusters, combined
from core_model.preprocessing.keys import first_rows, places_of
from core_model.preprocessing.near_duplicates import NearTexts
from core_model.preprocessing.rows import WaitingRows

Ways = Sequence[Sequence[int]]  # each a set of sides that must repeat together
Tell = Callable[[str, int], None]


@dataclass(frozen=True)
class Linked:
    """Rows linked by near duplicates.

    Attributes:
        labels: (rows asked for,) cluster numbers.
        chained: distinct texts that are less similar to their cluster's first than the threshold.
    """

    labels: np.ndarray
    chained: int


def without_exact(rows: WaitingRows, kept: np.ndarray, ways: Ways) -> tuple[np.ndarray, int]:
    """The rows that repeat no earlier one, and how many that go have another label than the one that stays.

    Args:
        kept: positions of the rows that are left, increasing.
    """
    contradicting = 0
    for way in ways:
        keys = rows.way_keys(way)
        first = first_rows(keys, kept)
        contradicting += _contradicting(rows.labels, keys, kept)
        kept = first
    return kept, contradicting


def _contradicting(labels: np.ndarray, keys: np.ndarray, kept: np.ndarray) -> int:
    _, first, which = np.unique(keys[kept], return_index=True, return_inverse=True)
    return int((labels[kept] != labels[kept[first]][which]).sum())


def linked(rows: WaitingRows, kept: np.ndarray, ways: Ways, *, threshold: float, folder: Path, tell: Tell) -> Linked:
    """Clusters of rows that are near duplicates in any of these ways.

    Args:
        kept: positions of rows, increasing.
        threshold: smallest Jaccard similarity.
        folder: for temporary files.
    """
    labelings, chained = [], 0
    for way in ways:
        keys = rows.way_keys(way)
        firsts = first_rows(keys, kept)
        tell("signing texts", len(firsts))
        columns = [rows.columns[side] for side in way]
        with closing(NearTexts(rows.spool, columns, firsts, threshold=threshold, folder=folder)) as near:
            clusters = Clusters(len(near))
            tell("comparing near duplicates", len(firsts))
            for a, b in near.pairs(clusters.apart):
                clusters.join(a, b)
            chained += _chained(near, clusters.labels, threshold)
        labelings.append(clusters.labels[places_of(keys[kept], keys[firsts])])
    return Linked(combined(labelings), chained)


def _chained(near: NearTexts, labels: np.ndarray, threshold: float) -> int:
    _, first, which = np.unique(labels, return_index=True, return_inverse=True)
    firsts = first[which]
    return sum(
        near.similarity(int(firsts[i]), int(i)) < threshold for i in np.flatnonzero(firsts != np.arange(len(near)))
    )
