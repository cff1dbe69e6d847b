"""Markdown that holds somebody else's text: inert words, tables of them."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence

from reports.text import visible

LONGEST_CELL = 300


def inert(text: str, *, longest: int = LONGEST_CELL) -> str:
    """Somebody else's text as one line of Markdown that is neither markup nor link."""
    shown = html.escape(visible(text, line=True, longest=longest), quote=False)
    shown = re.sub(r"([\\`*_{}\[\]()#+!|~$])", r"\\\1", shown)
    return re.sub(r"(?i)\b(https?|ftp|www)(?=[:.])", r"\1&#8203;", shown)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table whose cells are inert."""
    lines = [head, ["---"] * len(head), *([inert(text) for text in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
