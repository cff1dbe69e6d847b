"""Tables of selection: how often each category is selected, and its impact ratio, in the form of 6 RCNY 5-301.

Only the form: `audit.selection_rates` counts. No table has a verdict, since the law sets no mark.
"""

from __future__ import annotations

from dataclasses import dataclass

Interval = tuple[float, float]


@dataclass(frozen=True)
class SelectionRow:
    """One category.

    Attributes:
        assessed, selected: people.
        rate: selected over assessed, with its interval; ratio: over the rate of the category selected most.
        scoring_rate: share above the sample's median score.
        left_out: why the ratio was left out, by a person's decision.
        no_ratio: why there is no ratio otherwise.
    """

    category: str
    assessed: int
    selected: int
    rate: float
    rate_interval: Interval | None
    ratio: float | None
    ratio_interval: Interval | None
    scoring_rate: float | None = None
    scoring_interval: Interval | None = None
    scoring_ratio: float | None = None
    scoring_ratio_interval: Interval | None = None
    left_out: str = ""
    no_ratio: str = ""


@dataclass(frozen=True)
class SelectionTable:
    """The categories of one column, or of two together."""

    title: str
    column: str
    rows: list[SelectionRow]
    unknown: int
    note: str = ""


@dataclass(frozen=True)
class Selection:
    """All tables of a record; or why there are none, and what would give them."""

    tables: list[SelectionTable]
    selected: str = ""
    assessed: int = 0
    median: float | None = None
    interval_method: str = ""
    missing: str = ""
    command: str = ""

    @property
    def scored(self) -> bool:
        """Whether scoring rates stand in the tables."""
        return self.median is not None
