"""A text as an attacker edits it: words that can be replaced, and what stands between them, which stays.

A word is a run of letters and digits with apostrophes inside; punctuation is no word here, so that no edit is spent on
it. Of a pair of texts the first is edited, and the second stays.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

from core_model.attribution_words import split_words


@dataclass(frozen=True)
class Sentence:
    """A text, and which of its words were changed.

    Attributes:
        words: (words,) as they are now.
        gaps: (words + 1,) what stands before, between and after them.
        changed: places of the words that were replaced.
        pair: the second text, where the task has one.
    """

    words: tuple[str, ...]
    gaps: tuple[str, ...]
    changed: frozenset[int] = frozenset()
    pair: str | None = None

    @classmethod
    def of(cls, text: str, pair: str | None = None) -> Sentence:
        """Split a text, which can be put together again to the byte."""
        spans = [(start, end) for start, end in split_words(text) if any(c.isalnum() for c in text[start:end])]
        begins, ends = [start for start, _ in spans], [end for _, end in spans]
        gaps = [text[start:end] for start, end in zip([0, *ends], [*begins, len(text)], strict=True)]
        return cls(tuple(text[start:end] for start, end in spans), tuple(gaps), pair=pair)

    def __len__(self) -> int:
        return len(self.words)

    @cached_property
    def text(self) -> str:
        """The whole text, as the model reads it."""
        return "".join(part for both in zip(self.gaps, (*self.words, ""), strict=True) for part in both)

    def with_word(self, place: int, word: str) -> Sentence:
        """The same with another word at a place, which counts as changed."""
        words = (*self.words[:place], word, *self.words[place + 1 :])
        return replace(self, words=words, changed=self.changed | {place})

    def without(self, place: int) -> Sentence:
        """The same with a word left out, and one of the spaces around it."""
        gaps = self.gaps
        if gaps[place].endswith(" ") and gaps[place + 1].startswith(" "):
            gaps = (*gaps[:place], gaps[place][:-1], *gaps[place + 1 :])
        return replace(self.with_word(place, ""), gaps=gaps)
