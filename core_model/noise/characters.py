"""Unicode: the same letters written with other characters, as copying, scanning and keyboards of other lands make them.

The look-alikes are the Latin letters' twins among Cyrillic and Greek letters that Unicode's confusables list maps to
them (Unicode Technical Standard 39), one for each letter.
"""

from __future__ import annotations

import unicodedata

import numpy as np

from core_model.noise.words import change_words

LOOK_ALIKES = dict(
    zip("aceiopsxyABCEHIKMOPTXY", "асеіорѕхуАВСЕНІКМОРТХУ", strict=True)  # noqa: RUF001 - Cyrillic, which is the point
)
_FULL_WIDTH = {chr(code): chr(code + 0xFEE0) for code in range(0x21, 0x7F)}


def without_accents(text: str, rate: float, random: np.random.Generator) -> str:
    """Accents left out: combining marks (category Mn) of the decomposed text."""
    apart = unicodedata.normalize("NFD", text)
    return unicodedata.normalize("NFC", "".join(c for c in apart if unicodedata.category(c) != "Mn"))


def decomposed(text: str, rate: float, random: np.random.Generator) -> str:
    """Each letter and its accent as two characters, as some systems name files."""
    return unicodedata.normalize("NFD", text)


def full_width(text: str, rate: float, random: np.random.Generator) -> str:
    """A share of the words in full-width forms, which NFKC maps back."""
    return change_words(
        text, rate, random, lambda word: "".join(_FULL_WIDTH.get(c, c) for c in word), fits=lambda word: word.isascii()
    )


def look_alikes(text: str, rate: float, random: np.random.Generator) -> str:
    """One letter of a share of the words from another alphabet."""

    def one(word: str) -> str:
        places = [place for place, letter in enumerate(word) if letter in LOOK_ALIKES]
        place = places[int(random.integers(len(places)))]
        return word[:place] + LOOK_ALIKES[word[place]] + word[place + 1 :]

    return change_words(text, rate, random, one, fits=lambda word: any(letter in LOOK_ALIKES for letter in word))
