"""Rows that were read, cleaned and let through: whole on disk, and in memory the few numbers that later steps need."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from core_model.preprocessing.keys import row_keys, text_key
from core_model.preprocessing.reading import Row
from core_model.preprocessing.spool import Spool


class WaitingRows:
    """Takes rows one at a time; after `finish`, what it knows of them are arrays.

    Attributes:
        columns: of the sides' texts.
        spool: the rows themselves, as JSON lines on disk.
        numbers: (rows,) each row's number in the input, from 1.
        words, characters: (rows, sides) lengths.
        keys: (rows, sides) uint64, names of the texts; row_keys: (rows,) uint64, of all sides together.
        labels, groups: (rows,) uint64, names of the label and of the value that is split by; 0s where there are none.
    """

    def __init__(self, columns: Sequence[str], folder: Path) -> None:
        self.columns = tuple(columns)
        self.spool = Spool(folder)
        self._numbers, self._keys = array("Q"), array("Q")
        self._labels, self._groups = array("Q"), array("Q")
        self._words, self._characters = array("I"), array("I")

    def __len__(self) -> int:
        return len(self.spool)

    def append(self, number: int, row: Row, texts: Sequence[str], *, label: str, group: str) -> None:
        """One more row.

        Args:
            texts: of its sides; label, group: as texts, empty where there is none.
        """
        self.spool.append(row)
        self._numbers.append(number)
        self._labels.append(text_key(label))
        self._groups.append(text_key(group))
        for text in texts:
            self._keys.append(text_key(text))
            self._words.append(len(text.split()))
            self._characters.append(len(text))

    def finish(self) -> None:
        """End the taking; only now can rows be read."""
        self.spool.finish()
        sides = len(self.columns)
        self.numbers = np.frombuffer(self._numbers, np.uint64) if len(self) else np.zeros(0, np.uint64)
        self.keys = _table(self._keys, sides)
        self.words, self.characters = _table(self._words, sides), _table(self._characters, sides)
        self.labels, self.groups = _table(self._labels, 1)[:, 0], _table(self._groups, 1)[:, 0]
        self.row_keys = row_keys(self.keys)

    @property
    def state_bytes(self) -> int:
        """Memory that these rows take; temporary arrays of the steps come on top."""
        arrays = (self.numbers, self.keys, self.words, self.characters, self.labels, self.groups, self.row_keys)
        return self.spool.state_bytes + sum(some.nbytes for some in arrays)

    def way_keys(self, way: Sequence[int]) -> np.ndarray:
        """Names of the rows by some of their sides: all of them, or one. (rows,) uint64."""
        return self.row_keys if len(way) == len(self.columns) else self.keys[:, way[0]]

    def close(self) -> None:
        """Give the disk back."""
        self.spool.close()


def _table(values: array, columns: int) -> np.ndarray:
    if not len(values):
        return np.zeros((0, columns), np.uint64)
    return np.frombuffer(values, dtype=values.typecode).reshape(-1, columns)
