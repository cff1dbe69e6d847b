"""The texts that a page can say in another language: those marked in the code and the templates, and the vocabulary.

Babel's extractors find the marked ones (`_`, `ngettext`, `pgettext`, `N_`, and Jinja's `trans`); the vocabulary is
data. A catalogue is brought up to date without guesses: a text that changed has to be translated again.
"""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

from reports.catalogue import DOMAIN
from reports.document.rows import in_words
from reports.document.vocabulary import vocabulary

ROOT = Path(__file__).parents[1]
JINJA = {"trimmed": "false", "silent": "false", "trim_blocks": "true", "lstrip_blocks": "true"}
FIRST = ("Language", "MIME-Version", "Content-Type", "Content-Transfer-Encoding", "Plural-Forms")


def template() -> str:
    """The template (`.pot`) for catalogues: every text, none translated; the same sources give the same bytes."""
    return _written(_catalogue(None))


def updated(text: str, locale: str) -> tuple[str, int]:
    """A catalogue with the texts of today: translations kept, texts that are gone left out; and how many are missing.

    Args:
        text: the catalogue as it stands; empty for a new one.
        locale: its language, as gettext names it: "zh_CN".
    """
    from babel.messages.pofile import read_po

    catalog = _catalogue(locale)
    before = read_po(BytesIO(text.encode("utf-8")), locale=locale) if text else None
    for message in catalog:
        found = before.get(message.id, message.context) if before is not None and message.id else None
        if found is not None and found.id == message.id and not found.fuzzy:
            message.string = found.string
    missing = sum(
        not all(message.string if isinstance(message.string, tuple) else [message.string])
        for message in catalog
        if message.id
    )
    return _written(catalog), missing


def found_texts() -> Iterator[tuple[str, Any, str | None]]:
    """Each text with the file that it stands in and its context: (file, message, context)."""
    from babel.messages.extract import extract

    for path in sorted([*ROOT.rglob("*.py"), *ROOT.rglob("*.html")]):
        method, options = ("python", {}) if path.suffix == ".py" else ("jinja2.ext:babel_extract", JINJA)
        with path.open("rb") as file:
            for _line, message, _comments, context in extract(method, file, options=options):
                yield path.relative_to(ROOT).as_posix(), message, context
    known = vocabulary()
    named = [(in_words(name), sentence) for name, sentence in known["metrics"].items()]
    pairs = [*known["derived"].values(), *named]
    for text in [*known["words"], *known["sentences"], *(text for pair in pairs for text in pair)]:
        yield "locale/vocabulary.toml", text, None


def _catalogue(locale: str | None) -> Any:
    from babel.messages.catalog import Catalog

    catalog = Catalog(locale=locale, project=DOMAIN, charset="utf-8")
    for file, message, context in found_texts():
        # no line numbers: a catalogue changes with the texts, not with the lines around them
        catalog.add(message, locations=[(file, 0)], context=context)
    return catalog


def _written(catalog: Any) -> str:
    from babel.messages.pofile import write_po

    file = BytesIO()
    write_po(file, catalog, width=120, omit_header=True, include_lineno=False)
    headers = dict(catalog.mime_headers)
    kept = "".join(f'"{name}: {headers[name]}\\n"\n' for name in FIRST if name in headers)
    return f'msgid ""\nmsgstr ""\n{kept}\n{file.getvalue().decode("utf-8")}'
