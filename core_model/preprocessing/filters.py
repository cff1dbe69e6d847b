"""Which rows are left out: too short or long, of two sides that do not belong together, hardly any letters.

A filter looks at a row's texts and answers with the reason to drop it, or None. Words are what blanks part.

Sources: Koehn et al. 2007 (Moses, clean-corpus-n) for lengths and their ratio; Raffel et al. 2020, arXiv:1910.10683,
and Rae et al. 2021, arXiv:2112.11446, for rules over documents.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from core_model.duplicates import normalised
from core_model.preprocessing.options import PreparationOptions
from core_model.preprocessing.steps import Step
from core_model.tasks import Task

Texts = Sequence[str]


@dataclass(frozen=True)
class Filter:
    """One filter and its account."""

    step: Step
    reason: Callable[[Texts], str | None]


def text_filters(options: PreparationOptions, sides: Sequence[str]) -> list[Filter]:
    """The filters that these options ask for, in the order in which they run.

    Args:
        sides: what the task calls its texts: ("source", "target").
    """
    filters = [
        Filter(
            Step(
                "length",
                {
                    "words": [options.min_words, options.max_words],
                    "characters": [options.min_characters, options.max_characters],
                },
                "wider limits: --min-words, --max-words, --min-characters, --max-characters",
            ),
            lambda texts: _length(options, sides, texts),
        )
    ]
    if len(sides) == 2 and options.max_length_ratio is not None:
        most = options.max_length_ratio
        step = Step("length ratio", {"most": most, "of": "characters"}, f"a larger --max-length-ratio than {most:g}")
        filters.append(Filter(step, lambda texts: _ratio(most, texts)))
    if len(sides) == 2 and _drops_identical(options):
        step = Step("identical sides", {}, "--identical keep")
        filters.append(Filter(step, lambda texts: _identical(sides, texts)))
    if options.min_letters > 0:
        step = Step("letters", {"least share": options.min_letters}, f"--min-letters below {options.min_letters:g}")
        filters.append(Filter(step, lambda texts: _letters(options.min_letters, sides, texts)))
    return filters


def _drops_identical(options: PreparationOptions) -> bool:
    return (options.identical or ("drop" if options.task is Task.TRANSLATION else "keep")) == "drop"


def _length(options: PreparationOptions, sides: Sequence[str], texts: Texts) -> str | None:
    for side, text in zip(sides, texts, strict=True):
        for unit, size, least, most in (
            ("words", len(text.split()), options.min_words, options.max_words),
            ("characters", len(text), options.min_characters, options.max_characters),
        ):
            if size < least:
                return f"{side}: fewer than {least} {unit}"
            if most is not None and size > most:
                return f"{side}: more than {most} {unit}"
    return None


def _ratio(most: float, texts: Texts) -> str | None:
    shorter, longer = sorted(len(text) for text in texts)
    return f"one side is more than {most:g} times as long" if longer > most * shorter else None


def _identical(sides: Sequence[str], texts: Texts) -> str | None:
    return f"{sides[0]} and {sides[1]} are the same" if normalised(texts[0]) == normalised(texts[1]) else None


def _letters(least: float, sides: Sequence[str], texts: Texts) -> str | None:
    for side, text in zip(sides, texts, strict=True):
        if share_of_letters(text) < least:
            return f"{side}: fewer than {least:.0%} letters"
    return None


def share_of_letters(text: str) -> float:
    """Letters of any script among the characters but blanks, 0 to 1; 0 for a text of blanks alone."""
    characters = len(text) - sum(map(str.isspace, text))
    return sum(map(str.isalpha, text)) / characters if characters else 0.0
