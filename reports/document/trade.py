"""The page of a compression: what became smaller and quicker, and what that did to the answers."""

from __future__ import annotations

from dataclasses import dataclass, replace

from reports.document import markup, states
from reports.document.page import page
from reports.document.rows import Anchors, direction, figure_view, in_words
from reports.document.states import State
from reports.language import ENGLISH, N_, Language, _, speaking
from reports.numbers import ABSENT, measured, number
from reports.record import Figure
from reports.trade import COUNTED, Line, Number, Trade

TRADE_ELEMENT = '<script type="application/json" id="compression">'

STATES = {
    "worse": replace(states.FAIL, english=N_("worse")),
    "better": replace(states.PASS, english=N_("better")),
    "changed": replace(states.INCONCLUSIVE, english=N_("changed")),
    "unchanged": replace(states.INFORMATIVE, english=N_("unchanged")),
    "no evidence of change": replace(states.INFORMATIVE, english=N_("no evidence of change")),
    "not measured": states.NOT_MEASURED,
}


@dataclass(frozen=True)
class Cell:
    """One number: its value, and under it the interval or, in English until it is shown, why there is none."""

    value: str
    interval: str
    note: str


@dataclass(frozen=True)
class TradeRow:
    """One line of the table."""

    kind: str
    name: str
    unit: str
    direction: str
    before: Cell
    after: Cell
    change: Cell
    paired: bool
    method: str
    n: str
    state: State


def trade_html(trade: Trade, *, language: Language = ENGLISH) -> str:
    """The trade as one HTML document that needs nothing else; the same trade gives the same bytes.

    Args:
        trade: the content of `compression.json`.
        language: of the fixed texts, the numbers and the dates; the record inside is the same in each.
    """
    with speaking(language):
        return _trade(trade)


def _trade(trade: Trade) -> str:
    rows = [_row(line) for line in trade.lines]
    return page(
        "trade.html",
        footer=markup.page_footer(trade.after.sha256, _("compression")),
        embedded=markup.data_element(TRADE_ELEMENT, trade.model_dump_json()),
        trade=trade,
        rows=rows,
        tiles=[row for row in rows if row.state.english in ("better", "worse")][:6],
        view=figure_view(_labelled(trade.figure), Anchors()),
        sides=[(_("Before"), trade.before), (_("After"), trade.after)],
        settings=list(trade.settings.items()),
    )


def _row(line: Line) -> TradeRow:
    change = _cell(line.change, sign=line.change_is == "difference")
    if line.change_is == "ratio" and line.change.value is not None:
        change = replace(change, value=f"\u00d7 {change.value}")
    method = line.change.method or ""
    return TradeRow(
        kind=line.kind,
        name=in_words(line.name),
        unit=line.unit,
        direction=direction(line.better),
        before=_cell(line.before),
        after=_cell(line.after),
        change=change,
        paired=line.paired,
        method="" if method == COUNTED else method,
        n=number(line.change.n) if line.change.n and method != COUNTED else ABSENT,
        state=STATES[line.conclusion],
    )


def _cell(found: Number, *, sign: bool = False) -> Cell:
    value, interval = measured(found.value, found.interval)
    if sign and found.value is not None and found.value > 0:
        value = f"+{value}"
    if found.interval is not None:
        return Cell(value, interval, "")
    return Cell(value, "", COUNTED if found.method == COUNTED else (found.reason or N_("no interval")))


def _labelled(figure: Figure) -> Figure:
    """The figure with the names of its numbers in the language that is spoken."""
    rows = [{**row, "label": markup.plain(in_words(str(row["label"])))} for row in figure.rows]
    return figure.model_copy(update={"rows": rows})
