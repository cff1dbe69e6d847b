"""What a metric's name stands for, whatever rows it was measured on: for pages in other languages than the record's.

The record says it more exactly, in English ("over 5 groups of target_group"); a page in another language shows both.
"""

from __future__ import annotations

import tomllib
from functools import cache
from importlib import resources
from typing import Any

from reports.language import _, spoken


def meaning(name: str) -> str:
    """One sentence in the language that is spoken; empty in English, or where the vocabulary lacks the name."""
    message = "" if spoken().english else vocabulary()["metrics"].get(name, "")
    found = _(message) if message else ""
    return found if found != message % {} else ""


@cache
def vocabulary() -> dict[str, Any]:
    """`vocabulary.toml`: `metrics`, name to English sentence; `words`, whatever else audits say in fixed words."""
    text = resources.files("reports.locale").joinpath("vocabulary.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)
