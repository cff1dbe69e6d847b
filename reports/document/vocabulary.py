"""What audits say in fixed words: the names of numbers and what they stand for, in the language that is spoken.

The record says what a number is more exactly, in English ("over 5 groups of target_group"); a page in another language
shows both. Some names are made of another one's ("worst_slice_bleu"), and some sentences are fixed but for a number or
a name: these are translated around what stands in them.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib import resources
from typing import Any

from reports.language import _, spoken, translated

LONGEST = 1000  # characters of a text that is held against the sentences


def fixed_words(text: str) -> str | None:
    """The spoken language's words for fixed words of a record, or for a name that is made of another one's."""
    if spoken().english:
        return None
    whole = translated(text)
    if whole is not None:
        return whole
    for name, _sentence, part in _derived(text):
        if (metric := translated(part)) is not None:
            return _(name, metric=metric)
    return _sentences(text)


def meaning(name: str) -> str:
    """One sentence in the language that is spoken; empty in English, or where the vocabulary lacks the name."""
    if spoken().english:
        return ""
    sentence = vocabulary()["metrics"].get(name) or next((s for _n, s, _p in _derived(name.replace("_", " "))), None)
    return (translated(sentence) or "") if sentence else ""


@cache
def vocabulary() -> dict[str, Any]:
    """`vocabulary.toml`: `words`, `sentences`, `metrics` (name to English sentence) and `derived` (pattern to both)."""
    text = resources.files("reports.locale").joinpath("vocabulary.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


def _sentences(text: str) -> str | None:
    """The text as sentences of the vocabulary, one or several with semicolons between; None where it is others."""
    whole = _filled(text)
    if whole is not None or len(text) > LONGEST:
        return whole
    parts = [translated(part) or _filled(part) for part in text.split("; ")]
    return None if None in parts else "; ".join(str(part) for part in parts)


def _filled(text: str) -> str | None:
    if len(text) > LONGEST:
        return None
    for sentence, pattern in _patterns():
        if found := pattern.fullmatch(text):
            return _(sentence, **found.groupdict()) if sentence in spoken().texts else None
    return None


@cache
def _patterns() -> list[tuple[str, re.Pattern[str]]]:
    """Each sentence with a pattern that takes whatever stands in its placeholders."""
    return [
        (sentence, re.compile(re.sub(r"%\\\((\w+)\\\)s", r"(?P<\1>.+?)", re.escape(sentence).replace("%%", "%"))))
        for sentence in vocabulary()["sentences"]
    ]


def _derived(text: str) -> Iterator[tuple[str, str, str]]:
    """Words, sentence and the part inside, for each pattern that the text fits."""
    for pattern, (name, sentence) in vocabulary()["derived"].items():
        before, after = pattern.split("{}")
        if text.startswith(before) and text.endswith(after) and len(text) > len(before) + len(after):
            yield name, sentence, text[len(before) : len(text) - len(after)]
