"""What a checkpoint says of itself to people: its card (README.md with YAML front matter) and its licence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from core_model.checkpoint_files import checked

LARGEST_CARD = 1_000_000  # characters
LARGEST_FRONT_MATTER = 50_000
LICENCE_FILES = ("LICENSE", "LICENSE.txt", "LICENSE.md", "LICENCE", "LICENCE.txt", "COPYING")
# The words that open a licence's own text, and the name that hubs give it. The longer match comes first.
LICENCE_OPENINGS = {
    "apache license version 2.0": "apache-2.0",
    "mit license": "mit",
    "permission is hereby granted, free of charge": "mit",
    "gnu affero general public license version 3": "agpl-3.0",
    "gnu lesser general public license version 3": "lgpl-3.0",
    "gnu general public license version 3": "gpl-3.0",
    "gnu general public license version 2": "gpl-2.0",
    "mozilla public license version 2.0": "mpl-2.0",
    "bsd 3-clause": "bsd-3-clause",
    "bsd 2-clause": "bsd-2-clause",
    "attribution-noncommercial-sharealike 4.0": "cc-by-nc-sa-4.0",
    "attribution-noncommercial 4.0": "cc-by-nc-4.0",
    "attribution-sharealike 4.0": "cc-by-sa-4.0",
    "attribution 4.0 international": "cc-by-4.0",
    "cc0 1.0 universal": "cc0-1.0",
}


def read_card(folder: Path) -> str | None:
    """The card's text, at most a million characters; what is not UTF-8 in it is shown as U+FFFD."""
    path = checked(folder, "README.md")
    if path is None:
        return None
    with path.open("rb") as file:
        return file.read(LARGEST_CARD).decode("utf-8", "replace")


def front_matter(card: str | None) -> dict[str, Any]:
    """The fields between the two `---` lines at the top of a card; none where they are no YAML mapping."""
    if card is None or not card.startswith("---"):
        return {}
    block, end, _ = card[3:LARGEST_FRONT_MATTER].partition("\n---")
    if not end:
        return {}
    import yaml

    try:
        fields = yaml.safe_load(block)
    except (yaml.YAMLError, ValueError, RecursionError):
        return {}
    return fields if isinstance(fields, dict) else {}


def read_licence(folder: Path, card: str | None) -> str | None:
    """The licence by its hub name (`apache-2.0`): from the card, else from the opening of a licence file."""
    fields = front_matter(card)
    named = fields.get("license_name") if fields.get("license") == "other" else fields.get("license")
    if isinstance(named, list):
        named = ", ".join(name for name in named if isinstance(name, str))
    if isinstance(named, str) and named.strip():
        return named.strip()[:100]
    path = next((path for name in LICENCE_FILES if (path := checked(folder, name))), None)
    return None if path is None else licence_of_file(path)


def licence_of_file(path: Path) -> str:
    """The licence that a text opens with, by its hub name; `see LICENSE` where the opening is none that is known."""
    with path.open("rb") as file:
        opening = " ".join(file.read(2_000).decode("utf-8", "replace").lower().replace(",", " ,").split())
    opening = opening.replace(" ,", ",")
    plain = opening.replace(",", "")
    found = (name for words, name in LICENCE_OPENINGS.items() if words in opening or words in plain)
    return next(found, f"see {path.name}")
