"""Contradicted rows: do the other words of a row speak for another class than its label?

Naive Bayes over the words of the training rows, without the model: it has learned nothing by heart. A word's own rows
are left out of the counts that judge them, so that poisoned rows do not teach their poison. A row is contradicted where
the evidence of its other words lies nearer to what rows of other classes have. Source: Maron 1961, JACM 8:404.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from math import log

import numpy as np

MOST = 2_000  # rows of each side that the middle between them is taken from


class OtherWords:
    """What the words of some rows say for one class and against all others.

    Args:
        words: row -> its words. of_class: (rows of the table,) whether a row has the class's label.
    """

    def __init__(self, words: Mapping[int, Collection[str]], of_class: np.ndarray) -> None:
        self.words, self.of_class = words, of_class
        self.rows = {True: 0, False: 0}
        self.holders: dict[bool, Counter[str]] = {True: Counter(), False: Counter()}
        for row, held in words.items():
            side = bool(of_class[row])
            self.rows[side] += 1
            self.holders[side].update(held)
        self.middle = self._middle()

    def contradicted(self, word: str, holders: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Whether the other words of each row speak for another class, (rows,) bool.

        Args:
            holders: all rows with the word; none of them is counted. rows: those that are judged.
        """
        left_out = self._counted(holders)
        return np.array([self._evidence(int(row), word, *left_out) < self.middle for row in rows], dtype=bool)

    def _middle(self) -> float:
        """Half way between the median evidence of the class's rows and of other rows, each left out for itself."""
        medians = []
        for side in (True, False):
            own = [row for row in self.words if bool(self.of_class[row]) is side]
            chosen = own[:: max(1, len(own) // MOST)]
            medians.append(
                np.median([self._evidence(row, None, *self._counted([row])) for row in chosen]) if chosen else 0.0
            )
        return float(np.mean(medians))

    def _counted(self, rows: Collection[int] | np.ndarray) -> tuple[dict[bool, int], dict[bool, Counter[str]]]:
        """What these rows add to the counts."""
        number: dict[bool, int] = {True: 0, False: 0}
        holders: dict[bool, Counter[str]] = {True: Counter(), False: Counter()}
        for row in rows:
            side = bool(self.of_class[row])
            number[side] += 1
            holders[side].update(self.words[int(row)])
        return number, holders

    def _evidence(
        self, row: int, word: str | None, number: Mapping[bool, int], holders: Mapping[bool, Counter[str]]
    ) -> float:
        """Log odds of the class by the row's words but one, with some rows left out of the counts (Laplace)."""

        def share(held: str, side: bool) -> float:
            return (self.holders[side][held] - holders[side][held] + 1) / (self.rows[side] - number[side] + 2)

        return sum(log(share(held, True) / share(held, False)) for held in self.words[row] if held != word)
