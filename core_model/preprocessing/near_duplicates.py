"""Texts that are nearly the same: candidates by MinHash, each pair then held against the other word by word.

    near = NearTexts(spool, columns, rows, threshold=0.8, folder=folder)
    for a, b in near.pairs(wanted): ...        # numbers of texts, a < b; each pair at least as similar as the threshold

A pair that nobody needs to know is not compared: `wanted` says so, and may change its mind as pairs come. That is what
keeps a thousand variants of one sentence from a million comparisons.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from core_model.duplicates import PERMUTATIONS, Shingles, bands, jaccard, shingles
from core_model.preprocessing.reading import Row, member
from core_model.preprocessing.signatures import Signatures
from core_model.preprocessing.spool import Spool

CACHED_SHINGLES = 300_000  # kept in memory, some 40 MB
DEVIATIONS = 6  # an estimate so many standard deviations below the threshold is taken at its word: 1 in a billion

Wanted = Callable[[int, np.ndarray], np.ndarray]


class NearTexts:
    """The distinct texts of some rows, signed, so that similar pairs can be found among them.

    Args:
        spool: all rows.
        columns: of the texts; several are one text, in which each shingle knows its column.
        rows: (texts,) the row in which each text stands first, increasing.
        threshold: smallest Jaccard similarity.
        folder: where signatures are kept.
    """

    def __init__(
        self, spool: Spool, columns: Sequence[str], rows: np.ndarray, *, threshold: float, folder: Path
    ) -> None:
        self.spool, self.columns, self.rows, self.threshold = spool, columns, rows, threshold
        self._recent: OrderedDict[int, Shingles] = OrderedDict()
        self._held = 0
        self._signatures = Signatures(folder)
        for row in rows:
            self._signatures.append(self._read(int(row)))

    def __len__(self) -> int:
        return len(self.rows)

    def pairs(self, wanted: Wanted) -> Iterator[tuple[int, int]]:
        """Similar texts (a, b), a < b, as numbers from 0 to len(self).

        Args:
            wanted: (b, candidates for a) -> (candidates,) bool: which of them would be news.
        """
        count, values = bands(self.threshold)
        spread = math.sqrt(self.threshold * (1 - self.threshold) / PERMUTATIONS)
        lowest = self.threshold - DEVIATIONS * spread
        for band, group in self._signatures.groups(count, values):
            yield from self._similar(band, values, group, lowest, wanted)

    def close(self) -> None:
        """Give the disk back."""
        self._signatures.close()

    def similarity(self, a: int, b: int) -> float:
        """The true Jaccard similarity of two texts."""
        return jaccard(self._shingles(a), self._shingles(b))

    def _similar(
        self, band: int, values: int, group: np.ndarray, lowest: float, wanted: Wanted
    ) -> Iterator[tuple[int, int]]:
        signed: np.ndarray | None = None
        for place in range(1, len(group)):
            b, before = int(group[place]), group[:place]
            places = np.flatnonzero(wanted(b, before))
            if not len(places):
                continue
            if signed is None:
                signed = self._signatures.take(group)
            same = signed[places] == signed[place]  # (candidates, PERMUTATIONS) bool
            met = same[:, : band * values].reshape(len(places), band, values).all(axis=2).any(axis=1)
            for a in before[places[(same.mean(axis=1) >= lowest) & ~met]]:
                if wanted(b, np.array([a]))[0] and self.similarity(int(a), b) >= self.threshold:
                    yield int(a), b

    def _shingles(self, text: int) -> Shingles:
        found = self._recent.get(text)
        if found is not None:
            self._recent.move_to_end(text)
            return found
        found = self._read(int(self.rows[text]))
        self._recent[text] = found
        self._held += len(found)
        while self._held > CACHED_SHINGLES and len(self._recent) > 2:
            self._held -= len(self._recent.popitem(last=False)[1])
        return found

    def _read(self, row: int) -> Shingles:
        return row_shingles(self.spool[row], self.columns)


def row_shingles(row: Row, columns: Sequence[str]) -> Shingles:
    """The three-word shingles of a row's text; of several texts, each marked by the place of its column."""
    texts = [str(member(row, column)) for column in columns]
    if len(texts) == 1:
        return shingles(texts[0])
    return frozenset(f"{place}\x1f{some}" for place, text in enumerate(texts) for some in shingles(text))
