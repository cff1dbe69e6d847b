"""The comparison page: what changed between two checkpoints, and where there is no evidence that anything did."""

from __future__ import annotations

from dataclasses import dataclass, replace

from reports.comparison import Comparison, Difference
from reports.document import markup, states
from reports.document.page import page
from reports.document.rows import Glyph, direction, in_words, slice_words
from reports.document.states import State
from reports.language import ENGLISH, N_, Language, _, percent, speaking
from reports.numbers import ABSENT, decimals_for, measured, number

COMPARISON_ELEMENT = '<script type="application/json" id="audit-comparison">'

STATES = {
    "worse": replace(states.FAIL, english=N_("worse")),
    "better": replace(states.PASS, english=N_("better")),
    "changed": replace(states.INCONCLUSIVE, english=N_("changed")),
    "no evidence of change": replace(states.INFORMATIVE, english=N_("no evidence of change")),
    "not comparable": replace(states.NOT_MEASURED, english=N_("not comparable")),
}


@dataclass(frozen=True)
class DifferenceRow:
    """One line of the comparison's tables."""

    audit: str
    words: str
    slice: str
    unit: str
    direction: str
    a: str
    b: str
    difference: str
    interval: str
    confidence: str
    method: str
    pairing: str
    n: str
    state: State
    reason: str
    glyph: Glyph | None


def comparison_html(comparison: Comparison, *, language: Language = ENGLISH) -> str:
    """The comparison as one HTML document that needs nothing else; the same comparison gives the same bytes."""
    with speaking(language):
        return _page(comparison)


def _page(comparison: Comparison) -> str:
    rows = [_row(row) for row in comparison.rows]
    groups = [(state, [row for row in rows if row.state == state]) for state in STATES.values()]
    data = [comparison.data, comparison.data_b or comparison.data]
    return page(
        "comparison.html",
        footer=markup.page_footer(comparison.b.sha256, _("comparison, B")),
        embedded=markup.data_element(COMPARISON_ELEMENT, comparison.model_dump_json()),
        comparison=comparison,
        sides=[("A", comparison.a, data[0]), ("B", comparison.b, data[1])],
        groups=[(state, found) for state, found in groups if found],
        gains=[_row(row) for row in comparison.gains],
        price=[_row(row) for row in comparison.mend.price] if comparison.mend else [],
        price_missing=comparison.mend.price_missing if comparison.mend else None,
        costs=[
            (cost.quantity, number(cost.a), number(cost.b))
            for cost in (comparison.mend.costs if comparison.mend else ())
        ],
        compared=sum(row.state is not STATES["not comparable"] for row in rows),
        same_data=data[0].sha256 == data[1].sha256,
    )


def _row(row: Difference) -> DifferenceRow:
    difference, interval = measured(row.difference, row.interval)
    decimals = decimals_for(row.difference, row.interval) if row.difference is not None and row.interval else None
    return DifferenceRow(
        audit=row.audit,
        words=in_words(row.name),
        slice=slice_words(row.slice),
        unit=row.unit,
        direction=direction(row.better),
        a=number(row.a, decimals=decimals),
        b=number(row.b, decimals=decimals),
        difference=f"+{difference}" if row.difference is not None and row.difference > 0 else difference,
        interval=interval,
        confidence=percent(row.confidence),
        method=row.method or "",
        pairing=_("same rows") if row.paired else _("different rows"),
        n=number(row.n) if row.n else ABSENT,
        state=STATES[row.conclusion],
        reason=row.reason or "",
        glyph=_glyph(row),
    )


def _glyph(row: Difference) -> Glyph | None:
    """Zero stands in the middle, as the tick; the scale is the line's own."""
    if row.difference is None or row.interval is None:
        return None
    reach = max(abs(x) for x in (row.difference, *row.interval))
    if reach == 0:
        return None

    def place(x: float) -> float:
        return round(50 + 46 * x / reach, 1)

    return Glyph(
        place(row.interval[0]), place(row.interval[1]), place(row.difference), 50.0, STATES[row.conclusion].key
    )
