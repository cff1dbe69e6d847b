"""Words that are changed in a text while everything around them stays, and the slips of typing."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np

_WORD = re.compile(r"[^\W_]+(?:['\u2019][^\W_]+)*")
_ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")


def change_words(
    text: str,
    rate: float,
    random: np.random.Generator,
    change: Callable[[str], str],
    *,
    fits: Callable[[str], bool] = bool,
) -> str:
    """The text with a share of its words changed: rate times the words that fit, rounded, and at least one.

    Args:
        rate: in (0, 1].
        change: from a word to what stands in its place.
        fits: which words can be changed.
    """
    words = [match for match in _WORD.finditer(text) if fits(match.group())]
    if not words:
        return text
    count = max(1, round(rate * len(words)))
    chosen = np.sort(random.permutation(len(words))[:count]) if count < len(words) else range(len(words))
    parts: list[str] = []
    done = 0
    for place in chosen:
        word = words[place]
        parts += [text[done : word.start()], change(word.group())]
        done = word.end()
    return "".join([*parts, text[done:]])


def typos(text: str, rate: float, random: np.random.Generator) -> str:
    """One slip of a finger in each of a share of the words: a neighbouring key, letters swapped, doubled, left out.

    Numbers stay: another digit is another number.
    """
    return change_words(
        text, rate, random, lambda word: typo(word, random), fits=lambda word: len(word) > 1 and word[0].isalpha()
    )


def typo(word: str, random: np.random.Generator) -> str:
    """A word of two letters or more with one slip; it is never the word itself."""
    slips = [_neighbour, _doubled, _left_out, _swapped]
    for number in random.permutation(len(slips)):
        slipped = slips[number](word, random)
        if slipped != word:
            return slipped
    return word[:-1]


def _neighbour(word: str, random: np.random.Generator) -> str:
    places = [place for place, letter in enumerate(word) if letter.lower() in NEIGHBOURS]
    if not places:
        return word
    place = places[int(random.integers(len(places)))]
    near = NEIGHBOURS[word[place].lower()]
    letter = near[int(random.integers(len(near)))]
    return word[:place] + (letter.upper() if word[place].isupper() else letter) + word[place + 1 :]


def _doubled(word: str, random: np.random.Generator) -> str:
    place = int(random.integers(len(word)))
    return word[: place + 1] + word[place:]


def _left_out(word: str, random: np.random.Generator) -> str:
    place = int(random.integers(len(word)))
    return word[:place] + word[place + 1 :]


def _swapped(word: str, random: np.random.Generator) -> str:
    places = [place for place in range(len(word) - 1) if word[place] != word[place + 1]]
    if not places:
        return word
    place = places[int(random.integers(len(places)))]
    return word[:place] + word[place + 1] + word[place] + word[place + 2 :]


def _neighbours() -> dict[str, str]:
    """Of each letter, those whose keys touch its own on a QWERTY keyboard; rows are shifted by half a key."""
    near: dict[str, str] = {}
    for height, row in enumerate(_ROWS):
        for place, letter in enumerate(row):
            beside = [(height, place - 1), (height, place + 1), (height - 1, place), (height - 1, place + 1),
                      (height + 1, place - 1), (height + 1, place)]  # fmt: skip
            near[letter] = "".join(_ROWS[h][p] for h, p in beside if 0 <= h < len(_ROWS) and 0 <= p < len(_ROWS[h]))
    return near


NEIGHBOURS = _neighbours()
