"""Metrics, findings and figures as a page shows them: rounded, in words, with anchors."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from markupsafe import Markup

from reports import charts
from reports.document import states
from reports.document.markup import drawing, plain
from reports.document.states import State
from reports.errors import FigureUnfit
from reports.language import N_, _, percent
from reports.numbers import ABSENT, aligned, cell, measured, number
from reports.record import Figure, Finding, Metric, Scalar

MOST_EXAMPLES = 40  # rows of one finding that a page shows: the worst, and some at random
MOST_FIGURE_ROWS = 200  # rows of one figure's table that a page shows
MOST_COLUMNS = 12
PAGE_LETTERS, COLUMN_LETTERS = 110, 4  # of a table's font: on a line of A4, and between two columns
CROWD = 7  # columns from which on a line of paper may be too short for them
SENTENCE = 24  # letters of a cell that is read over several lines
USUAL_CONFIDENCE = 0.95  # of an interval; any other is written beside it

DIRECTION = {"lower": N_("lower is better"), "higher": N_("higher is better")}


@dataclass(frozen=True)
class Glyph:
    """A metric's interval as a line, a dot and a limit tick; positions in 0 to 100."""

    low: float | None
    high: float | None
    value: float
    limit: float | None
    state: str


@dataclass(frozen=True)
class MetricRow:
    """One line of a metric table."""

    name: str
    words: str
    slice: str
    unit: str
    value: str
    interval: str
    confidence: str
    unusual: bool
    n: str
    direction: str
    limit: str
    limit_source: str
    state: State
    reason: str
    waived: str
    rows_needed: str
    adjusted: str
    volatile: bool
    glyph: Glyph | None


@dataclass(frozen=True)
class Table:
    """Rows of anything: a header, cells as (text, is a number), and how many rows there are in all."""

    columns: list[str]
    rows: list[list[tuple[str, bool]]]
    total: int
    mono: frozenset[str] = frozenset()  # columns of names, hashes and other code

    @property
    def numeric(self) -> list[str]:
        """Columns that hold nothing but numbers (and absences): these are set to the right."""
        cells = list(zip(*self.rows, strict=True)) if self.rows else []
        return [
            column
            for column, found in zip(self.columns, cells, strict=False)
            if any(n for _, n in found) and all(n or text == ABSENT for text, n in found)
        ]

    @property
    def shown(self) -> int:
        """How many rows stand here."""
        return len(self.rows)

    @property
    def narrow(self) -> bool:
        """Whether its columns' longest words stand side by side on paper: then no word has to be broken.

        To ask a printer's layout where each letter could break takes three quarters of its time.
        """
        columns = zip(self.columns, *([text for text, _ in row] for row in self.rows), strict=True)
        longest = [max((len(word) for text in column for word in text.split()), default=0) for column in columns]
        return sum(longest) + COLUMN_LETTERS * len(longest) <= PAGE_LETTERS

    @property
    def crowded(self) -> bool:
        """Whether its many columns do not stand side by side on paper: there each row is a list of labelled values."""
        room = sum(min(letters, SENTENCE) + COLUMN_LETTERS for letters in self._letters)
        return len(self.columns) >= CROWD and room > PAGE_LETTERS

    @property
    def sentences(self) -> frozenset[str]:
        """Columns whose texts need a line of their own on paper."""
        return frozenset(name for name, n in zip(self.columns, self._letters, strict=True) if n > SENTENCE)

    @property
    def _letters(self) -> list[int]:
        """Of each column's longest cell, its header included."""
        columns = zip(self.columns, *([text for text, _ in row] for row in self.rows), strict=True)
        return [max(map(len, column)) for column in columns]


@dataclass(frozen=True)
class FigureView:
    """A figure: its drawing where it could be drawn, and always its table."""

    anchor: str
    figure: Figure
    svg: Markup | None
    why_not: str
    drawn: int
    table: Table


@dataclass(frozen=True)
class Examples:
    """Some rows of a finding: the worst, or some at random. `caption` is English until it is shown."""

    caption: str
    table: Table


@dataclass(frozen=True)
class FindingView:
    """A finding with the lines of the metrics that it rests on."""

    anchor: str
    finding: Finding
    audit_id: str
    audit_title: str
    metrics: list[MetricRow]
    examples: list[Examples]

    @property
    def shown(self) -> int:
        """How many rows stand here."""
        return sum(part.table.shown for part in self.examples)


class Anchors:
    """Ids of one page: stable, made of a-z, 0-9 and hyphens only, and never twice."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def of(self, kind: str, name: str) -> str:
        """`kind-name`, with a hash where the name had to be changed."""
        slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:60]
        anchor = f"{kind}-{slug}"
        if slug != name or anchor in self._taken:
            anchor = f"{anchor}-{hashlib.sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()[:6]}"
        place, first = 2, anchor
        while anchor in self._taken:
            anchor, place = f"{first}-{place}", place + 1
        self._taken.add(anchor)
        return anchor


def in_words(name: str) -> str:
    """A metric's snake_case name as words."""
    return name.replace("_", " ").strip() or name


def slice_words(parts: dict[str, str]) -> str:
    """`{"by": "source"}` is "by source"; `{"source": "tweet"}` is "source = tweet"."""
    return ", ".join(_("by %(column)s", column=v) if k == "by" else f"{k} = {v}" for k, v in parts.items())


def direction(better: str) -> str:
    """Which way a number should go: "lower is better"; empty where it has no direction."""
    return _(DIRECTION[better]) if better in DIRECTION else ""


def metric_rows(metrics: Sequence[Metric]) -> list[MetricRow]:
    """Lines of a table, in the order given; metrics of one name share the scale of their glyphs."""
    scales = {name: _scale([m for m in metrics if m.name == name]) for name in {m.name for m in metrics}}
    return [_metric_row(metric, scales[metric.name]) for metric in metrics]


def figure_view(figure: Figure, anchors: Anchors) -> FigureView:
    """The figure drawn, or why it could not be."""
    svg, why_not = None, ""
    try:
        svg = drawing(charts.draw(figure))
    except FigureUnfit as error:
        why_not = error.found
    drawn = min(len(figure.rows), charts.MOST_ROWS[figure.kind])
    rows = table(figure.rows, MOST_FIGURE_ROWS)
    named = replace(rows, columns=_column_names(rows.columns, figure))
    return FigureView(anchors.of("figure", figure.id), figure, svg, why_not, drawn, named)


def _column_names(columns: list[str], figure: Figure) -> list[str]:
    """The columns of a figure's rows in words: an axis' own where it has some, else what they are in every figure."""
    of_value = {"value": figure.x_label} if figure.kind in ("intervals", "bars") else {}
    axes = {"x": figure.x_label, "y": figure.y_label, **of_value}
    words = {
        "label": _("name"), "series": _("series"), "value": _("value"), "limit": _("limit"),
        "low": _("interval from"), "high": _("interval to"), "confidence": _("confidence"), "accuracy": _("accuracy"),
    } | {key: plain(label) for key, label in axes.items() if label}  # fmt: skip
    names = [words.get(column, column) for column in columns]
    return names if len(set(names)) == len(names) else columns  # two of one name would be one


def table(rows: Sequence[dict[str, Scalar]], most: int, *, total: int | None = None) -> Table:
    """At most `most` rows and twelve columns, in the order in which the columns first appear."""
    shown = rows[:most]
    columns = list(dict.fromkeys(key for row in shown for key in row))[:MOST_COLUMNS]
    filled = [_column([row.get(column) for row in shown]) for column in columns]
    return Table(columns, [list(line) for line in zip(*filled, strict=True)], max(len(rows), total or 0))


def _column(values: Sequence[Scalar]) -> list[tuple[str, bool]]:
    """Cells of one column: numbers in line, other values in words."""
    found = zip(values, aligned(values), strict=True)
    return [(_words(value), False) if text is None else (text, True) for value, text in found]


def _words(value: Scalar) -> str:
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    return ABSENT if value is None else str(value)


def _metric_row(metric: Metric, scale: tuple[float, float] | None) -> MetricRow:
    value, interval = measured(metric.value, metric.interval)
    state = states.of_metric(metric)
    return MetricRow(
        name=metric.name,
        words=in_words(metric.name),
        slice=slice_words(metric.slice),
        unit=metric.unit,
        value=value,
        interval=interval,
        confidence=percent(metric.confidence),
        unusual=metric.confidence != USUAL_CONFIDENCE,
        n=number(metric.n) if metric.n else ABSENT,
        direction=direction(metric.better),
        limit=_limit(metric),
        limit_source=metric.limit_source or "",
        state=state,
        reason=metric.reason or "",
        waived=_waived(metric),
        rows_needed=_about(metric.rows_needed),
        adjusted=_p_value(metric.p_adjusted),
        volatile=metric.volatile,
        glyph=_glyph(metric, scale, state),
    )


def _waived(metric: Metric) -> str:
    """Who lets it through, and what its own verdict is: "fail; waived by M. Kaya until 2027-02-01: ..."."""
    if metric.waiver is None or not states.waived(metric):
        return ""
    return f"{states.own(metric).word}; {metric.waiver.words}"


def _limit(metric: Metric) -> str:
    if metric.limit is None:
        return ""
    sign = {"lower": "≤ ", "higher": "≥ "}.get(metric.better, "")
    return sign + (cell(metric.limit) or "")


def _p_value(p: float | None) -> str:
    return "" if p is None else f"< {number(0.001, decimals=3)}" if p < 0.001 else f"= {number(p, decimals=3)}"


def _about(rows: int | None) -> str:
    """Two significant digits: nobody knows the number of rows better than that."""
    if rows is None:
        return ""
    step = 10 ** max(0, len(str(rows)) - 2)
    return number(-(-rows // step) * step)


def _scale(metrics: Iterable[Metric]) -> tuple[float, float] | None:
    points = [
        point
        for m in metrics
        if m.value is not None
        for point in (m.value, m.limit, *(m.interval or ()))
        if point is not None
    ]
    if not points or min(points) == max(points):
        return None
    margin = 0.04 * (max(points) - min(points))
    return min(points) - margin, max(points) + margin


def _glyph(metric: Metric, scale: tuple[float, float] | None, state: State) -> Glyph | None:
    if metric.value is None or scale is None or (metric.interval is None and metric.limit is None):
        return None

    def place(x: float | None) -> float | None:
        return None if x is None else round(100 * (x - scale[0]) / (scale[1] - scale[0]), 1)

    low, high = metric.interval or (None, None)
    return Glyph(place(low), place(high), place(metric.value) or 0.0, place(metric.limit), state.key)
