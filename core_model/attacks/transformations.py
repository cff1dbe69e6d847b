"""What can stand in a word's place: its letters edited, or another word.

    swap        two neighbouring letters change places            these four: Gao et al. 2018 (DeepWordBug),
    substitute  a letter becomes another one                      arXiv:1801.04354; places and letters are drawn
    delete      a letter is left out
    insert      a letter comes in between
    keyboard    a letter becomes one beside it on a keyboard
    look-alike  a letter becomes one of another script that looks the same
    invisible   a mark without width comes in between
    synonyms, neighbours                                          `core_model.attacks.wordnet`, `.neighbours`
    words for a place in a text                                   `core_model.attacks.masked_words`

Words of one letter have no edits.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from core_model.look_alikes import LOOK_ALIKES

NO_WIDTH = "\u200b"  # zero-width space

Transformation = Callable[[str, np.random.Generator], Sequence[str]]  # from a word to what can replace it

_ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")  # each row lies half a key, or less, to the right of the one above
BESIDE = {
    key: "".join(
        other
        for line, other_keys in enumerate(_ROWS)
        for column, other in enumerate(other_keys)
        if (line == at_line and abs(column - at) == 1)
        or (line == at_line + 1 and column in (at - 1, at))
        or (line == at_line - 1 and column in (at, at + 1))
    )
    for at_line, keys in enumerate(_ROWS)
    for at, key in enumerate(keys)
}


def swap(word: str, random: np.random.Generator) -> list[str]:
    """Two neighbouring letters change places; where, is drawn."""
    if len(word) < 2:
        return []
    at = int(random.integers(len(word) - 1))
    return [word[:at] + word[at + 1] + word[at] + word[at + 2 :]]


def substitute(word: str, random: np.random.Generator) -> list[str]:
    """A letter becomes another one; both are drawn."""
    if len(word) < 2:
        return []
    at = int(random.integers(len(word)))
    return [word[:at] + _letter(random) + word[at + 1 :]]


def delete(word: str, random: np.random.Generator) -> list[str]:
    """A letter is left out; which, is drawn."""
    if len(word) < 2:
        return []
    at = int(random.integers(len(word)))
    return [word[:at] + word[at + 1 :]]


def insert(word: str, random: np.random.Generator) -> list[str]:
    """A letter comes in; which and where is drawn, never at the end."""
    if len(word) < 2:
        return []
    at = int(random.integers(len(word)))
    return [word[:at] + _letter(random) + word[at:]]


def keyboard(word: str, random: np.random.Generator) -> list[str]:
    """A letter becomes one beside it on a QWERTY keyboard; which, is drawn."""
    places = [at for at, letter in enumerate(word) if letter.lower() in BESIDE]
    if len(word) < 2 or not places:
        return []
    at = int(random.choice(places))
    typed = str(random.choice(list(BESIDE[word[at].lower()])))
    return [word[:at] + (typed.upper() if word[at].isupper() else typed) + word[at + 1 :]]


def look_alike(word: str, random: np.random.Generator) -> list[str]:
    """One letter, which is drawn, and then all letters, as those of another script that look the same."""
    places = [at for at, letter in enumerate(word) if letter in LOOK_ALIKES]
    if len(word) < 2 or not places:
        return []
    at = int(random.choice(places))
    one = word[:at] + LOOK_ALIKES[word[at]][0] + word[at + 1 :]
    return [one, "".join(LOOK_ALIKES[letter][0] if letter in LOOK_ALIKES else letter for letter in word)]


def invisible(word: str, random: np.random.Generator) -> list[str]:
    """A mark without width after one letter, which is drawn, and then after every letter but the last."""
    if len(word) < 2:
        return []
    at = int(random.integers(1, len(word)))
    return [word[:at] + NO_WIDTH + word[at:], NO_WIDTH.join(word)]


@dataclass(frozen=True)
class Listed:
    """Words that a list knows: of WordNet, of an embedding matrix, or planted.

    Args:
        words: from a word to its replacements.
    """

    words: Callable[[str], Sequence[str]]

    def __call__(self, word: str, random: np.random.Generator) -> Sequence[str]:
        """The replacements, in the case of the word: "Good" gives "Fine". Nothing is drawn."""
        return in_case_of(word, self.words(word))


@dataclass(frozen=True)
class Several:
    """All that several transformations offer, in their order."""

    parts: tuple[Transformation, ...]

    def __call__(self, word: str, random: np.random.Generator) -> list[str]:
        """See Transformation."""
        return [other for part in self.parts for other in part(word, random)]


def in_case_of(word: str, found: Sequence[str]) -> Sequence[str]:
    """Words in the case of another one: capitals throughout, or at the beginning, or as they are."""
    if len(word) > 1 and word.isupper():
        return [other.upper() for other in found]
    return [other[:1].upper() + other[1:] for other in found] if word[:1].isupper() else found


def _letter(random: np.random.Generator) -> str:
    return string.ascii_letters[int(random.integers(len(string.ascii_letters)))]
