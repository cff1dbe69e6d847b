"""The words of a text: where they stand, which sub-words make them up, and the text without some of them.

A word is a run of letters and digits (with apostrophes inside), one ideograph, or one punctuation mark. A pair of texts
is one list of words, first text first. Words that the model does not see, because the text was cut, are no words here.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

# Scripts without spaces are read one character at a time, as WordPiece reads them.
_IDEOGRAPH = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_WORD = re.compile(rf"[{_IDEOGRAPH}]|(?:(?![{_IDEOGRAPH}])\w)+(?:['\u2019](?:(?![{_IDEOGRAPH}])\w)+)*|[^\w\s]")


@dataclass(frozen=True)
class Worded:
    """A text (or a pair of texts) as words.

    Attributes:
        text, pair: the texts, cut after the last word that the model sees.
        spans: (words,) of (0 for the text and 1 for its pair, start, end) in characters, in reading order.
    """

    text: str
    pair: str | None
    spans: tuple[tuple[int, int, int], ...]

    def __len__(self) -> int:
        return len(self.spans)

    @property
    def words(self) -> tuple[str, ...]:
        """The words as they are written."""
        return tuple((self.text, self.pair or "")[which][start:end] for which, start, end in self.spans)

    def without(self, gone: Sequence[int] | np.ndarray) -> tuple[str, str | None]:
        """Text and pair with some words deleted; what stood around them stays, one space in the place of several."""
        dropped = set(np.asarray(gone, dtype=np.int64).tolist())
        texts = []
        for which, text in enumerate((self.text, self.pair)):
            if text is None:
                continue
            at, kept = 0, []
            for place, (of, start, end) in enumerate(self.spans):
                if of == which and place in dropped:
                    kept.append(text[at:start])
                    at = end
            kept.append(text[at:])
            left = "".join(kept)
            # Only a text that lost something is tidied: a text without deletions is itself, to the byte.
            texts.append(" ".join(left.split()) if at else left)
        return texts[0], texts[1] if self.pair is not None else None

    def only(self, kept: Sequence[int] | np.ndarray) -> tuple[str, str | None]:
        """Text and pair with all other words deleted."""
        return self.without(np.setdiff1d(np.arange(len(self)), np.asarray(kept, dtype=np.int64)))


def split_words(text: str) -> list[tuple[int, int]]:
    """Start and end of each word, in reading order."""
    return [found.span() for found in _WORD.finditer(text)]


def word_text(
    text: str, pair: str | None, offsets: np.ndarray, sequence: np.ndarray, *, cut: bool
) -> tuple[Worded, np.ndarray]:
    """The words of a tokenized text, and which of them each token belongs to.

    Args:
        offsets: (tokens, 2) place of each token in its text, in characters.
        sequence: (tokens,) 0 for the text, 1 for its pair, -1 for special tokens.
        cut: whether the tokenizer may have cut the texts.
    Returns: the words, and (tokens,) int64 index of each token's word, -1 where it has none.
    """
    seen = [text, pair]
    if cut:
        for which, whole in enumerate(seen):
            if whole is not None:
                seen[which] = whole[: int(offsets[sequence == which, 1].max(initial=0))]
    spans = [(which, *span) for which, some in enumerate(seen) if some is not None for span in split_words(some)]
    of_token = np.full(len(offsets), -1, dtype=np.int64)
    for which in (0, 1):
        places = np.array([place for place, span in enumerate(spans) if span[0] == which], dtype=np.int64)
        tokens = np.flatnonzero((sequence == which) & (offsets[:, 1] > offsets[:, 0]))
        if not len(places) or not len(tokens):
            continue
        ends = np.array([spans[place][2] for place in places])
        starts = np.array([spans[place][1] for place in places])
        # The first word that ends after the token begins; it is the token's when it begins before the token ends.
        found = np.searchsorted(ends, offsets[tokens, 0], side="right")
        inside = (found < len(places)) & (starts[np.minimum(found, len(places) - 1)] < offsets[tokens, 1])
        of_token[tokens[inside]] = places[found[inside]]
    first = seen[0]
    return Worded(first if first is not None else text, seen[1], tuple(spans)), of_token


def merged(token_scores: np.ndarray, of_token: np.ndarray, words: int) -> np.ndarray:
    """Scores of words from those of their sub-words, by sum: (tokens,) to (words,)."""
    inside = of_token >= 0
    return np.bincount(of_token[inside], weights=token_scores[inside], minlength=words)[:words]
