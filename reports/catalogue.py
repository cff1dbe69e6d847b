"""A catalogue of a page's texts (gettext's .po), read as it stands: checked, compiled in memory, made inert.

The .po files are read without a build step: no compiled file can fall behind its source, and a catalogue of one's own
goes the same way, through the same checks. Babel reads the file and knows the language's numbers and dates; the
standard library's gettext looks texts up and counts plurals. Pages escape what a catalogue says (`document.markup`).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from gettext import GNUTranslations
from importlib import resources
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

from reports.errors import CatalogueUnfit, LanguageUnknown, LibraryMissing
from reports.language import ENGLISH, Language
from reports.text import terminal_text, visible

DOMAIN = "aboveboard"
LANGUAGES = {"de": "de", "zh": "zh_CN"}  # what --lang says, and the folder of its catalogue
MOST_BYTES = 4_000_000

_STRING = re.compile(r'\s*(msg\w+(\[\d+\])?\s+)?"')  # a line that opens a string; each has to close it
_PLACEHOLDER = re.compile(r"%\((\w+)\)s|%(%)")
_COUNTS = range(201)  # for which a plural rule is tried out


def chosen(name: str | None, file: Path | str | None) -> Language:
    """The language of this name, or of this catalogue; English where neither is given.

    Raises: LanguageUnknown, CatalogueUnfit, LibraryMissing.
    """
    if name is not None and file is not None:
        raise LanguageUnknown(
            f"two languages are named: {terminal_text(name, longest=40)} and that of {terminal_text(str(file))}",
            mend="leave --lang out: a catalogue says which language it is in",
        )
    return language(name or ENGLISH.tag) if file is None else language_from(Path(file))


@cache
def language(name: str) -> Language:
    """A language that comes along: "en", "de" or "zh".

    Raises: LanguageUnknown with what there is; LibraryMissing without Babel.
    """
    if name == ENGLISH.tag:
        return ENGLISH
    if name not in LANGUAGES:
        raise LanguageUnknown(
            f"the report's texts are not there in {terminal_text(name, longest=40)!r}; there are en, "
            f"{', '.join(LANGUAGES)}",
            mend=f"--lang {next((known for known in LANGUAGES if name[:2].lower() == known), 'en')}, or --lang-file "
            "with a catalogue of your own (docs/languages.md)",
        )
    return parse_catalogue(_shipped(f"{LANGUAGES[name]}/LC_MESSAGES/{DOMAIN}.po"), where=f"{name}.po")


def language_from(path: Path) -> Language:
    """The language of somebody's own catalogue.

    Raises: CatalogueUnfit with the file, the line and the mend; LibraryMissing without Babel.
    """
    where = terminal_text(str(path), longest=200)
    try:
        if path.stat().st_size > MOST_BYTES:
            raise CatalogueUnfit(f"{where} has more than {MOST_BYTES:,} bytes", mend="give a catalogue of the report")
        text = path.read_bytes().decode("utf-8")
    except OSError as error:
        raise CatalogueUnfit(f"{where} cannot be read: {error.strerror}", mend="check the path") from error
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise CatalogueUnfit(f"{where}, line {line}: this is not UTF-8", mend="msgconv --to-code=UTF-8") from error
    return parse_catalogue(text, where=where)


def parse_catalogue(text: str, *, where: str) -> Language:
    """The language of a catalogue's text.

    Args:
        text: a .po file's content.
        where: what an error calls it.
    Raises: CatalogueUnfit with the line and the mend; LibraryMissing without Babel.
    """
    for number, line in enumerate(text.splitlines(), start=1):
        if (opened := _STRING.match(line)) and not re.search(r'(?<!\\)(\\\\)*"\s*$', line[opened.end() :]):
            raise CatalogueUnfit(f"{where}, line {number}: this text has no closing quote", mend='end it with "')
    catalog = _read(text, where)
    if catalog.locale is None or not catalog.locale.language:
        raise CatalogueUnfit(
            f"{where} does not say which language it is in", mend=r'add the line "Language: fr\n" to its header'
        )
    messages = [message for message in catalog if message.id and message.string and not message.fuzzy]
    for message in messages:
        _refuse_other_placeholders(message, where)
        plural = not isinstance(message.string, str)
        message.string = tuple(map(_seen, message.string)) if plural else _seen(message.string)
    translations = _compiled(catalog, where)
    return Language(
        tag=str(catalog.locale_identifier).replace("_", "-"),
        locale=str(catalog.locale),
        translations=translations,
        texts=frozenset(text for message in messages if message.context is None for text in _ids(message)),
        direction=catalog.locale.text_direction,
    )


def texts_missing(language: Language) -> tuple[int, int]:
    """How many of the report's texts a language lacks, so that they stay English; and how many there are."""
    plain = [message for message in _read(_shipped(f"{DOMAIN}.pot"), "the template") if message.id]
    without = [m for m in plain if m.context is None and not set(_ids(m)) <= language.texts]
    return len(without), len(plain)


def placeholders(text: str) -> Counter[str] | None:
    """The placeholders of a text, and how often each; None where a percent sign belongs to none."""
    if "%" in _PLACEHOLDER.sub("", text):
        return None
    return Counter(name for name, _ in _PLACEHOLDER.findall(text) if name)


def _refuse_other_placeholders(message: Any, where: str) -> None:
    """Raises: CatalogueUnfit where a translation's placeholders are not those of the text."""
    plural = not isinstance(message.string, str)
    expected = placeholders(_ids(message)[-1]) or Counter()
    for string in message.string if plural else [message.string]:
        found = placeholders(string) if string else expected
        # "one finding" may say its number in words
        fits = found is not None and (set(found) <= set(expected) if plural else found == expected)
        if not fits:
            names = ", ".join(f"%({name})s" for name in expected) or "none"
            raise CatalogueUnfit(
                f"{where}, line {message.lineno}: the translation {terminal_text(string, longest=120)!r} does not "
                f"have the placeholders of {terminal_text(_ids(message)[-1], longest=120)!r}",
                mend=f"use these placeholders as they are: {names}; write a percent sign as %%",
            )


def _seen(text: str) -> str:
    """The text without characters that the eye cannot see: they stand in it as [U+202E]."""
    return visible(text, longest=None)


def _ids(message: Any) -> list[str]:
    return [message.id] if isinstance(message.id, str) else list(message.id)


def _read(text: str, where: str) -> Any:
    """Babel's catalogue of a .po file's text."""
    try:
        from babel.messages.pofile import PoFileError, read_po
    except ImportError as error:
        raise LibraryMissing(
            "a report in another language needs Babel", mend="pip install 'babel>=2.16,<3', or --lang en"
        ) from error
    try:
        return read_po(StringIO(text), abort_invalid=True)
    except PoFileError as error:
        found = terminal_text(str(error), longest=200)
        raise CatalogueUnfit(f"{where}, line {error.lineno + 1}: {found}", mend="correct that line") from error
    except Exception as error:  # Babel's reader says in many ways that a file is none
        found = terminal_text(f"{type(error).__name__}: {error}", longest=200)
        raise CatalogueUnfit(f"{where} is no catalogue ({found})", mend="msgfmt --check shows the line") from error


def _compiled(catalog: Any, where: str) -> GNUTranslations:
    """Gettext's own form, in memory; its plural rule is tried out, since a page would fall over a wrong one."""
    from babel.messages.mofile import write_mo

    catalog.charset = "utf-8"
    file = BytesIO()
    try:
        write_mo(file, catalog)
        file.seek(0)
        translations = GNUTranslations(file)
        rule = translations.plural  # type: ignore[attr-defined] # set by the file's header
        if any(not 0 <= rule(n) < catalog.num_plurals for n in _COUNTS):
            raise ValueError("it names a form that is not there")
    except Exception as error:  # whatever a stranger's header made of it
        found = terminal_text(f"{type(error).__name__}: {error}", longest=200)
        raise CatalogueUnfit(
            f"{where}: the header's Plural-Forms cannot be used ({found})",
            mend="leave that line out: the rule of the language is known",
        ) from error
    return translations


def _shipped(name: str) -> str:
    return resources.files("reports.locale").joinpath(*name.split("/")).read_text(encoding="utf-8")


def shipped_catalogues() -> Iterator[tuple[str, str]]:
    """Each language that comes along, and its catalogue's text."""
    for name, folder in LANGUAGES.items():
        yield name, _shipped(f"{folder}/LC_MESSAGES/{DOMAIN}.po")
