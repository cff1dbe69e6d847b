"""English and German sentences that say the same: the help pages of LibreOffice, as Debian packages them.

    train, validation, test, terms = write_help("data")

Two packages of 5 MB (`libreoffice-help-en-us`, `libreoffice-help-de`) hold the same 2,560 pages in both languages.
Paragraphs are paired by the id that they share, and split into sentences where both have equally many. Columns:
en, de, page, module (the application that the page is about). The pages of the test rows are not in training. Headings
and labels of one to three words are terms, rows of their own: more to learn from, nothing to test on.

Licence: MPL-2.0, parts Apache-2.0 (their `copyright` file). Source: The Document Foundation, LibreOffice 7.4 help.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from core_model.corpora.apt import download
from core_model.corpora.archives import deb_members
from core_model.corpora.writing import PARTS, Row, content_sha256, part_of, split, write_rows
from core_model.errors import DataDamaged, DataMissing

PACKAGES = {"en-US": "libreoffice-help-en-us", "de": "libreoffice-help-de"}
INSTALL = f"apt-get download {' '.join(PACKAGES.values())}"
PINNED_SHA256 = "af360d46364e9ee3f289547ea6ac3c7a29b1632692d891725ac845bb0a2dc095"  # LibreOffice 7.4.7
ROOT = re.compile(r"(?:^|/)help/(en-US|de)/text/(.+\.html)$")
PARAGRAPH = re.compile(r'<(p|h[1-6])\b[^>]*?\bid="((?:par|hd)_id\w+)"[^>]*>(.*?)</\1>', re.DOTALL)
TAG = re.compile(r"<[^>]*>")
SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-ZÄÖÜ0-9])")
FEWEST_WORDS, MOST_WORDS = 4, 60
LENGTH_RATIO = (0.4, 2.5)  # characters of the German sentence for one of the English
MARKUP = re.compile(r"[%{}<>]")  # what is left of code and formulas


@dataclass(frozen=True)
class HelpPairs:
    """What was read.

    Attributes:
        rows: sentence pairs, as en, de, page and module; terms: shorter ones, likewise.
        sha256: of the content of both.
    """

    rows: list[Row]
    terms: list[Row]
    sha256: str

    @property
    def is_pinned(self) -> bool:
        """Whether this is the very text that the figures of the documentation were measured on."""
        return self.sha256 == PINNED_SHA256


def read_help(sources: Sequence[str | Path] = (), *, pinned: bool = True) -> HelpPairs:
    """Each distinct pair of sentences of 4 to 60 words, or terms of fewer, with the first page that has it.

    Args:
        sources: .deb files, or folders that they were unpacked to; without any, apt brings the packages.
        pinned: whether to refuse the text of another version.
    Raises: DataMissing when apt cannot bring the packages, or a language is not in the sources; DataDamaged for a
        broken archive, or another text than the pinned one.
    """
    pages = _pages([Path(source) for source in sources] or download(list(PACKAGES.values())))
    rows: dict[tuple[str, str], Row] = {}
    for page in sorted(pages["en-US"].keys() & pages["de"].keys()):
        module = page.partition("/")[0]
        for english, german in sentence_pairs(pages["en-US"][page], pages["de"][page]):
            rows.setdefault((english, german), {"en": english, "de": german, "page": page, "module": module})
    sentences = [row for row in rows.values() if len(row["en"].split()) >= FEWEST_WORDS]
    terms = [row for row in rows.values() if len(row["en"].split()) < FEWEST_WORDS]
    pairs = HelpPairs(sentences, terms, content_sha256(rows.values()))
    if not rows:
        raise DataMissing("the help pages hold no pair of sentences", mend=f"{INSTALL}, and name both files")
    if pinned and not pairs.is_pinned:
        raise DataDamaged(
            f"this help's text has sha256 {pairs.sha256}, expected {PINNED_SHA256} (LibreOffice 7.4.7 of Debian 12): "
            "figures measured on it cannot be compared",
            mend="name the packages of Debian 12, or ask for any version (--any-version)",
        )
    return pairs


def write_help(folder: str | Path, pairs: HelpPairs | None = None) -> tuple[Path, Path, Path, Path]:
    """Write train, validation, test and terms.jsonl (of the training pages), each with its about.toml; their paths.

    Raises: as `read_help`; OutputUnwritable.
    """
    pairs = pairs or read_help()
    about = {
        "source": f"LibreOffice help, English and German, as packaged by Debian; text sha256 {pairs.sha256}",
        "licence": "mpl-2.0",
    }
    parts = split(pairs.rows, unit="page", text="en")
    terms = [row for row in pairs.terms if part_of(row["page"]) == "train"]
    train, validation, test = (write_rows(folder, part, parts[part], about) for part in PARTS)
    return train, validation, test, write_rows(folder, "terms", terms, about)


def sentence_pairs(english: str, german: str) -> Iterator[tuple[str, str]]:
    """The sentence pairs of one page in its two languages, HTML with equal ids; the first paragraph of an id counts."""
    translated = paragraphs(german)
    for name, text in paragraphs(english).items():
        other = translated.get(name)
        if other is None or other == text:  # not there, or not translated
            continue
        ours, theirs = SENTENCE_END.split(text), SENTENCE_END.split(other)
        if len(ours) != len(theirs):
            ours, theirs = [text], [other]
        yield from (pair for pair in zip(ours, theirs, strict=True) if is_sound(*pair, fewest_words=1))


def paragraphs(page: str) -> dict[str, str]:
    """Id -> plain text of each paragraph and heading, in the page's order."""
    found: dict[str, str] = {}
    for _, name, content in PARAGRAPH.findall(page):
        text = " ".join(html.unescape(TAG.sub("", content)).split())
        if text:
            found.setdefault(name, text)
    return found


def is_sound(english: str, german: str, *, fewest_words: int = FEWEST_WORDS) -> bool:
    """Whether two texts can be each other's translation: not too long or short, alike in length, no code, not equal."""
    if english == german or MARKUP.search(english) or MARKUP.search(german):
        return False
    words = len(english.split()), len(german.split())
    if not (fewest_words <= words[0] <= MOST_WORDS and max(words) <= MOST_WORDS):
        return False
    return LENGTH_RATIO[0] <= len(german) / len(english) <= LENGTH_RATIO[1]


def _pages(sources: Sequence[Path]) -> dict[str, dict[str, str]]:
    """Language -> page -> its HTML."""
    pages: dict[str, dict[str, str]] = {"en-US": {}, "de": {}}
    for source in sources:
        for name, content in _files(source):
            found = ROOT.search(name)
            if found:
                pages[found[1]][found[2]] = content.decode("utf-8", "replace")
    missing = [PACKAGES[language] for language, found in pages.items() if not found]
    if missing:
        raise DataMissing(
            f"no help pages of {' or '.join(missing)} in {', '.join(map(str, sources))}",
            mend=f"{INSTALL}, and name both files",
        )
    return pages


def _files(source: Path) -> Iterator[tuple[str, bytes]]:
    if source.is_dir():
        for path in sorted(source.rglob("*.html")):
            if ROOT.search(path.as_posix()) and not path.is_symlink():
                yield path.as_posix(), path.read_bytes()
    elif source.is_file():
        yield from deb_members(source, lambda name: ROOT.search(name) is not None)
    else:
        raise DataMissing(f"there is no file or folder {source}", mend=f"{INSTALL}, and name both files")
