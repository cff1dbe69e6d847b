"""One group column, held against one selected class: its rates, gaps and impact ratios as lines of the record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from audit.concerns.fairness.gaps import Column, Gap, Rate, gaps_of, impact_ratios, plain, rates_of
from audit.evidence import Better, Limit, metric
from audit.statistics.estimate import Estimate
from reports.record import Metric

MOST_SMALL_GROUPS = 50  # small groups shown for each column, largest first; the others are counted in a note
FOUR_FIFTHS = "29 CFR 1607.4(D)"
HARDT = "Hardt, Price and Srebro 2016, arXiv:1610.02413"
FAIRLEARN = "Weerts et al. 2023, fairlearn, JMLR 24(257)"


@dataclass(frozen=True)
class Limits:
    """What the gaps of every column are held to."""

    demographic_parity: Limit
    equalized_odds: Limit
    impact_ratio: Limit


@dataclass(frozen=True, eq=False)
class Measured:
    """What was counted and estimated for one column and one selected class.

    Attributes:
        column: the groups.
        selected: name of the class that counts as selected.
        index: its place among the model's classes.
        part: `{"label": selected}` where each class takes its turn, else empty.
        rates: by name.
        gaps: largest minus smallest (smallest over largest) over the groups that are large enough.
        reference: the group with the highest selection rate; None when there is none.
        ratios: impact ratio of each group, (groups,).
        limits: what they are held to.
        minimum_rows: groups with fewer rows are small.
        tells_accuracy: accuracy does not depend on the selected class; of several classes, only the first tells it.
    """

    column: Column
    selected: str
    index: int
    part: Mapping[str, str]
    rates: Mapping[str, Rate]
    gaps: tuple[Gap, ...]
    reference: int | None
    ratios: tuple[Estimate, ...]
    limits: Limits
    minimum_rows: int
    tells_accuracy: bool

    @property
    def small(self) -> np.ndarray:
        """Which groups have fewer than `minimum_rows` rows, (groups,) bool."""
        return self.column.sizes < self.minimum_rows

    @cached_property
    def shown(self) -> list[int]:
        """Groups whose own rates stand in the record: every large one, and the largest of the small ones."""
        small = np.flatnonzero(self.small)
        kept = small[np.argsort(-self.column.sizes[small], kind="stable")][:MOST_SMALL_GROUPS]
        return sorted([*np.flatnonzero(~self.small).tolist(), *kept.tolist()])

    def group_part(self, group: int) -> dict[str, str]:
        """The slice of one group's own value."""
        return {self.column.name: self.column.groups[group], **self.part}

    @cached_property
    def gap_metrics(self) -> dict[str, Metric]:
        """The gaps by name."""
        return {gap.name: self._gap(gap) for gap in self.gaps}

    @cached_property
    def ratio_metrics(self) -> dict[int, Metric]:
        """The impact ratios of the groups shown."""
        return {group: self._ratio(group) for group in self.shown}

    def metrics(self) -> list[Metric]:
        """Every line of the record."""
        names = [name for name in self.rates if self.tells_accuracy or name != "accuracy"]
        rates = [self._rate(self.rates[name], group) for name in names for group in self.shown]
        gaps = [m for name, m in self.gap_metrics.items() if self.tells_accuracy or name != "accuracy_difference"]
        return [*gaps, *self.ratio_metrics.values(), *rates]

    def _rate(self, rate: Rate, group: int) -> Metric:
        better: dict[str, Better] = {
            "false_positive_rate": "lower",
            "false_negative_rate": "lower",
            "accuracy": "higher",
        }
        missing = {
            "false_positive_rate": f"every row of this group is {self.selected!r}",
            "false_negative_rate": f"no row of this group is {self.selected!r}",
        }
        about_class = rate.name != "accuracy"
        return metric(
            rate.name,
            rate.estimate(group, missing.get(rate.name, "the group has no row")),
            unit="share of rows",
            better=better.get(rate.name, "none"),
            slice=self.group_part(group) if about_class else {self.column.name: self.column.groups[group]},
            definition=rate_in_words(rate.name, self.selected),
            source=FAIRLEARN,
        )

    def _gap(self, gap: Gap) -> Metric:
        better: Literal["lower", "higher"] = "higher" if gap.name == "demographic_parity_ratio" else "lower"
        limit = {
            "demographic_parity_difference": self.limits.demographic_parity,
            "equalized_odds_difference": self.limits.equalized_odds,
        }.get(gap.name)
        part = {} if gap.name == "accuracy_difference" else self.part
        return metric(
            gap.name,
            gap.estimate,
            unit="ratio" if better == "higher" else "share of rows",
            better=better,
            limit=limit,
            slice={"by": self.column.name, **part},
            definition=_GAPS_IN_WORDS[gap.name].format(groups=gap.compared, column=self.column.name),
            source=HARDT if gap.name == "equalized_odds_difference" else FAIRLEARN,
        )

    def _ratio(self, group: int) -> Metric:
        # Intersections have many small cells: those are shown, and held to nothing.
        held = group != self.reference and self.reference is not None
        held = held and not (self.column.crossed and bool(self.small[group]))
        highest = "the highest group's" if self.reference is None else f"{self.column.groups[self.reference]}'s"
        return metric(
            "impact_ratio",
            self.ratios[group],
            unit="ratio",
            better="higher",
            limit=self.limits.impact_ratio if held else None,
            slice=self.group_part(group),
            definition=f"the group's selection rate over {highest}, the highest; selected: predicted {self.selected!r}",
            source=FOUR_FIFTHS,
        )


_GAPS_IN_WORDS = {
    "demographic_parity_difference": (
        "largest minus smallest selection rate over {groups} groups of {column}; parity is 0"
    ),
    "demographic_parity_ratio": "smallest over largest selection rate over {groups} groups of {column}; parity is 1",
    "false_positive_rate_difference": "largest minus smallest false-positive rate over {groups} groups of {column}",
    "false_negative_rate_difference": "largest minus smallest false-negative rate over {groups} groups of {column}",
    "accuracy_difference": "largest minus smallest accuracy over {groups} groups of {column}",
    "equalized_odds_difference": (
        "the larger of the false-positive and the false-negative rate difference over {column}; parity is 0"
    ),
}


def rate_in_words(name: str, selected: str) -> str:
    """What a rate is, for the reader."""
    return {
        "selection_rate": f"share of the group's rows that are predicted {selected!r}",
        "false_positive_rate": f"share predicted {selected!r} of the group's rows that are not",
        "false_negative_rate": f"share not predicted {selected!r} of the group's rows that are",
        "accuracy": "share of the group's rows whose label is predicted rightly",
    }[name]


def measure(
    column: Column,
    *,
    target: np.ndarray,
    predicted: np.ndarray,
    selected: int,
    labels: tuple[str, ...],
    part: Mapping[str, str],
    limits: Limits,
    minimum_rows: int,
    tells_accuracy: bool,
    random: np.random.Generator,
) -> Measured:
    """Count and estimate everything about one column and one selected class."""
    rates = rates_of(column, target=target, predicted=predicted, selected=selected)
    reference, ratios = impact_ratios(rates["selection_rate"], minimum_rows=minimum_rows)
    gaps = tuple(gaps_of(rates, minimum_rows=minimum_rows, random=random))
    return Measured(
        column=column,
        selected=labels[selected],
        index=selected,
        part=part,
        rates=rates,
        gaps=gaps,
        reference=reference,
        ratios=tuple(ratios),
        limits=limits,
        minimum_rows=minimum_rows,
        tells_accuracy=tells_accuracy,
    )


def notes_of(measured: Measured) -> list[str]:
    """What was left out of this column's gaps, and why, in plain sentences."""
    notes = []
    column, small = measured.column, np.flatnonzero(measured.small)
    if len(small):
        hidden = len(small) - len(set(small.tolist()) & set(measured.shown))
        names = _listed([f"{column.groups[g]} ({column.sizes[g]})" for g in small[:10]], len(small) - 10)
        rows = int(column.sizes[small].sum())
        notes.append(
            f"{column.name}: {len(small)} small group(s), {rows} rows in all and each below {measured.minimum_rows}, "
            f"are shown with their wide intervals and left out of the gaps: {names}."
            + (f" {hidden} of them are not shown." if hidden else "")
        )
    for name in ("false_positive_rate", "false_negative_rate"):
        without = np.flatnonzero((measured.rates[name].out_of == 0) & ~measured.small)
        if len(without):
            names = _listed([column.groups[g] for g in without[:10]], len(without) - 10)
            kind = "row that is not" if name == "false_positive_rate" else "row that is"
            notes.append(
                f"{column.name}: {names} has no {kind} {measured.selected!r}, so no {plain(name)}, "
                "and is left out of that gap."
            )
    return notes


def _listed(names: list[str], more: int) -> str:
    return ", ".join(names) + (f" and {more} more" if more > 0 else "")
