"""The language of a page's fixed texts: its words, numbers and dates while `speaking(...)` lasts.

The source of every text is English, in the code and the templates; a catalogue (`reports.catalogue`) has it in another
language. Outside of a `speaking` block everything is English, so that the record, the machine formats and the terminal
always are. A text's placeholders are `%(name)s`, and a percent sign is written twice, in the source and in catalogues.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import lru_cache
from gettext import NullTranslations
from typing import Any


@dataclass(frozen=True)
class Language:
    """A language that a page can be in.

    Attributes:
        tag: as HTML and BCP 47 write it: "en", "de", "zh-Hans-CN".
        locale: CLDR's rules for numbers and dates, by Babel's name: "de", "zh_Hans_CN".
        translations: gettext's texts.
        texts: which English texts it has, so that others can be marked as English.
        direction: "ltr" or "rtl".
    """

    tag: str
    locale: str
    translations: NullTranslations = field(default_factory=NullTranslations, compare=False, repr=False)
    texts: frozenset[str] = field(default=frozenset(), repr=False)
    direction: str = "ltr"

    @property
    def english(self) -> bool:
        """Whether this is the source's own language, which needs no catalogue."""
        return self.tag == "en"


ENGLISH = Language("en", "en")
_SPOKEN: ContextVar[Language] = ContextVar("language", default=ENGLISH)


@contextmanager
def speaking(language: Language) -> Iterator[None]:
    """Within this block, texts and numbers are in that language."""
    token = _SPOKEN.set(language)
    try:
        yield
    finally:
        _SPOKEN.reset(token)


def spoken() -> Language:
    """The language of the page that is being built; English outside of one."""
    return _SPOKEN.get()


def N_(message: str) -> str:
    """Marks a text for gettext's tools, which know this name; `_` translates it where it is shown."""
    return message


def _(message: str, **values: object) -> str:
    """The text in the spoken language, with its placeholders filled."""
    return spoken().translations.gettext(message) % values


def pgettext(context: str, message: str, **values: object) -> str:
    """`_` for a word that other languages translate by its place."""
    return spoken().translations.pgettext(context, message) % values


def ngettext(one: str, many: str, n: int, **values: object) -> str:
    """`_` for a text whose form depends on `n`."""
    return spoken().translations.ngettext(one, many, n) % values


def translated(text: str) -> str | None:
    """The spoken language's words for a text of the record, where the catalogue has exactly this text."""
    language, message = spoken(), text.replace("%", "%%")
    if language.english or message not in language.texts:
        return None
    return language.translations.gettext(message) % {}


def decimal(digits: str) -> str:
    """A number that was rounded already ("-1234.50"), with the language's separators; the digits stay as they are."""
    value, language = Decimal(digits), spoken()
    if language.english:
        return f"{value:,f}"
    from babel.numbers import format_decimal

    whole = _locale(language.locale).decimal_formats[None].pattern.partition(".")[0]
    decimals = len(digits.partition(".")[2])
    return str(format_decimal(value, f"{whole}.{'0' * decimals}" if decimals else whole, language.locale))


def percent(share: float) -> str:
    """A share as percent: "95%", "95 %"."""
    language = spoken()
    if language.english:
        return f"{share * 100:g}%"
    from babel.numbers import format_percent

    return str(format_percent(Decimal(f"{share * 100:g}") / 100, locale=language.locale, decimal_quantization=False))


def moment(text: str) -> str:
    """A date or a time of a record (ISO 8601) as the language writes it; English keeps the record's own form."""
    language = spoken()
    if language.english:
        return text
    from babel.dates import format_date, format_datetime

    try:
        if len(text) == len("2026-11-25"):
            return str(format_date(date.fromisoformat(text), locale=language.locale))
        when = datetime.fromisoformat(text)
    except ValueError:
        return text  # whatever it is, it is no time
    if when.tzinfo is None:
        return str(format_datetime(when, locale=language.locale))
    return f"{format_datetime(when.astimezone(UTC), locale=language.locale)} UTC"


def axis_format() -> dict[str, Any] | None:
    """The language's separators as d3-format takes them; None for its own, which are English."""
    language = spoken()
    if language.english:
        return None
    from babel.numbers import get_decimal_symbol, get_group_symbol

    return {
        "decimal": get_decimal_symbol(language.locale),
        "thousands": get_group_symbol(language.locale),
        "grouping": [3],
        "currency": ["", ""],
        "minus": "\u2212",
    }


@lru_cache(maxsize=16)
def _locale(name: str) -> Any:
    from babel import Locale

    return Locale.parse(name)
