"""Other words for the same thing, by rules that need no model; and the end of a text cut off.

The rules are English and few, so that each is surely a paraphrase; a text of another language comes back as it was.
Contractions are CheckList's (Ribeiro et al. 2020, arXiv:2005.04118).
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np

_LONG = {
    "aren't": "are not", "can't": "cannot", "couldn't": "could not", "didn't": "did not", "doesn't": "does not",
    "don't": "do not", "hadn't": "had not", "hasn't": "has not", "haven't": "have not", "isn't": "is not",
    "shouldn't": "should not", "wasn't": "was not", "weren't": "were not", "won't": "will not",
    "wouldn't": "would not", "i'm": "i am", "you're": "you are", "we're": "we are", "they're": "they are",
    "i've": "i have", "you've": "you have", "we've": "we have", "they've": "they have", "i'll": "i will",
    "you'll": "you will", "we'll": "we will", "they'll": "they will",
}  # fmt: skip
_TO_TWELVE = "zero one two three four five six seven eight nine ten eleven twelve"
_NUMBERS = {str(number): word for number, word in enumerate(_TO_TWELVE.split(" "))}
_BRITISH = {
    "color": "colour", "colors": "colours", "favorite": "favourite", "honor": "honour", "behavior": "behaviour",
    "neighbor": "neighbour", "neighbors": "neighbours", "humor": "humour", "labor": "labour", "center": "centre",
    "theater": "theatre", "organize": "organise", "organized": "organised", "realize": "realise",
    "realized": "realised", "recognize": "recognise", "apologize": "apologise", "defense": "defence",
    "offense": "offence", "gray": "grey", "traveled": "travelled", "canceled": "cancelled", "jewelry": "jewellery",
    "mom": "mum", "pajamas": "pyjamas", "skeptical": "sceptical",
}  # fmt: skip


def _both_ways(pairs: Mapping[str, str]) -> tuple[re.Pattern[str], Mapping[str, str]]:
    table = {**pairs, **{b: a for a, b in pairs.items()}}
    longest_first = sorted(table, key=lambda words: (-len(words), words))
    inside = "|".join(re.escape(words) for words in longest_first)
    # A digit of "3.5", of "2,000" or of a date is no number of its own.
    return re.compile(rf"(?<![\w.,:/-])(?:{inside})(?![\w'\u2019]|[.,:/-]\d)", re.IGNORECASE), table


_CONTRACTIONS, _NUMBER_WORDS, _SPELLING = (_both_ways(pairs) for pairs in (_LONG, _NUMBERS, _BRITISH))


def contractions(text: str, rate: float, random: np.random.Generator) -> str:
    """'do not' for 'don't', and the other way."""
    return _replaced(text.replace("\u2019", "'") if "\u2019" in text else text, *_CONTRACTIONS, otherwise=text)


def number_words(text: str, rate: float, random: np.random.Generator) -> str:
    """'three' for '3', up to twelve, and the other way; 'one' stays, for it is seldom a number."""
    return _replaced(text, *_NUMBER_WORDS, keeps=("one",))


def spelling(text: str, rate: float, random: np.random.Generator) -> str:
    """British for American spelling, and the other way."""
    return _replaced(text, *_SPELLING)


def truncated(text: str, rate: float, random: np.random.Generator) -> str:
    """A share of the words cut off at the end; the first one always stays."""
    words = list(re.finditer(r"\S+", text))
    kept = max(1, len(words) - round(rate * len(words)))
    return text if kept >= len(words) else text[: words[kept - 1].end()]


def _replaced(
    text: str,
    pattern: re.Pattern[str],
    table: Mapping[str, str],
    *,
    keeps: tuple[str, ...] = (),
    otherwise: str | None = None,
) -> str:
    """Every term with its counterpart in its case; `otherwise` (the text as it came) where there is none."""

    def counterpart(match: re.Match[str]) -> str:
        found = match.group()
        if found.lower() in keeps:
            return found
        other = table[found.lower()]
        if found.isupper() and len(found) > 1:
            return other.upper()
        return other[0].upper() + other[1:] if found[0].isupper() or found[:2] in ("I ", "I'") else other

    changed = pattern.sub(counterpart, text)
    return otherwise if changed == text and otherwise is not None else changed
