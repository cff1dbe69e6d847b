"""Words near a word in an embedding matrix: its replacements where no thesaurus is asked.

Neighbours of an embedding stand in like contexts; antonyms and names do that, too. A sentence encoder and the part of
speech hold back some of these, and a person has to look at the rest.

Source: the nearest-neighbour candidates of Jin et al. 2019, arXiv:1907.11932, there in counter-fitted vectors.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np


class Neighbours:
    """Nearest whole words by cosine.

    Args:
        vectors: (tokens, hidden) of float32.
        words: word -> its row; word pieces and special tokens left out.
        most: neighbours of a word at most.
        least_cosine: below it a word is no neighbour.
    """

    def __init__(self, vectors: np.ndarray, words: Mapping[str, int], *, most: int, least_cosine: float) -> None:
        self.words = list(words)
        rows = vectors[list(words.values())].astype(np.float32)
        self._unit = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
        self._place = {word: place for place, word in enumerate(self.words)}
        self._most, self._least = most, least_cosine
        self._known: dict[str, tuple[str, ...]] = {}

    def __call__(self, word: str) -> tuple[str, ...]:
        """The neighbours of a word, nearest first; none of a word that is not in the vocabulary."""
        folded = word.casefold()
        place = self._place.get(folded)
        if place is None:
            return ()
        if folded not in self._known:
            cosines = self._unit @ self._unit[place]
            cosines[place] = -1.0
            nearest = np.argsort(-cosines, kind="stable")[: self._most]
            self._known[folded] = tuple(self.words[at] for at in nearest if cosines[at] >= self._least)
        return self._known[folded]
