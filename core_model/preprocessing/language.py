"""The language of a text, by py3langid's model, which is inside its package: nothing is fetched.

The model counts byte n-grams, so its word is no proof: `Standard` is German, English and more, and Nigerian Pidgin
looks like English. A text is dropped only where another language has at least half of the probability, and the expected
one less than the smallest allowed; below 20 letters only where the rival has nine tenths. Of a long text the beginning
is looked at.

Source: Lui and Baldwin 2012, langid.py: An Off-the-shelf Language Identification Tool, ACL.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any

from core_model.data_columns import nearest
from core_model.errors import OptionUnfit
from core_model.preprocessing.filters import Filter, Texts
from core_model.preprocessing.options import PreparationOptions
from core_model.preprocessing.steps import Step

SHORT_LETTERS = 20
LOOKED_AT = 1_000  # characters; more change no answer and cost a millisecond for each two thousand
LIKELY = 0.5  # probability of a rival at which a text may be dropped
SURE = 0.9  # the same for a short text
RIVALS_SHOWN = 5
SWAPPED_FROM = 10  # rows; fewer are no evidence that two columns were swapped


def language_filter(options: PreparationOptions, sides: Sequence[str]) -> LanguageFilter | None:
    """The filter, or None where no language is expected.

    Raises: OptionUnfit for a language that the model does not know, a side that the task has not, or a missing package.
    """
    wanted: dict[str, str | None] = dict.fromkeys(sides, options.language)
    for side, language in (("source", options.source_language), ("target", options.target_language)):
        if language is None:
            continue
        if side not in sides:
            raise OptionUnfit(
                f"--{side}-language {language}: task {options.task} has no {side}", mend=f"--language {language}"
            )
        wanted[side] = language
    expected = {side: language for side, language in wanted.items() if language is not None}
    if not expected:
        return None
    known = identifier().labels
    for language in expected.values():
        if language not in known:
            raise OptionUnfit(
                f"the language model knows no {language!r}; it knows {len(known)}, by their codes",
                mend=f"a code such as {nearest(language, known)}",
            )
    return LanguageFilter(expected, sides, options.min_language_probability)


class LanguageFilter:
    """Drops texts of other languages, and notices two columns that were swapped.

    Attributes:
        step: the account; swapped: rows whose sides have each the other's language; rivals: how often which
            language stood where another was expected.
    """

    def __init__(self, expected: Mapping[str, str], sides: Sequence[str], least: float) -> None:
        self.expected, self.sides, self.least = expected, sides, least
        settings = {"expected": dict(expected), "least probability": least, "short below letters": SHORT_LETTERS}
        self.step = Step("language", settings, f"--min-language-probability below {least:g}, or another language")
        self.swapped = 0
        self.rivals: Counter[str] = Counter()
        self.filter = Filter(self.step, self.reason)

    def reason(self, texts: Texts) -> str | None:
        """Why to drop these texts: the first that is of another language."""
        found = {
            side: (text, identifier().classify(text[:LOOKED_AT])) for side, text in zip(self.sides, texts, strict=True)
            if side in self.expected
        }  # fmt: skip
        likeliest = tuple(language for _, (language, _) in found.values())
        wanted = tuple(self.expected[side] for side in found)
        if len(wanted) == 2 and wanted[0] != wanted[1] and likeliest == wanted[::-1]:
            self.swapped += 1
        for side, (text, (language, probability)) in found.items():
            if self._is_other(text, self.expected[side], language, probability):
                self.rivals[f"{side} looks like {language}"] += 1
                return f"{side}: not {self.expected[side]}"
        return None

    def finish(self) -> None:
        """Put the most frequent of the other languages into the account.

        Raises: OptionUnfit when two columns look swapped.
        """
        self.refuse_swapped()
        most = sorted(self.rivals.items(), key=lambda item: (-item[1], item[0]))[:RIVALS_SHOWN]
        self.step.found.update(most)

    def refuse_swapped(self) -> None:
        """Refuse columns that hold each the other's language in most rows.

        Raises: OptionUnfit.
        """
        if self.swapped >= SWAPPED_FROM and self.swapped * 2 > self.step.rows_in:
            first, second = (self.expected[side] for side in self.sides)
            raise OptionUnfit(
                f"the columns look swapped: in {self.swapped:,} of {self.step.rows_in:,} rows the {self.sides[0]} is "
                f"{second} and the {self.sides[1]} is {first}",
                mend=f"swap --{self.sides[0]}-column and --{self.sides[1]}-column",
            )

    def _is_other(self, text: str, expected: str, language: str, probability: float) -> bool:
        enough = LIKELY if sum(map(str.isalpha, text)) >= SHORT_LETTERS else SURE
        if language == expected or probability < enough:
            return False
        return dict(identifier().rank(text[:LOOKED_AT]))[expected] < self.least


def language_shares(texts: Iterable[str]) -> dict[str, Any] | None:
    """How many of these texts are likeliest of which language, the most frequent first; None without the package."""
    try:
        model = identifier()
    except OptionUnfit:
        return None
    counts: dict[str, int] = {}
    for text in texts:
        language = model.classify(text[:LOOKED_AT])[0]
        counts[language] = counts.get(language, 0) + 1
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


@cache
def identifier() -> Any:
    """The model, which takes half a second to open.

    Raises: OptionUnfit when py3langid is not installed.
    """
    try:
        from py3langid.langid import MODEL_FILE, LanguageIdentifier
    except ImportError:
        raise OptionUnfit(
            "telling languages apart needs the package py3langid", mend="pip install 'aboveboard[preprocessing]'"
        ) from None
    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
