"""Training, validation and test, by what rows hold: the same row goes to the same part, run after run.

Without a column, near duplicates form clusters, and a cluster goes where the hash of its smallest member sends it. With
a column (a page, a user), equal values stay together and go where the value's hash sends them; rows of the smaller
parts that nearly repeat a row elsewhere are then left out: whole pages cannot follow every sentence they share.

Stable: new rows move no old one, but where they are nearly the same as old ones. Then a cluster may get another
smallest member, or two clusters may become one, and the rows of these clusters may move.
"""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import numpy as np

from core_model.preprocessing.deduplication import Tell, Ways
from core_model.preprocessing.keys import first_rows, places_of, share_of
from core_model.preprocessing.near_duplicates import NearTexts
from core_model.preprocessing.rows import WaitingRows

PARTS = ("train", "test", "validation")  # in the order in which they keep a row that two of them hold
TRAIN, TEST, VALIDATION = range(3)


def parts_of(keys: np.ndarray, *, seed: int, validation: float, test: float) -> np.ndarray:
    """The part that each key's hash sends it to.

    Args:
        keys: (rows,) uint64; equal keys go together.
        validation, test: shares, as probabilities: the parts' true sizes differ by chance.
    Returns: (rows,) int8, places in PARTS.
    """
    distinct, which = np.unique(keys, return_inverse=True)
    shares = np.fromiter((share_of(seed, key.tobytes()) for key in distinct), float, len(distinct))
    parts = np.where(shares < test, TEST, np.where(shares < test + validation, VALIDATION, TRAIN))
    return parts.astype(np.int8)[which]


def smallest_members(labels: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """For each row the smallest key of its cluster: (rows,) uint64."""
    order = np.argsort(labels, kind="stable")
    ordered = labels[order]
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    smallest = np.minimum.reduceat(keys[order], starts)
    which = np.empty(len(labels), np.int64)
    which[order] = np.repeat(np.arange(len(starts)), np.diff(np.append(starts, len(labels))))
    return smallest[which]


def leaking(
    rows: WaitingRows, kept: np.ndarray, parts: np.ndarray, ways: Ways, *, threshold: float, folder: Path, tell: Tell
) -> np.ndarray:
    """Which rows of the smaller parts nearly repeat, in any of these ways, a row of a part before theirs in PARTS.

    Args:
        kept: positions of rows, increasing; parts: (kept,) places in PARTS.
    Returns: (kept,) bool.
    """
    found = np.zeros(len(kept), bool)
    for way in ways:
        keys = rows.way_keys(way)
        firsts = first_rows(keys, kept)
        tell("looking for rows that stand in two parts", len(firsts))
        columns = [rows.columns[side] for side in way]
        with closing(NearTexts(rows.spool, columns, firsts, threshold=threshold, folder=folder)) as near:
            texts = places_of(keys[kept], keys[firsts])
            found |= parts > _first_parts(near, texts, parts)[texts]
    return found


def _first_parts(near: NearTexts, texts: np.ndarray, parts: np.ndarray) -> np.ndarray:
    """For each text the first part in which it, or a text like it, stands: (len(near),) int8.

    Args:
        texts, parts: each row's text and part.
    """
    lowest, highest = np.full(len(near), len(PARTS), np.int8), np.full(len(near), -1, np.int8)
    np.minimum.at(lowest, texts, parts)
    np.maximum.at(highest, texts, parts)
    reached = lowest.copy()

    def news(b: int, others: np.ndarray) -> np.ndarray:
        """Whether a part of b would be after one of the others', and this is not known yet; or the other way."""
        of_b = np.minimum(highest[b], reached[b]) > lowest[others]
        return of_b | (np.minimum(highest[others], reached[others]) > lowest[b])

    for a, b in near.pairs(news):
        reached[a] = min(reached[a], lowest[b])
        reached[b] = min(reached[b], lowest[a])
    return reached
