"""The rows under attack: drawn at random among those with a word, the same for every attack that asks for as many."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from audit.plugin import Need
from core_model.attacks.sentence import Sentence

if TYPE_CHECKING:
    from audit.subject import Subject


@dataclass(frozen=True)
class Sample:
    """Some rows, in random order.

    Attributes:
        rows: (rows,) int64, their places in the data.
        texts, pairs: (rows,).
        targets: (rows,) index of the class that is right; where there are no labels, of the class that was predicted.
        predicted: (rows,) index of the class that was predicted.
        labelled: whether `targets` are labels.
        without_words: rows of the data that hold no word, and could not be drawn.
    """

    rows: np.ndarray
    texts: Sequence[str]
    pairs: Sequence[str] | None
    targets: np.ndarray
    predicted: np.ndarray
    labelled: bool
    without_words: int

    def __len__(self) -> int:
        return len(self.rows)

    def first(self, most: int) -> Sample:
        """At most so many of the rows; these are random, too."""
        return Sample(
            self.rows[:most], self.texts[:most], None if self.pairs is None else self.pairs[:most],
            self.targets[:most], self.predicted[:most], self.labelled, self.without_words,
        )  # fmt: skip


def draw(subject: Subject, most: int, random: np.random.Generator) -> Sample:
    """At most so many rows that hold a word."""
    words = np.array([len(Sentence.of(text)) > 0 for text in subject.texts], dtype=bool)
    rows = random.permutation(np.flatnonzero(words))[:most]
    pairs = subject.data.pairs
    predicted = subject.predictions.predicted[rows]
    labelled = subject.has(Need.LABELS)
    return Sample(
        rows=rows,
        texts=[subject.texts[row] for row in rows],
        pairs=None if pairs is None else [pairs[row] for row in rows],
        targets=subject.targets[rows] if labelled else predicted,
        predicted=predicted,
        labelled=labelled,
        without_words=int((~words).sum()),
    )
