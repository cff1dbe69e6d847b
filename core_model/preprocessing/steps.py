"""The account of what each step took in, changed and dropped, and why. It holds counts and row numbers, no texts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from core_model.errors import DataMissing

EXAMPLES = 5


@dataclass
class Tally:
    """How many rows, and the first of them by number (from 1, header aside)."""

    rows: int = 0
    examples: list[int] = field(default_factory=list)

    def add(self, row: int) -> None:
        """One more row."""
        self.rows += 1
        if len(self.examples) < EXAMPLES:
            self.examples.append(row)


@dataclass
class Step:
    """One step's account.

    Attributes:
        name: what the step is called in the card.
        settings: the options that it ran under.
        mend: what to change when it drops too much.
        rows_in, rows_out: rows that came, rows that went on; counted one by one, each on its own.
        changed: what was changed -> rows.
        dropped: why -> rows.
        found: what else was counted on the way.
    """

    name: str
    settings: Mapping[str, Any]
    mend: str
    rows_in: int = 0
    rows_out: int = 0
    changed: dict[str, Tally] = field(default_factory=dict)
    dropped: dict[str, Tally] = field(default_factory=dict)
    found: dict[str, int] = field(default_factory=dict)

    def change(self, row: int, kinds: Iterable[str]) -> None:
        """Note what was changed in a row."""
        for kind in kinds:
            self.changed.setdefault(kind, Tally()).add(row)

    def drop(self, row: int, reason: str) -> None:
        """Note why a row goes no further."""
        self.dropped.setdefault(reason, Tally()).add(row)

    @property
    def rows_dropped(self) -> int:
        """Rows that went no further, over all reasons."""
        return sum(tally.rows for tally in self.dropped.values())

    def as_json(self) -> dict[str, Any]:
        """The account as the card holds it."""
        return {
            "name": self.name,
            "settings": dict(self.settings),
            "rows_in": self.rows_in,
            "rows_out": self.rows_out,
            "changed": [_told("what", kind, tally) for kind, tally in sorted(self.changed.items())],
            "dropped": [_told("reason", reason, tally) for reason, tally in sorted(self.dropped.items())],
            "found": dict(self.found),
        }


def _told(key: str, what: str, tally: Tally) -> dict[str, Any]:
    return {key: what, "rows": tally.rows, "examples": tally.examples}


def refuse_nothing_left(step: Step, rows: int) -> None:
    """Refuse a step that dropped every row that came.

    Raises: DataMissing, with the step, its most frequent reason and the option.
    """
    if step.rows_in and not step.rows_out:
        reason, tally = max(step.dropped.items(), key=lambda item: item[1].rows)
        raise DataMissing(
            f"no row is left: the step {step.name!r} dropped the last {step.rows_in:,} of {rows:,} rows "
            f"({reason}: {tally.rows:,}, such as row {tally.examples[0]:,})",
            mend=step.mend,
        )
