"""Collects the report's texts: `python -m reports.locale` writes the template and brings each catalogue up to date."""

from __future__ import annotations

from pathlib import Path

from reports.catalogue import DOMAIN, LANGUAGES
from reports.locale.texts import template, updated

FOLDER = Path(__file__).parent


def main() -> None:
    """Write `aboveboard.pot` and the catalogues that come along, and say what is left to translate."""
    pot = template()
    (FOLDER / f"{DOMAIN}.pot").write_text(pot, encoding="utf-8")
    for name, folder in LANGUAGES.items():
        path = FOLDER / folder / "LC_MESSAGES" / f"{DOMAIN}.po"
        text, untranslated = updated(path.read_text(encoding="utf-8") if path.exists() else "", folder)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        print(f"{name}: {untranslated} texts to translate")


if __name__ == "__main__":
    main()
