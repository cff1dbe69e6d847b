"""`--lang` and `--lang-file`: the language of a page's fixed texts; the record and what machines read stay English."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from reports.language import Language

Command = Callable[..., Any]


def language_options(command: Command) -> Command:
    """The flags that `language_of` reads."""
    of_page = click.option("--lang", metavar="en|de|zh", help="Language of the page's fixed texts. Default: en.")
    own = click.option(
        "--lang-file", type=click.Path(path_type=Path), metavar="FILE.po", help="A catalogue of your own, in its place."
    )
    return of_page(own(command))


def language_of(lang: str | None, lang_file: Path | None) -> Language:
    """The language that was asked for, English without a flag; says what a catalogue of one's own lacks.

    Raises: LanguageUnknown; CatalogueUnfit with the file and the line; LibraryMissing.
    """
    from reports.catalogue import chosen, texts_missing

    found = chosen(lang, lang_file)
    if lang_file is not None and (missing := texts_missing(found))[0]:
        click.echo(f"note: {missing[0]} of {missing[1]} texts are not in {lang_file} and stay English", err=True)
    return found
