"""What an attacker does not allow himself, so that a person still reads the same text.

A constraint is asked before a word is touched (`may_change`), and again of each text that results (`allows`). How alike
two sentences are is asked of an encoder for many texts at once, and therefore stands in `core_model.attacks.requests`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from core_model.attacks.sentence import Sentence


class Constraint:
    """Allows everything; each constraint forbids something."""

    def may_change(self, sentence: Sentence, place: int) -> bool:
        """Whether the word at a place may be replaced now."""
        return True

    def allows(self, original: Sentence, candidate: Sentence, place: int) -> bool:
        """Whether a text may be asked, whose word at `place` was just replaced."""
        return True


@dataclass(frozen=True)
class StopWords(Constraint):
    """Words without content stay, in whatever case."""

    words: frozenset[str]

    def may_change(self, sentence: Sentence, place: int) -> bool:
        """See Constraint."""
        return sentence.words[place].casefold() not in self.words


@dataclass(frozen=True)
class OnlyOnce(Constraint):
    """A word that was replaced is not replaced again."""

    def may_change(self, sentence: Sentence, place: int) -> bool:
        """See Constraint."""
        return place not in sentence.changed


@dataclass(frozen=True)
class LongestEdit(Constraint):
    """At most so many letters differ from the original (Levenshtein distance; 30 in DeepWordBug)."""

    letters: int = 30

    def allows(self, original: Sentence, candidate: Sentence, place: int) -> bool:
        """See Constraint. Words are compared one by one: their distances add up to that of the text, or more."""
        distance = sum(edit_distance(original.words[at], candidate.words[at]) for at in candidate.changed)
        return distance <= self.letters or edit_distance(original.text, candidate.text) <= self.letters


@dataclass(frozen=True)
class ShareOfWords(Constraint):
    """At most this share of the words is replaced, and always at least one may be."""

    share: float

    def may_change(self, sentence: Sentence, place: int) -> bool:
        """See Constraint."""
        return place in sentence.changed or len(sentence.changed) < max(1, int(self.share * len(sentence)))


@dataclass(frozen=True)
class SamePartOfSpeech(Constraint):
    """A word is replaced by one that can be the same part of speech; a word of none that is known by any.

    Which part it is in this sentence is not asked: a lexicon knows what a word can be, and that is compared.
    """

    parts: Callable[[str], frozenset[str]]

    def allows(self, original: Sentence, candidate: Sentence, place: int) -> bool:
        """See Constraint."""
        before, after = self.parts(original.words[place]), self.parts(candidate.words[place])
        return not before or not after or bool(before & after)


@lru_cache(maxsize=1)
def english_stop_words() -> frozenset[str]:
    """scikit-learn's 318 English stop words, and what is left of them when an apostrophe is cut off."""
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

    return frozenset(ENGLISH_STOP_WORDS) | {"s", "t", "d", "ll", "m", "re", "ve", "don", "doesn", "isn", "didn"}


@lru_cache(maxsize=100_000)
def edit_distance(one: str, other: str) -> int:
    """Letters inserted, deleted or substituted, at least (Levenshtein 1966; dynamic programming of Wagner-Fischer)."""
    before = np.arange(len(other) + 1)
    letters = np.array([ord(letter) for letter in other], dtype=np.int64)
    for row, letter in enumerate(one, start=1):
        now = np.empty_like(before)
        now[0] = row
        now[1:] = np.minimum(before[:-1] + (letters != ord(letter)), before[1:] + 1)
        # An insertion leans on the cell before it: the least over all cells before, each plus its distance.
        steps = np.arange(len(now))
        before = np.minimum.accumulate(now - steps) + steps
    return int(before[-1])
