"""Names of texts by their content, in 8 bytes each: what is equal has equal names, whatever its case and blanks.

Two different texts share a name with a probability of 2^-64: some pair among ten million does with 3 in a million.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b

import numpy as np

from core_model.duplicates import normalised


def text_key(text: str) -> int:
    """The name of a text as the leakage audit compares texts: NFKC, lower case, single blanks."""
    return _key(normalised(text).encode("utf-8", "surrogatepass"))


def row_keys(sides: np.ndarray) -> np.ndarray:
    """The names of rows by all their sides together.

    Args:
        sides: names of texts, (rows, sides) uint64.
    Returns: (rows,) uint64.
    """
    if sides.shape[1] == 1:
        return np.ascontiguousarray(sides[:, 0])
    return np.fromiter((_key(row.tobytes()) for row in sides), np.uint64, len(sides))


def share_of(seed: int, content: bytes) -> float:
    """A number in [0, 1) that is as good as random, and always the same for this content and seed."""
    return _key(b"%d:" % seed + content) / 2**64


def first_rows(keys: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Those of `rows` (increasing) that are the first with their key.

    Args:
        keys: (all rows,) uint64.
    Returns: positions among all rows, increasing.
    """
    return np.sort(rows[np.unique(keys[rows], return_index=True)[1]])


def places_of(keys: np.ndarray, distinct: np.ndarray) -> np.ndarray:
    """Where each key stands among distinct ones, which hold it: (keys,) int64."""
    order = np.argsort(distinct)
    places: np.ndarray = order[np.searchsorted(distinct[order], keys)]
    return places


def sides_compared(by: str, sides: Sequence[str]) -> tuple[tuple[int, ...], ...]:
    """Which sides must repeat together to make a duplicate, for each way in which one can be made."""
    every = tuple(range(len(sides)))
    if by == "row":
        return (every,)
    return tuple((side,) for side in every) if by == "either" else ((sides.index(by),),)


def _key(content: bytes) -> int:
    return int.from_bytes(blake2b(content, digest_size=8).digest(), "little")
