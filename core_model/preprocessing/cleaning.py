"""Cleaning of a text: HTML remains, Unicode's composed form, characters that nobody sees, blanks.

    cleaned = Cleaner(keep_lines=False)("Caf\\u0065\\u0301 &amp;\\u200b  <b>bar</b>")
    cleaned.text, cleaned.kinds == "Café & bar", {"html", "unicode", "control", "whitespace"}

What is cleaned once stays as it is: cleaning again changes nothing. Since one step can uncover work for another
(`&lt;b&gt;`, a zero-width space inside a tag), the steps run until the text stays the same.

Sources: Unicode Standard Annex 15 (normalization forms); Boucher and Anderson, "Trojan Source", USENIX Security 2023,
arXiv:2111.00169 (bidirectional and invisible characters).
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from core_model.preprocessing.markup import without_markup

ROUNDS = 16  # after these, what still changes was nested to wear us out: its markup characters become blanks

# Controls but tab and line ends; soft hyphen; zero-width, direction and annotation marks; tags (a hidden alphabet);
# noncharacters; halves of surrogate pairs.
UNSEEN = re.compile(
    "[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f"
    "\ufdd0-\ufdef\ufeff\ufff9-\ufffb\ufffe\uffff\ud800-\udfff\U000e0000-\U000e007f]"
)
# The two joiners mean something after a letter of Arabic or an Indic script, and within emoji; elsewhere they hide.
STRAY_JOINER = re.compile(
    "(?<![\u0600-\u1cff\ua800-\uabff\u2190-\u2bff\ufb50-\ufdcf\ufe0f\ufe70-\ufefc\U00010a00-\U00011fff"
    "\U0001f000-\U0001faff])[\u200c\u200d]"
)
LINE_END = re.compile("\r\n?|[\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")
BLANKS_IN_LINE = re.compile(r"[^\S\n]+")
BLANKS_AT_LINE_END = re.compile(r" ?\n ?")
EMPTY_LINES = re.compile(r"\n{3,}")
TO_CLEAN = re.compile(r"[^ -%'-;=-~]|  |^ | $")  # nothing of it: a plain ASCII text without <, & and odd blanks


@dataclass(frozen=True)
class Cleaned:
    """A text and what was cleaned from it.

    Attributes:
        kinds: of "html", "unicode", "control" and "whitespace", those that changed it.
    """

    text: str
    kinds: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Cleaner:
    """Cleans one text at a time.

    Attributes:
        html: take out tags, comments and scripts, and read character references (`&amp;`).
        unicode: write characters in their composed form (NFC).
        control: take out controls, zero-width and direction marks.
        whitespace: one blank between words, none at the ends, at most one empty line between paragraphs.
        keep_lines: whether line ends stay; else they are blanks like others.
    """

    html: bool = True
    unicode: bool = True
    control: bool = True
    whitespace: bool = True
    keep_lines: bool = False

    def __call__(self, text: str) -> Cleaned:
        """The text, cleaned."""
        if not TO_CLEAN.search(text):
            return Cleaned(text)
        kinds: set[str] = set()
        for _ in range(ROUNDS):
            before = text
            text = self._round(text, kinds)
            if text == before:
                return Cleaned(text, frozenset(kinds))
        text = re.sub("[<>&]", " ", text)
        kinds.add("html")
        for _ in range(2):  # what a blank leaves behind, and what that uncovers
            text = self._round(text, kinds)
        return Cleaned(text, frozenset(kinds))

    def _round(self, text: str, kinds: set[str]) -> str:
        steps = (
            ("html", self.html, without_markup),
            ("control", self.control, without_unseen),
            ("unicode", self.unicode, composed),
            ("whitespace", self.whitespace, self._blanks),
        )
        for kind, wanted, step in steps:
            if wanted and (changed := step(text)) != text:
                kinds.add(kind)
                text = changed
        return text

    def _blanks(self, text: str) -> str:
        return joined_blanks(text, keep_lines=self.keep_lines)


def composed(text: str) -> str:
    """The text in normalization form C."""
    return unicodedata.normalize("NFC", text)


def without_unseen(text: str) -> str:
    """The text without controls, zero-width and direction marks; joiners stay where a script or an emoji needs them."""
    return text if text.isprintable() else STRAY_JOINER.sub("", UNSEEN.sub("", text))


def joined_blanks(text: str, *, keep_lines: bool) -> str:
    """One blank between words and none at the ends; with `keep_lines`, also at most one empty line."""
    if not keep_lines:
        return " ".join(text.split())
    text = LINE_END.sub("\n", text)
    text = BLANKS_AT_LINE_END.sub("\n", BLANKS_IN_LINE.sub(" ", text))
    return EMPTY_LINES.sub("\n\n", text).strip()
