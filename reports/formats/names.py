"""Names that machines compare: visible, on one line, and still distinct where the raw names were.

Making hidden characters visible and cutting long names can turn two names into one. A reader that takes names for
identities (a test history, a time series, an alert) would then merge what is apart, so the second gets a hash.
"""

from __future__ import annotations

import hashlib
from collections.abc import Hashable

from reports.text import one_line

LONGEST_NAME = 200
LONGEST_TEXT = 2_000

_NO_CHARACTER = {0xFFFE, 0xFFFF}  # in no XML file, though no category of Unicode calls them hidden


def said(text: str, *, longest: int = LONGEST_TEXT) -> str:
    """Somebody else's text on one line: hidden characters as [U+XXXX], cut with the count of what was cut."""
    shown = one_line(text, longest=longest)
    return "".join(f"[U+{ord(c):04X}]" if ord(c) & 0xFFFF in _NO_CHARACTER else c for c in shown)


class Names:
    """The names of one document. The same raw name in the same scope gets the same shown name."""

    def __init__(self) -> None:
        self._raw_of: dict[tuple[tuple[Hashable, ...], str], str] = {}

    def of(self, raw: str, *scope: Hashable) -> str:
        """The shown name; within a scope, no other raw name is shown alike."""
        shown = said(raw, longest=LONGEST_NAME)
        if self._raw_of.setdefault((scope, shown), raw) == raw:
            return shown
        digest = hashlib.sha256(raw.encode("utf-8", "surrogatepass")).hexdigest()[:12]
        return f"{shown} ~{digest}"
