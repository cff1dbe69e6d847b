"""Case, punctuation and spaces: what a text looks like, not what it says."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

import numpy as np

_MARKS = (",", ".", "!", "...", " -", ";")
_SPACES = ("  ", "\t", " \n", "   ")
_SPACE = re.compile(r"(?<=\S)[ \t]+(?=\S)")


def lower_case(text: str, rate: float, random: np.random.Generator) -> str:
    """Every letter small."""
    return text.lower()


def upper_case(text: str, rate: float, random: np.random.Generator) -> str:
    """Every letter a capital."""
    return text.upper()


def random_case(text: str, rate: float, random: np.random.Generator) -> str:
    """A share of the letters in the other case."""
    turned = random.random(len(text)) < rate
    return "".join(letter.swapcase() if turn else letter for letter, turn in zip(text, turned, strict=True))


def without_punctuation(text: str, rate: float, random: np.random.Generator) -> str:
    """No punctuation (Unicode categories P...) but for marks inside words and numbers; a text of nothing else stays."""
    bare = "".join(
        letter
        for place, letter in enumerate(text)
        if not unicodedata.category(letter).startswith("P") or _inside_word(text, place)
    )
    return bare if bare.strip() else text


def _inside_word(text: str, place: int) -> bool:
    before, after = text[place - 1 : place], text[place + 1 : place + 2]
    return (text[place] in "'\u2019-" and before.isalnum() and after.isalnum()) or (
        before.isdigit() and after.isdigit()
    )


def punctuation_added(text: str, rate: float, random: np.random.Generator) -> str:
    """A mark before a share of the spaces; a text without spaces gets one at its end."""
    gaps = [match.start() for match in _SPACE.finditer(text)]
    if not gaps:
        return text + _MARKS[int(random.integers(len(_MARKS)))] if text.strip() else text
    chosen = sorted(random.permutation(gaps)[: max(1, round(rate * len(gaps)))].tolist())
    for place in reversed(chosen):
        text = text[:place] + _MARKS[int(random.integers(len(_MARKS)))] + text[place:]
    return text


def spaces_added(text: str, rate: float, random: np.random.Generator) -> str:
    """A share of the spaces made longer, and one before and behind the text."""
    if not text.strip():
        return text
    return " " + _at_spaces(text, rate, random, lambda space: _SPACES[int(random.integers(len(_SPACES)))]) + " "


def spaces_lost(text: str, rate: float, random: np.random.Generator) -> str:
    """A share of the spaces left out, so that words run together; at least one."""
    return _at_spaces(text, rate, random, lambda space: "")


def _at_spaces(text: str, rate: float, random: np.random.Generator, change: Callable[[str], str]) -> str:
    spaces = list(_SPACE.finditer(text))
    if not spaces:
        return text
    chosen = random.permutation(len(spaces))[: max(1, round(rate * len(spaces)))]
    for place in sorted(chosen.tolist(), reverse=True):
        space = spaces[place]
        text = text[: space.start()] + change(space.group()) + text[space.end() :]
    return text
