"""What a search asks, and what it is told: a search is a generator that yields questions and is sent the answers.

So a search reads like the method section of its paper, for one text; and whoever runs many of them can collect the
questions of all and ask the model once (`core_model.attacks.lock_step`).
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field

import numpy as np

from core_model.attacks.constraints import Constraint
from core_model.attacks.goal import Goal
from core_model.attacks.sentence import Sentence
from core_model.attacks.transformations import Transformation

ROUNDING = 1e-6  # of a probability, between batches


@dataclass(frozen=True)
class AskScores:
    """How near each text comes to the goal. The answer may be shorter than the question when the budget ends."""

    sentences: tuple[Sentence, ...]


@dataclass(frozen=True)
class AskGradients:
    """How strongly each word of a text bears on the goal, to first order. One query, backward pass included."""

    sentence: Sentence


@dataclass(frozen=True)
class AskSimilarity:
    """How alike each text is to a reference, by a sentence encoder; no query of the model under attack."""

    reference: Sentence
    sentences: tuple[Sentence, ...]


@dataclass(frozen=True)
class AskWords:
    """Which words could stand in a place of a text, by whoever reads the rest of it; no query of the model under
    attack."""

    sentence: Sentence
    place: int


Question = AskScores | AskGradients | AskSimilarity | AskWords
WordsInPlace = Callable[[Sequence[tuple[Sentence, int]]], list[tuple[str, ...]]]  # who answers many AskWords at once


@dataclass(frozen=True)
class Scores:
    """Of each text: the goal's score, and whether the goal is reached, both (texts,)."""

    score: np.ndarray
    reached: np.ndarray

    def __len__(self) -> int:
        return len(self.score)


Answer = Scores | np.ndarray | tuple[str, ...]  # an array: (words,) of gradients, or (texts,) of similarities
Steps = Generator[Question, Answer, None]


@dataclass
class Attempt:
    """One text under attack; a search moves `current`, and whoever ends the search finds it there.

    Attributes:
        original, current: the text as it was, and the best so far.
        moved: whether any text that was asked has another score than the original.
        score: of the current text; reached: whether it does what the attacker wants.
        random: draws for this text alone, so that no other text moves it.
        unknown: what a word is replaced by to see how much it matters.
        transformation: what a word is replaced by, as the word alone says; None: its place in the text is asked.
        least_similarity: cosine to the original below which a text is not tried; None: not asked.
    """

    original: Sentence
    goal: Goal
    score: float
    transformation: Transformation | None
    constraints: tuple[Constraint, ...]
    random: np.random.Generator
    unknown: str
    least_similarity: float | None = None
    current: Sentence = field(init=False)
    reached: bool = field(init=False, default=False)
    moved: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        self.current = self.original
        self._start = self.score

    def told(self, scores: np.ndarray) -> None:
        """Note whether these scores differ from the original's by more than rounding."""
        self.moved = self.moved or bool((np.abs(scores - self._start) > ROUNDING).any())

    def places(self) -> list[int]:
        """Words of the current text that may be replaced."""
        return [
            place
            for place in range(len(self.current))
            if all(constraint.may_change(self.current, place) for constraint in self.constraints)
        ]

    def candidates(self, place: int) -> Generator[Question, Answer, list[Sentence]]:
        """The current text with each replacement of one word that the constraints allow; none twice."""
        word = self.current.words[place]
        if self.transformation is None:
            told = yield AskWords(self.current, place)
            assert isinstance(told, tuple)  # noqa: S101  what AskWords is answered with
        else:
            told = tuple(self.transformation(word, self.random))
        others = dict.fromkeys(told)
        found = [self.current.with_word(place, other) for other in others if other not in (word, "")]
        return [
            sentence
            for sentence in found
            if all(constraint.allows(self.original, sentence, place) for constraint in self.constraints)
        ]

    def move(self, sentence: Sentence, score: float, *, reached: bool) -> None:
        """Go on from this text."""
        self.current, self.score, self.reached = sentence, score, reached
