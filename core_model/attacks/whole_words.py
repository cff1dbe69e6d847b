"""Which tokens of a vocabulary are whole words: what can stand in a word's place, or before a text, in one piece."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

BEGINNINGS = "\u0120\u2581"  # how byte-level BPE and SentencePiece write the space before a word


def whole_words(tokenizer: Any) -> Mapping[int, str]:
    """Token id -> word, in the order of the ids: ASCII letters alone, two or more, that begin a word and end it.

    Where the vocabulary marks beginnings, tokens without the mark go on with a word; where it marks the others ("##"),
    those without begin one.
    """
    vocabulary = sorted(tokenizer.get_vocab().items(), key=lambda pair: pair[1])
    marked = any(token[:1] in BEGINNINGS for token, _ in vocabulary if token)
    words = {}
    for token, row in vocabulary:
        word = token[1:] if marked and token[:1] in BEGINNINGS else token
        if (word != token) == marked and word.isascii() and word.isalpha() and len(word) > 1:
            words[row] = word
    return words
