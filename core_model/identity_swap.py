"""The identity swap: the same text about somebody else.

    terms = read_terms()
    [gender] = [category for category in terms.categories if category.name == "gender"]
    swap("Her brother said so.", gender, terms) == "His sister said so."

A text is read once into words; a term is one word or several, joined by spaces or hyphens. What surrounds a term, and
its case, are kept. The list is a file (`identity_terms.toml`, or the user's own), so that it can be read and disputed.

Source: counterfactual substitution as in Garg et al. 2019, "Counterfactual Fairness in Text Classification through
Robustness", arXiv:1809.10610; the two-counterpart pronouns as in Zhao et al. 2018, arXiv:1804.06876.
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from core_model.errors import OptionUnfit

OWN_LIST = Path(__file__).with_name("identity_terms.toml")

_WORD = re.compile(r"\w+")
_ARTICLE = re.compile(r"\b([Aa])[Nn]?(\s+)$")
_JOINTS = (" ", "-")  # what may stand between the words of one term
_LISTS = ("pairs", "before_a_noun", "elsewhere")

Words = Sequence[tuple[int, int, str]]  # start, end, case-folded word
Counterparts = Mapping[tuple[str, ...], str]  # the term's words -> the counterpart


@dataclass(frozen=True)
class Category:
    """The terms of one kind of identity.

    Attributes:
        name: "gender", "religion", ...
        general, before_a_noun, elsewhere: counterpart of each term; the last two go before the first where they apply.
        lengths: first word of each term -> how many words the terms have that begin so, longest first.
    """

    name: str
    general: Counterparts
    before_a_noun: Counterparts
    elsewhere: Counterparts
    lengths: Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class IdentityTerms:
    """A list of identity terms, with the hash that names it."""

    name: str
    sha256: str
    categories: tuple[Category, ...]
    function_words: frozenset[str]


def read_terms(file: str | Path | None = None) -> IdentityTerms:
    """The identity terms of a TOML file; ours when none is named.

    Args:
        file: tables of `pairs = [["he", "she"], ...]`, optionally `before_a_noun` and `elsewhere`, and at the top
            optionally `function_words = [...]`; see identity_terms.toml beside this module.
    Raises: OptionUnfit when the file cannot be read, is not TOML (with the line), or a table holds what is no pair.
    """
    path = OWN_LIST if file is None else Path(file)
    mend = 'a TOML file such as: [gender] then pairs = [["he", "she"], ["man", "woman"]]'
    try:
        content = path.read_bytes()
        document = tomllib.loads(content.decode("utf-8"))
    except OSError as error:
        raise OptionUnfit(f"identity_terms: {path} cannot be read ({error.strerror})", mend=mend) from error
    except ValueError as error:  # not TOML, or not UTF-8
        raise OptionUnfit(f"identity_terms: {path} is not TOML: {error}", mend=mend) from error
    words = document.pop("function_words", [])
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise OptionUnfit(f"identity_terms: {path}: function_words is not a list of words", mend='["a", "the"]')
    if not document:
        raise OptionUnfit(f"identity_terms: {path} holds no category", mend=mend)
    return IdentityTerms(
        name="aboveboard's own list" if file is None else path.name,
        sha256=hashlib.sha256(content).hexdigest(),
        categories=tuple(_category(name, table, path) for name, table in document.items()),
        function_words=frozenset(word.casefold() for word in words),
    )


def _category(name: str, table: object, path: Path) -> Category:
    if not isinstance(table, dict) or not set(table) <= set(_LISTS) or not any(table.values()):
        raise OptionUnfit(
            f"identity_terms: {path}: [{name}] is not a table of {', '.join(_LISTS)}",
            mend=f'[{name}] then pairs = [["he", "she"]]',
        )
    maps = [_both_ways(table.get(key, []), f"{path}: [{name}] {key}") for key in _LISTS]
    lengths: dict[str, set[int]] = {}
    for term in (term for counterparts in maps for term in counterparts):
        lengths.setdefault(term[0], set()).add(len(term))
    longest_first = {first: tuple(sorted(found, reverse=True)) for first, found in lengths.items()}
    general, before_a_noun, elsewhere = maps
    return Category(name, general, before_a_noun, elsewhere, longest_first)


def _both_ways(pairs: object, where: str) -> dict[tuple[str, ...], str]:
    """Each term's counterpart; the first pair that a term stands in wins."""
    counterparts: dict[tuple[str, ...], str] = {}
    for pair in pairs if isinstance(pairs, list) else [pairs]:
        words = [_words_of(term) for term in pair] if isinstance(pair, list) and len(pair) == 2 else []
        if len(words) != 2 or not all(words) or words[0] == words[1]:
            raise OptionUnfit(f"identity_terms: {where}: {pair!r} is not a pair of terms", mend='["he", "she"]')
        counterparts.setdefault(words[0], " ".join(words[1]))
        counterparts.setdefault(words[1], " ".join(words[0]))
    return counterparts


def _words_of(term: object) -> tuple[str, ...]:
    return tuple(_WORD.findall(term.casefold())) if isinstance(term, str) else ()


def words_of(text: str) -> list[tuple[int, int, str]]:
    """Where each word of a text begins and ends, and the word case-folded."""
    return [(match.start(), match.end(), match.group().casefold()) for match in _WORD.finditer(text)]


def swap(text: str, category: Category, terms: IdentityTerms, words: Words | None = None) -> str | None:
    """The text with every term of a category replaced by its counterpart; None when it holds no term.

    Args:
        text: any text.
        category: whose terms.
        terms: the list, for its function words.
        words: `words_of(text)`, where it is known already.
    """
    words = words_of(text) if words is None else words
    parts: list[str] = []
    done = after = 0  # characters copied, and the first word that no term has taken yet
    for place in [place for place, word in enumerate(words) if word[2] in category.lengths]:
        if place < after:
            continue
        length, counterpart = _term_at(place, text, words, category, terms.function_words)
        if counterpart is not None:
            start, end = words[place][0], words[place + length - 1][1]
            before, found = text[done:start], text[start:end]
            parts += [_with_article(before, found, counterpart), _in_the_manner_of(found, counterpart)]
            done, after = end, place + length
    return "".join([*parts, text[done:]]) if parts else None


def _term_at(
    place: int, text: str, words: Words, category: Category, function_words: frozenset[str]
) -> tuple[int, str | None]:
    """How many words the longest term at this place has, and its counterpart; (1, None) when there is none."""
    for length in category.lengths.get(words[place][2], ()):
        if place + length > len(words):
            continue
        joints = (text[words[i][1] : words[i + 1][0]] for i in range(place, place + length - 1))
        if not all(joint in _JOINTS for joint in joints):
            continue
        term = tuple(word for _, _, word in words[place : place + length])
        noun = _content_word_follows(place + length - 1, text, words, function_words)
        found = (category.before_a_noun if noun else category.elsewhere).get(term) or category.general.get(term)
        # "hers" is listed under elsewhere only, and yet may stand before a content word.
        found = found or category.elsewhere.get(term) or category.before_a_noun.get(term)
        if found is not None:
            return length, found
    return 1, None


def _content_word_follows(place: int, text: str, words: Words, function_words: frozenset[str]) -> bool:
    if place + 1 >= len(words):
        return False
    _, end, _ = words[place]
    start, _, word = words[place + 1]
    return text[end:start].isspace() and word not in function_words


def _in_the_manner_of(found: str, counterpart: str) -> str:
    """The counterpart in the case, and with the hyphens, of what it stands for: "BLACK" gives "WHITE"."""
    if len(found) > 1 and found.isupper():
        counterpart = counterpart.upper()
    elif all(word[0].isupper() for word in _WORD.findall(found)):
        counterpart = " ".join(word[:1].upper() + word[1:] for word in counterpart.split(" "))
    elif found[:1].isupper():
        counterpart = counterpart[:1].upper() + counterpart[1:]
    return counterpart.replace(" ", "-") if "-" in found else counterpart


def _with_article(before: str, found: str, counterpart: str) -> str:
    """What stands before the term, with "a" or "an" as the counterpart asks: "an old man" gives "a young man"."""
    article = _ARTICLE.search(before)
    if article is None or _takes_an(found) == _takes_an(counterpart):
        return before
    letter = article.group(1)
    grown = letter + ("N" if letter == "A" and found.isupper() else "n") if _takes_an(counterpart) else letter
    return before[: article.start()] + grown + article.group(2)


def _takes_an(term: str) -> bool:
    return term[:1].casefold() in "aeiou" and not term.casefold().startswith("europe")
