"""What 60,000 software packages are, in a line and in a page, in English and other languages: Debian's package index.

    write_translations("data")    en, de, package, section        German by the Debian description translation project
    write_synopses("data")        description, synopsis, package, section        to summarize
    write_texts("data")           text, package, section        plain English, for a language model

Packages of one source share sentences, so they stay on one side of a split; `package` is the source package. The index
moves with each point release: its counts must be near those seen, and what was read is recorded by its sha256.

Licence: each description has the licence of its package, mostly GPL; read them here, do not pass them on.
Source: https://www.debian.org/international/l10n/ddtp (DDTP); deb822(5) for the format.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from core_model.corpora.apt import package_lists
from core_model.corpora.libreoffice_help import SENTENCE_END, is_sound
from core_model.corpora.writing import PARTS, Row, content_sha256, split, write_rows
from core_model.errors import DataDamaged, DataMissing

SEEN = {"translations-de": 38_635, "translations-fr": 60_750, "synopses": 40_743, "texts": 74_808}  # Debian 12.14
TOLERANCE = 0.1  # share by which a count may differ: a point release moves less than a thousandth, a release more
FEWEST_BODY_WORDS, FEWEST_SYNOPSIS_WORDS = 30, 4


@dataclass(frozen=True)
class Description:
    """A package's description: its line, and its paragraphs without the verbatim ones."""

    package: str
    synopsis: str
    paragraphs: tuple[str, ...]


def read_translations(lists: Path | None = None, *, language: str = "de", pinned: bool = True) -> list[Row]:
    """Distinct pairs of sentences: en, the language's own code, package, section.

    The synopsis and each paragraph are paired where both have equally many, and so are the sentences in a paragraph.

    Args:
        lists: folder of apt's lists; without it, apt brings them.
        pinned: whether to refuse lists whose count is far from the one seen.
    Raises: DataMissing when the lists cannot be had; DataDamaged when they are of another release.
    """
    lists = lists or package_lists()
    english, sources = read_descriptions(lists, language="en", like=language), read_sources(lists, like=language)
    rows: dict[tuple[str, str], Row] = {}
    for md5, translated in read_descriptions(lists, language=language, like=language).items():
        if md5 not in english:
            continue
        package, section = sources.get(translated.package, (translated.package, ""))
        for ours, theirs in _sentence_pairs(english[md5], translated):
            rows.setdefault((ours, theirs), {"en": ours, language: theirs, "package": package, "section": section})
    return _near_count(list(rows.values()), f"translations-{language}", pinned)


def read_synopses(lists: Path | None = None, *, pinned: bool = True) -> list[Row]:
    """Descriptions of 30 words or more, each with its synopsis of 4 or more: description, synopsis, package, section.

    Raises: as `read_translations`.
    """
    rows: dict[tuple[str, str], Row] = {}
    for package, section, description in _with_sources(lists):
        body = " ".join(description.paragraphs)
        if len(body.split()) < FEWEST_BODY_WORDS or len(description.synopsis.split()) < FEWEST_SYNOPSIS_WORDS:
            continue
        row = {"description": body, "synopsis": description.synopsis, "package": package, "section": section}
        rows.setdefault((body, description.synopsis), row)
    return _near_count(list(rows.values()), "synopses", pinned)


def read_texts(lists: Path | None = None, *, pinned: bool = True) -> list[Row]:
    """Distinct paragraphs of 8 words or more: text, package, section.

    Raises: as `read_translations`.
    """
    rows: dict[str, Row] = {}
    for package, section, description in _with_sources(lists):
        for text in description.paragraphs:
            if len(text.split()) >= 8:
                rows.setdefault(text, {"text": text, "package": package, "section": section})
    return _near_count(list(rows.values()), "texts", pinned)


def write_translations(folder: str | Path, rows: Sequence[Row] | None = None, *, language: str = "de") -> list[Path]:
    """Write train.jsonl, validation.jsonl and test.jsonl with their about.toml; returns their paths.

    Raises: as `read_translations`; OutputUnwritable.
    """
    return _write(folder, rows or read_translations(language=language), text="en")


def write_synopses(folder: str | Path, rows: Sequence[Row] | None = None) -> list[Path]:
    """Write train.jsonl, validation.jsonl and test.jsonl with their about.toml; returns their paths."""
    return _write(folder, rows or read_synopses(), text="description")


def write_texts(folder: str | Path, rows: Sequence[Row] | None = None) -> list[Path]:
    """Write train.jsonl, validation.jsonl and test.jsonl with their about.toml; returns their paths."""
    return _write(folder, rows or read_texts(), text="text")


def read_descriptions(lists: Path, *, language: str, like: str = "de") -> dict[str, Description]:
    """Description-md5 -> the description in a language, of the archive that has translations to `like`."""
    found: dict[str, Description] = {}
    for stanza in _stanzas(_list(lists, f"_i18n_Translation-{language}", like)):
        key = f"Description-{language}"
        if key in stanza and "<trans>" not in stanza[key]:
            synopsis, *lines = stanza[key].split("\n")
            description = Description(stanza.get("Package", ""), synopsis.strip(), tuple(_paragraphs(lines)))
            found.setdefault(stanza.get("Description-md5", ""), description)
    return found


def read_sources(lists: Path, *, like: str = "de") -> dict[str, tuple[str, str]]:
    """Package -> its source package and its section."""
    found: dict[str, tuple[str, str]] = {}
    for stanza in _stanzas(_list(lists, "_binary-*_Packages", like), fields=("Package", "Source", "Section")):
        package = stanza.get("Package", "")
        source = stanza.get("Source", package).partition(" ")[0]  # "net-snmp (5.9-1)" where versions differ
        found.setdefault(package, (source, stanza.get("Section", "")))
    return found


def _with_sources(lists: Path | None) -> Iterator[tuple[str, str, Description]]:
    lists = lists or package_lists()
    sources = read_sources(lists)
    for description in read_descriptions(lists, language="en").values():
        package, section = sources.get(description.package, (description.package, ""))
        yield package, section, description


def _sentence_pairs(english: Description, translated: Description) -> Iterator[tuple[str, str]]:
    pairs = [(english.synopsis, translated.synopsis)]
    if len(english.paragraphs) == len(translated.paragraphs):
        pairs += zip(english.paragraphs, translated.paragraphs, strict=True)
    for ours, theirs in pairs:
        sentences = SENTENCE_END.split(ours), SENTENCE_END.split(theirs)
        if len(sentences[0]) != len(sentences[1]):
            sentences = [ours], [theirs]
        yield from (pair for pair in zip(*sentences, strict=True) if is_sound(*pair))


def _paragraphs(lines: Sequence[str]) -> Iterator[str]:
    """Lines joined into paragraphs: " ." parts them; lines that begin with two blanks are verbatim, and left out."""
    words: list[str] = []
    for line in [*lines, " ."]:
        if line.strip() == ".":
            if words:
                yield " ".join(words)
            words = []
        elif not line.startswith("  "):
            words += line.split()


def _stanzas(file: Path, fields: Sequence[str] | None = None) -> Iterator[dict[str, str]]:
    """Fields of each stanza of a deb822 file; a field's further lines stand behind line feeds, their blank kept."""
    stanza: dict[str, str] = {}
    name = None
    with file.open(encoding="utf-8", errors="replace") as lines:
        for raw in lines:
            line = raw.rstrip("\n")
            if not line:
                if stanza:
                    yield stanza
                stanza, name = {}, None
            elif line[0] == " ":
                if name is not None:
                    stanza[name] += "\n" + line
            else:
                key, _, value = line.partition(":")
                name = key if fields is None or key in fields else None
                if name is not None:
                    stanza[name] = value.strip()
    if stanza:
        yield stanza


def _list(lists: Path, ending: str, like: str) -> Path:
    """The list of the archive that has translations to `like`: updates and third parties have English only.

    Raises: DataMissing.
    """
    for translated in sorted(lists.glob(f"*_i18n_Translation-{like}")):
        archive = translated.name.removesuffix(f"_i18n_Translation-{like}")
        for file in sorted(lists.glob(f"{archive}{ending}")):
            return file
    raise DataMissing(
        f"{lists} holds no *{ending} of an archive with translations to {like!r}",
        mend="name a folder of apt's lists that were fetched with Acquire::Languages and without compression",
    )


def _near_count(rows: list[Row], what: str, pinned: bool) -> list[Row]:
    seen = SEEN.get(what)
    if pinned and seen is not None and abs(len(rows) - seen) > TOLERANCE * seen:
        raise DataDamaged(
            f"the package lists give {len(rows):,} {what}, where Debian 12 gives {seen:,}: figures measured on them "
            "cannot be compared",
            mend="use a Debian 12 image, or ask for any version (--any-version)",
        )
    return rows


def _write(folder: str | Path, rows: Sequence[Row], *, text: str) -> list[Path]:
    about = {
        "source": f"Debian's package index, descriptions and their translations; text sha256 {content_sha256(rows)}",
        "licence": "each description has the licence of its package",
    }
    parts = split(rows, unit="package", text=text)
    return [write_rows(folder, part, parts[part], about) for part in PARTS]
