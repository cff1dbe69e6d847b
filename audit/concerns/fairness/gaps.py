"""Rates by group, and the gaps between them: counts in, estimates out.

Everything here is arithmetic on counts by group; it knows no Subject and no file. The point values are those of
fairlearn's MetricFrame (`selection_rate`, `false_positive_rate`, ...), `demographic_parity_difference`,
`demographic_parity_ratio` and `equalized_odds_difference`, wherever no group is too small to be compared.

Sources: Hardt, Price and Srebro 2016, arXiv:1610.02413 (equalized odds); Weerts et al., fairlearn, JMLR 24 (2023);
29 CFR 1607.4(D) (four-fifths rule).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from audit.statistics.estimate import Estimate
from audit.statistics.group_table import group_counts, rate_parts
from audit.statistics.proportions import proportion, ratio_of_proportions
from audit.statistics.ranges import largest_minus_smallest, largest_of_ranges, smallest_over_largest

JOINT = " & "  # between the columns, and between the groups, of an intersection
_RATES = ("selection_rate", "false_positive_rate", "false_negative_rate", "accuracy")
MOST_COLUMNS = 4  # with more group columns, only pairs are intersected: 5 columns have 26 intersections


@dataclass(frozen=True, eq=False)
class Column:
    """A group column, or the intersection of several.

    Attributes:
        name: the column's name; "sex & race" for an intersection.
        groups: names of its groups, in the order of the alphabet, (groups,).
        codes: which group each row is of, (rows,) int64.
        parts: the columns that it was made of.
    """

    name: str
    groups: tuple[str, ...]
    codes: np.ndarray
    parts: tuple[str, ...]

    @property
    def sizes(self) -> np.ndarray:
        """Rows of each group, (groups,)."""
        return np.bincount(self.codes, minlength=len(self.groups))

    @property
    def crossed(self) -> bool:
        """Whether it is an intersection."""
        return len(self.parts) > 1


@dataclass(frozen=True)
class Rate:
    """A rate by group: in each group, `events` of `out_of` rows. Both (groups,) int64."""

    name: str
    events: np.ndarray
    out_of: np.ndarray

    def value(self, group: int) -> float:
        """events / out_of of one group."""
        return float(self.events[group] / self.out_of[group])

    def estimate(self, group: int, no_row: str) -> Estimate:
        """The rate of one group with its Wilson interval; absent with the reason `no_row` when it has none to count."""
        n = int(self.out_of[group])
        return proportion(int(self.events[group]), n) if n else Estimate.absent(no_row)


@dataclass(frozen=True)
class Gap:
    """The largest difference (or smallest ratio) of a rate between the groups of a column.

    Attributes:
        name: the field's term.
        estimate: its value with a simultaneous interval.
        rate: the rate that it is about; of equalized odds, the one of the two that differs more.
        highest, lowest: the groups between which it lies; None when there is no gap.
        compared: how many groups were compared.
    """

    name: str
    estimate: Estimate
    rate: Rate
    highest: int | None
    lowest: int | None
    compared: int


def columns_of(groups: Mapping[str, np.ndarray], *, intersections: bool) -> list[Column]:
    """The group columns, and their intersections as columns of their own.

    Args:
        groups: column -> (rows,) of str.
        intersections: whether to cross columns: all combinations up to four columns, beyond that pairs only.
    """
    singles = [_column(name, values) for name, values in groups.items()]
    most = len(singles) if len(singles) <= MOST_COLUMNS else 2
    sizes = range(2, most + 1) if intersections else ()
    return [*singles, *(_crossed(chosen) for size in sizes for chosen in combinations(singles, size))]


def _column(name: str, values: np.ndarray) -> Column:
    found, codes = np.unique(np.asarray(values, dtype=object), return_inverse=True)
    return Column(name, tuple(str(group) for group in found), codes, (name,))


def _crossed(columns: tuple[Column, ...]) -> Column:
    """Only combinations that occur are groups; names that joining would make equal are told apart by a prime."""
    shape = tuple(len(column.groups) for column in columns)
    cells, codes = np.unique(np.ravel_multi_index([c.codes for c in columns], shape), return_inverse=True)
    members = [np.unravel_index(int(cell), shape) for cell in cells]
    names: dict[str, None] = {}  # an ordered set
    for member in members:
        name = JOINT.join(column.groups[i] for column, i in zip(columns, member, strict=True))
        while name in names:  # "a & b" x "c" and "a" x "b & c"
            name += "'"
        names[name] = None
    parts = tuple(column.name for column in columns)
    return Column(JOINT.join(parts), tuple(names), codes, parts)


def rates_of(column: Column, *, target: np.ndarray, predicted: np.ndarray, selected: int) -> dict[str, Rate]:
    """Selection rate, false-positive rate, false-negative rate and accuracy by group.

    Args:
        column: groups of the rows.
        target, predicted: class index of each row, (rows,).
        selected: the class that counts as positive: a false positive is predicted so and is not.
    """
    groups = len(column.groups)
    parts = rate_parts(group_counts(column.codes, target == selected, predicted == selected, groups=groups))
    # With more than two classes, a row that is neither predicted nor labelled so may still be wrong.
    parts["accuracy"] = np.bincount(column.codes[predicted == target], minlength=groups), column.sizes
    return {name: Rate(name, *parts[name]) for name in _RATES}


def gaps_of(rates: Mapping[str, Rate], *, minimum_rows: int, random: np.random.Generator) -> list[Gap]:
    """The gaps of one column, for groups of at least `minimum_rows` rows that have the rate at all.

    Returns: demographic parity difference and ratio; differences of false-positive rate, false-negative rate and
    accuracy; equalized odds difference, the larger of the first two error gaps.
    """
    large = rates["selection_rate"].out_of >= minimum_rows
    selection, false_positive, false_negative, accuracy = (rates[name] for name in _RATES)
    gaps = [
        _difference("demographic_parity_difference", selection, large, random),
        _ratio("demographic_parity_ratio", selection, large, random),
        _difference("false_positive_rate_difference", false_positive, large, random),
        _difference("false_negative_rate_difference", false_negative, large, random),
        _difference("accuracy_difference", accuracy, large, random),
    ]
    return [*gaps, _equalized_odds(false_positive, false_negative, large, random)]


def _compared(rate: Rate, large: np.ndarray) -> np.ndarray:
    return np.flatnonzero(large & (rate.out_of > 0))


def _too_few(groups: np.ndarray, rate: Rate) -> str:
    return f"{len(groups)} group(s) large enough and with a {plain(rate.name)}; a gap needs two"


def plain(name: str) -> str:
    """A metric's name as words: "false-positive rate"."""
    return (
        name.replace("false_positive", "false-positive").replace("false_negative", "false-negative").replace("_", " ")
    )


def _difference(name: str, rate: Rate, large: np.ndarray, random: np.random.Generator) -> Gap:
    groups = _compared(rate, large)
    if len(groups) < 2:
        absent = Estimate.absent(_too_few(groups, rate), n=int(rate.out_of[groups].sum()))
        return Gap(name, absent, rate, None, None, len(groups))
    estimate = largest_minus_smallest(rate.events[groups], rate.out_of[groups], random)
    return Gap(name, estimate, rate, *_ends(rate, groups), len(groups))


def _ratio(name: str, rate: Rate, large: np.ndarray, random: np.random.Generator) -> Gap:
    groups = _compared(rate, large)
    if len(groups) < 2:
        absent = Estimate.absent(_too_few(groups, rate), n=int(rate.out_of[groups].sum()))
        return Gap(name, absent, rate, None, None, len(groups))
    if not rate.events[groups].any():
        absent = Estimate.absent("nobody is selected in any group", n=int(rate.out_of[groups].sum()))
        return Gap(name, absent, rate, None, None, len(groups))
    estimate = smallest_over_largest(rate.events[groups], rate.out_of[groups], random)
    return Gap(name, estimate, rate, *_ends(rate, groups), len(groups))


def _equalized_odds(false_positive: Rate, false_negative: Rate, large: np.ndarray, random: np.random.Generator) -> Gap:
    """Equalized odds: both error rates are equal; the true-positive rate differs as much as the false-negative rate."""
    name = "equalized_odds_difference"
    usable = {rate.name: _compared(rate, large) for rate in (false_positive, false_negative)}
    for rate in (false_positive, false_negative):
        if len(usable[rate.name]) < 2:
            absent = Estimate.absent(_too_few(usable[rate.name], rate), n=int(rate.out_of[usable[rate.name]].sum()))
            return Gap(name, absent, rate, None, None, len(usable[rate.name]))
    ranges = [(r.events[usable[r.name]], r.out_of[usable[r.name]]) for r in (false_positive, false_negative)]
    estimate = largest_of_ranges(ranges, random)
    worse = max((false_positive, false_negative), key=lambda r: float(np.ptp(_values(r, usable[r.name]))))
    return Gap(name, estimate, worse, *_ends(worse, usable[worse.name]), len(usable[worse.name]))


def _values(rate: Rate, groups: np.ndarray) -> np.ndarray:
    return rate.events[groups] / rate.out_of[groups]


def _ends(rate: Rate, groups: np.ndarray) -> tuple[int, int]:
    values = _values(rate, groups)
    return int(groups[values.argmax()]), int(groups[values.argmin()])


def impact_ratios(selection: Rate, *, minimum_rows: int) -> tuple[int | None, list[Estimate]]:
    """Each group's selection rate over the highest group's (four-fifths rule).

    The reference is the highest rate among groups of at least `minimum_rows` rows. Each interval is a ratio of two
    proportions; it does not know that the reference was chosen for being highest (`demographic_parity_ratio` does).

    Returns: the reference group (None when there is none) and one Estimate a group; the reference's is 1 by definition.
    """
    large = _compared(selection, selection.out_of >= minimum_rows)
    if len(large) == 0 or not selection.events[large].any():
        why = "no group is large enough to be the reference" if len(large) == 0 else "nobody is selected in any group"
        return None, [Estimate.absent(why, n=int(n)) for n in selection.out_of]
    reference, _ = _ends(selection, large)
    best = int(selection.events[reference]), int(selection.out_of[reference])
    itself = Estimate(
        1.0, None, None, best[1], "none", reason="the group with the highest selection rate: the reference"
    )
    return reference, [
        itself if group == reference else ratio_of_proportions(int(events), int(n), *best)
        for group, (events, n) in enumerate(zip(selection.events, selection.out_of, strict=True))
    ]
