"""Edits that must not change an answer: white space, an ending, a capital, a link, a handle, another name or number.

Each is a function of a text and a generator; None where the text holds nothing to edit. The lists are short and
English, so that each exchange is surely one of like for like: names that are no other word, and well-known places.

Source: Ribeiro et al. 2020, doi:10.18653/v1/2020.acl-main.442 (INV: neutral additions, names, places, numbers).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import numpy as np

NAMES = (
    ("james", "robert", "michael", "david", "richard", "thomas", "daniel", "matthew", "anthony", "steven", "kevin"),
    ("mary", "jennifer", "linda", "elizabeth", "barbara", "susan", "jessica", "sarah", "nancy", "lisa", "emily"),
)
PLACES = (
    ("london", "paris", "berlin", "madrid", "tokyo", "sydney", "toronto", "chicago", "boston", "vienna", "dublin"),
    ("canada", "france", "germany", "spain", "italy", "japan", "australia", "brazil", "norway", "poland", "sweden"),
)
LINK, HANDLE = "https://example.org/a7", "@reader42"
_GAP = re.compile(r"(?<=\S)[ \t]+(?=\S)")
_NUMBER = re.compile(r"(?<![\w.,:/-])\d+(?![\w.,:/-])")

Edit = Callable[[str, np.random.Generator], str | None]


def _white_space(text: str, _: np.random.Generator) -> str:
    return f" {_GAP.sub('  ', text, count=1)} "


def _end_punctuation(text: str, _: np.random.Generator) -> str:
    bare = text.rstrip()
    return bare[:-1] if bare.endswith(".") and len(bare) > 1 else f"{bare}."


def _first_capital(text: str, _: np.random.Generator) -> str | None:
    first = text[:1]
    return first.swapcase() + text[1:] if first.isalpha() and len(first.swapcase()) == 1 else None


def _link(text: str, _: np.random.Generator) -> str:
    return f"{text.rstrip()} {LINK}"


def _handle(text: str, _: np.random.Generator) -> str:
    return f"{text.rstrip()} {HANDLE}"


def _number(text: str, random: np.random.Generator) -> str | None:
    def other(match: re.Match[str]) -> str:
        found = match.group()
        low = 10 ** (len(found) - 1) if len(found) > 1 else 2
        drawn = int(random.integers(low, min(10 ** len(found), 10**9)))
        return str(drawn) if str(drawn) != found else str(drawn + 1 if drawn % 10 < 9 else drawn - 1)

    if not any(1 <= len(match.group()) <= 6 for match in _NUMBER.finditer(text)):
        return None
    return _NUMBER.sub(lambda match: other(match) if len(match.group()) <= 6 else match.group(), text)


def _exchanged(lists: tuple[tuple[str, ...], ...]) -> Edit:
    of = {word: words for words in lists for word in words}
    pattern = re.compile(rf"\b(?:{'|'.join(of)})\b", re.IGNORECASE)

    def edit(text: str, random: np.random.Generator) -> str | None:
        if not pattern.search(text):
            return None
        shift = int(random.integers(1, len(lists[0])))

        def other(match: re.Match[str]) -> str:
            found = match.group()
            words = of[found.lower()]
            word = words[(words.index(found.lower()) + shift) % len(words)]
            return word.upper() if found.isupper() else word.capitalize() if found[0].isupper() else word

        return pattern.sub(other, text)

    return edit


EVERYWHERE: Mapping[str, Edit] = {
    "white space": _white_space,
    "end punctuation": _end_punctuation,
    "first capital": _first_capital,
    "link added": _link,
    "handle added": _handle,
}
"""Edits that nearly every text takes."""

WHERE_HELD: Mapping[str, Edit] = {
    "another name": _exchanged(NAMES),
    "another place": _exchanged(PLACES),
    "another number": _number,
}
"""Edits of what only some texts hold."""
