"""A smoothed classifier: many looks at parts of a text, one vote each, and an answer that few words cannot turn.

    smoothed = SmoothedClassifier(predictor, Smoothing(keep=0.3))
    smoothed.predict(["a good book"]).predicted              # in the place of the predictor itself
    smoothed.certify(["a good book"])[0].radius              # words that may be replaced without turning the answer

Each look shows the model a random subset of the words, in their order; the others are left out, or masked as in the
paper. Either way a look says nothing about the words that it does not hold, which is all that the certificate needs.
Where there are no more subsets than looks, all of them are taken and the votes are counts, not estimates. A text's
looks follow from (seed, text) alone. `core_model.smoothed_prediction` puts it in the place of a whole predictor.

A model that never saw gaps answers badly about parts of texts: `aboveboard train --augment token-dropout
--token-dropout-rate 0.7` trains it on such.

Sources: Zeng et al. 2021 (RanMASK), arXiv:2105.03743; Cohen et al. 2019, arXiv:1902.02918, algorithms 1 and 2.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import combinations
from math import comb
from typing import Protocol

import numpy as np

from core_model.errors import OptionUnfit
from core_model.predictions import Predictions
from core_model.smoothing_certificate import lower_limit, radius_of, subset_size


class Classifier(Protocol):
    """As much of a predictor as is asked here."""

    def predict(self, texts: Sequence[str], pairs: Sequence[str] | None = None) -> Predictions:
        """Logits of each text, or pair of texts."""
        ...


@dataclass(frozen=True)
class Smoothing:
    """How a text is looked at.

    Attributes:
        keep: share of the words that a look shows, in (0, 1]; smaller: larger radii and worse answers.
        looks: subsets drawn for the votes that are counted.
        choosing: further subsets, drawn first, whose majority is the answer that the others are asked about (Cohen et
            al.: the same votes cannot both choose an answer and vouch for it).
        failure_probability: with which one text's certificate may be wrong.
        mask: what stands in the place of a hidden word; None: nothing.
    """

    keep: float = 0.3
    looks: int = 100
    choosing: int = 16
    failure_probability: float = 0.001
    mask: str | None = None

    def __post_init__(self) -> None:
        if not 0 < self.keep <= 1 or self.looks < 1 or self.choosing < 1 or not 0 < self.failure_probability < 1:
            raise OptionUnfit(
                f"smoothing with keep={self.keep}, looks={self.looks}, choosing={self.choosing}, "
                f"failure_probability={self.failure_probability} cannot be",
                mend="a share of words above 0, one look or more, and a probability between 0 and 1",
            )
        if self.mask is not None and len(self.mask.split()) != 1:
            raise OptionUnfit(
                f"smoothing with mask={self.mask!r} cannot be: one word stands in the place of one word",
                mend="the tokenizer's mask, such as [MASK] or <mask>; without a mask hidden words are left out",
            )


@dataclass(frozen=True)
class Certificate:
    """What the looks at one text say.

    Attributes:
        answer: class index; None where it abstains, since no class has surely more than half of the votes.
        words: of the text.
        share: of the looks that voted for the answer (or, where it abstains, for the most voted class).
        limit: what the share surely is, at least.
        radius: words that may be replaced by any others, the number of words staying, without turning the answer;
            None where it abstains.
        exact: whether every subset was looked at.
    """

    answer: int | None
    words: int
    share: float
    limit: float
    radius: int | None
    exact: bool


class SmoothedClassifier:
    """A classifier made of many looks; it can stand wherever a predictor's `predict` is asked.

    Args:
        predictor: who looks; its cache pays for equal looks once.
        smoothing: how.
        seed: draws the subsets.
    """

    def __init__(self, predictor: Classifier, smoothing: Smoothing | None = None, *, seed: int = 0) -> None:
        self.predictor, self.smoothing, self.seed = predictor, smoothing or Smoothing(), seed

    def predict(self, texts: Sequence[str], pairs: Sequence[str] | None = None) -> Predictions:
        """Shares of the votes in the place of probabilities: logits are their logarithms, (rows, classes).

        All looks count, and there are none to choose by: nothing is vouched for here. A class without a vote has half
        of one, since so few looks cannot tell a rare answer from one that is never given, and log loss stays finite.
        """
        _, counted, _ = self._votes(texts, pairs, choosing=0)
        votes = np.maximum(counted, 0.5)
        return Predictions(np.log(votes / votes.sum(axis=1, keepdims=True)).astype(np.float32))

    def certify(self, texts: Sequence[str], pairs: Sequence[str] | None = None) -> list[Certificate]:
        """The answer to each text, and how many of its words may be replaced.

        Args:
            texts: (rows,) whose words may be replaced; pairs: (rows,) second texts, which are shown whole.
        """
        if not len(texts):
            return []
        chosen, counted, exact = self._votes(texts, pairs, choosing=self.smoothing.choosing)
        answers = chosen.argmax(axis=1)
        rows, asked = np.arange(len(texts)), counted.sum(axis=1)
        votes = counted[rows, answers]
        shares = votes / np.maximum(asked, 1)
        limits = np.where(exact, shares, lower_limit(votes, asked, self.smoothing.failure_probability))
        return [
            self._certificate(len(text.split()), int(answer), float(share), float(limit), bool(whole))
            for text, answer, share, limit, whole in zip(texts, answers, shares, limits, exact, strict=True)
        ]

    def _certificate(self, words: int, answer: int, share: float, limit: float, exact: bool) -> Certificate:
        radius = radius_of(limit, words, subset_size(words, self.smoothing.keep))
        return Certificate(answer if radius is not None else None, words, share, limit, radius, exact)

    def _votes(
        self, texts: Sequence[str], pairs: Sequence[str] | None, *, choosing: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Votes that choose and votes that are counted, (rows, classes) each; and whether they are all there are."""
        looks, of_row, choose, exact = [], [], [], []
        for row, text in enumerate(texts):
            shown, whole = self.looks(text, choosing=choosing)
            looks += shown
            of_row += [row] * len(shown)
            choose += [whole or place < choosing for place in range(len(shown))]
            exact.append(whole)
        others = None if pairs is None else [pairs[row] for row in of_row]
        predictions = self.predictor.predict(looks, others)
        whole_rows, rows, chooses = np.array(exact, dtype=bool), np.array(of_row, dtype=np.int64), np.array(choose)
        chosen, counted = (np.zeros((len(texts), predictions.logits.shape[1]), dtype=np.int64) for _ in range(2))
        if len(rows):
            np.add.at(chosen, (rows[chooses], predictions.predicted[chooses]), 1)
            counts = ~chooses | whole_rows[rows]
            np.add.at(counted, (rows[counts], predictions.predicted[counts]), 1)
        return chosen, counted, whole_rows

    def looks(self, text: str, *, choosing: int | None = None) -> tuple[list[str], bool]:
        """Parts of a text, and whether they are all parts that there are; first those that choose the answer.

        Args:
            choosing: how many of these; None: as the smoothing says. Fewer are the first ones of more.
        """
        words = text.split()
        kept = subset_size(len(words), self.smoothing.keep)
        if comb(len(words), kept) <= self.smoothing.looks:
            return [self._shown(text, words, places) for places in combinations(range(len(words)), kept)], True
        named = int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")
        random = np.random.default_rng([self.seed, named])
        number = self.smoothing.looks + (self.smoothing.choosing if choosing is None else choosing)
        places = random.random((number, len(words))).argpartition(kept - 1, axis=1)[:, :kept]
        return [self._shown(text, words, sorted(some.tolist())) for some in places], False

    def _shown(self, text: str, words: Sequence[str], places: Sequence[int]) -> str:
        if not words:
            return text
        return " ".join(_kept(words, places, self.smoothing.mask))


def _kept(words: Sequence[str], places: Sequence[int], mask: str | None) -> Iterator[str]:
    """The words at these places, with a mask in the place of each of the others where there is one."""
    if mask is None:
        yield from (words[place] for place in places)
        return
    shown = set(places)
    yield from (word if place in shown else mask for place, word in enumerate(words))
