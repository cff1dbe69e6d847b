"""The data card for readers: Markdown in which nothing of the data can act as Markdown, HTML or an unseen character."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

LONGEST = 120  # characters of one name

_ACTIVE = re.compile(r"[\\`*_{}\[\]#!|~$]")
_BY_ENTITY = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "@": "&#64;", "://": "&#58;//", "www.": "www&#46;"}
_UNSEEN = ("Cc", "Cf", "Cs", "Co", "Zl", "Zp")


def inert(value: object) -> str:
    """A value as text that stands on one line and acts as nothing; what the eye cannot see is named."""
    text = str(value)
    text = text if len(text) <= LONGEST else text[:LONGEST] + "..."
    seen = "".join(f"U+{ord(c):04X}" if unicodedata.category(c) in _UNSEEN else c for c in text)
    inactive = _ACTIVE.sub(lambda found: "\\" + found[0], seen)
    return re.sub("&|<|>|@|://|www[.]", lambda found: _BY_ENTITY[found[0]], inactive)


def card_text(card: dict[str, Any]) -> str:
    """The card as Markdown."""
    return "\n".join(
        [
            "# Data card",
            "",
            *_origin(card),
            "## What each step dropped",
            "",
            *_steps(card["steps"]),
            "## What is left",
            "",
            *_table(
                ["part", "rows", "file", "bytes", "sha256"],
                ([part["name"], f"{part['rows']:,}", part["file"], f"{part['bytes']:,}", part["sha256"]]
                 for part in card["parts"]),
            ),
            *_clusters(card["clusters"]),
            *_lengths(card["lengths"]),
            *_languages(card["languages"]),
            *_settings(card),
        ]
    )  # fmt: skip


def _origin(card: dict[str, Any]) -> list[str]:
    given = card["input"]
    facts = [
        ("input", given["name"]),
        ("sha256", f"{given['sha256']} (of the {given['sha256_of']})"),
        ("rows", f"{given['rows']:,}"),
        ("task", card["task"]),
        ("columns", ", ".join(f"{what} = {column}" for what, column in card["columns"].items())),
        ("synthetic", "yes" if given["synthetic"] else "not said to be"),
        ("sensitive", given["sensitive"] or "not said to be"),
        ("source", given["source"] or "not said"),
        ("licence", given["licence"] or "not said"),
    ]
    notes = [f"Note: {inert(note)}" for note in card["notes"]]
    return [*(f"- {what}: {inert(value)}" for what, value in facts), "", *(line for n in notes for line in (n, ""))]


def _steps(steps: Iterable[dict[str, Any]]) -> list[str]:
    rows: list[Sequence[object]] = []
    for step in steps:
        rows.append([step["name"], f"{step['rows_in']:,}", f"{step['rows_out']:,}", "", ""])
        rows += [["", "", "", f"changed: {entry['what']}", _counted(entry)] for entry in step["changed"]]
        rows += [["", "", "", f"dropped: {entry['reason']}", _counted(entry)] for entry in step["dropped"]]
        rows += [["", "", "", f"found: {what}", f"{count:,}"] for what, count in step["found"].items()]
    return _table(["step", "rows in", "rows out", "what and why", "rows, and the first of them"], rows)


def _counted(entry: dict[str, Any]) -> str:
    return f"{entry['rows']:,}: " + ", ".join(f"{row:,}" for row in entry["examples"])


def _clusters(clusters: dict[str, Any] | None) -> list[str]:
    if clusters is None:
        return []
    return [
        f"{clusters['clusters']:,} clusters, of which {clusters['of_two_rows_and_more']:,} hold two and more near "
        f"duplicates ({clusters['rows_in_these']:,} rows); the largest has {clusters['largest']:,}.",
        "",
    ]


def _lengths(lengths: dict[str, dict[str, dict[str, int]]]) -> list[str]:
    shares = list(next(iter(next(iter(lengths.values())).values())))
    rows = ([f"{side}, {unit}", *(f"{n:,}" for n in by.values())] for side, units in lengths.items()
            for unit, by in units.items())  # fmt: skip
    return ["Lengths, as quantiles over rows:", "", *_table(["text", *shares], rows)]


def _languages(languages: dict[str, Any] | None) -> list[str]:
    if languages is None:
        return ["Languages: not measured; the package py3langid is missing.", ""]
    sides = (
        f"- {inert(side)}: " + ", ".join(f"{inert(language)} {rows:,}" for language, rows in list(counts.items())[:10])
        for side, counts in languages["rows"].items()
    )
    return [f"Languages of {languages['sample_rows']:,} rows, by {languages['method']}:", "", *sides, ""]


def _settings(card: dict[str, Any]) -> list[str]:
    settings = (f"- {inert(name)}: {inert(value)}" for name, value in card["options"].items() if value is not None)
    versions = ", ".join(f"{name} {inert(number)}" for name, number in card["versions"].items() if number is not None)
    return ["## Settings", "", *settings, "", f"Versions: {versions}", ""]


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    lines = [head, ["---"] * len(head), *([inert(cell) for cell in row] for row in rows)]
    return [*("| " + " | ".join(map(str, line)) + " |" for line in lines), ""]
