"""Text that somebody else wrote, made visible and inert.

A report shows rows, labels and file names that an attacker may have written. Markup is the smaller danger (the
templates escape it); characters that the eye cannot see are the larger one: U+202E lets "evil" read as "live". Here
each of them becomes a box that names it, such as [U+202E], text is cut to a length with the count of what was cut, and
each sink (page, JSON in a page, CSV, terminal) gets its own rule.

Sources: Boucher and Anderson, "Trojan Source", USENIX Security 2023, arXiv:2111.00169 (bidirectional and invisible
characters); OWASP, "CSV Injection"; ECMA-48 (escape sequences).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

LONGEST = 600  # characters of one field that a page shows; the record keeps the rest

# Format characters (category Cf: bidi marks, zero-width, tags), controls, surrogates and private use are found by
# category. These are invisible, too, though Unicode files them under letters, marks or symbols.
_INVISIBLE = frozenset(
    [
        *[0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x2028, 0x2029, 0x2800, 0x3164, 0xFFA0],
        *range(0xE0000, 0xE0080),  # tags, unassigned ones included
        *range(0xE0100, 0xE01F0),  # variation selectors that can smuggle bytes
    ]
)
_HIDDEN_CATEGORIES = frozenset(["Cc", "Cf", "Cs", "Co"])
_FORMULA = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")  # the full-width forms, too
_PLAIN = re.compile(r"[\n\t\x20-\x7e]*")  # nothing to do, and by far the most common

# CSI (colours, cursor), OSC (titles, links; ended by BEL or ST), and the two-character escapes.
_ESCAPE_SEQUENCE = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]|(?:\x1b\]|\x9d).*?(?:\x07|\x1b\\|\x9c|$)|\x1b[ -/]*[0-~]"
)


def hidden(character: str) -> bool:
    """Whether the eye cannot see this character, or it changes the order of others. Newline and tab are not hidden."""
    if character in "\n\t":
        return False
    return ord(character) in _INVISIBLE or unicodedata.category(character) in _HIDDEN_CATEGORIES


def pieces(text: str, *, line: bool = False) -> Iterator[tuple[bool, str]]:
    """The text in order, as (is a box, what to show): plain runs as they are, hidden characters as `U+202E`.

    With `line`, newline and tab are boxes, too: what looks like one line is one.
    """
    run: list[str] = []
    for character in text:
        if hidden(character) or (line and character in "\n\t"):
            if run:
                yield False, "".join(run)
                run = []
            yield True, f"U+{ord(character):04X}"
        else:
            run.append(character)
    if run:
        yield False, "".join(run)


def visible(text: str, *, longest: int | None = LONGEST, line: bool = False) -> str:
    """The text with hidden characters as [U+XXXX], cut to `longest` characters with the count of what was cut."""
    kept, cut = capped(text, longest)
    if line or not _PLAIN.fullmatch(kept):
        kept = "".join(f"[{shown}]" if box else shown for box, shown in pieces(kept, line=line))
    return kept + left_out(cut)


def one_line(text: str, *, longest: int | None = LONGEST) -> str:
    """`visible`, with newlines and tabs as boxes: for commands to copy, labels and names."""
    return visible(text, longest=longest, line=True)


def capped(text: str, longest: int | None) -> tuple[str, int]:
    """The first `longest` characters, and how many were cut."""
    return (text, 0) if longest is None or len(text) <= longest else (text[:longest], len(text) - longest)


def left_out(cut: int) -> str:
    """The words for what was cut: empty when nothing was."""
    return f" … [{cut:,} more characters]" if cut else ""


def json_in_page(json: str) -> str:
    """JSON that can stand in a `<script type="application/json">`: it can close no element and end no line."""
    for character in "<>&\u2028\u2029":
        json = json.replace(character, f"\\u{ord(character):04x}")
    return json


def csv_cell(value: object) -> object:
    """A cell that no spreadsheet takes for a formula: text that begins like one gets an apostrophe in front.

    Numbers stay numbers. Quoting is the csv writer's business.
    """
    if not isinstance(value, str):
        return value
    risky = value.lstrip().startswith(_FORMULA) or value.startswith(("\t", "\r", "\n"))
    text = visible(value, longest=None)
    return f"'{text}" if risky else text


def terminal_text(text: str, *, longest: int | None = LONGEST) -> str:
    """One line for a terminal: escape sequences taken out, whatever else is hidden as boxes."""
    return one_line(_ESCAPE_SEQUENCE.sub("", text), longest=longest)
