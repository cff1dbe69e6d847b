"""Promises about a trade: no conclusion without its interval, and a page that shows both sides and runs nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from reports.document.trade import TRADE_ELEMENT, trade_html
from reports.record import Figure, Tool
from reports.trade import Line, Number, Trade
from tests.reports.factories import record
from tests.reports.pages import Page

HOSTILE = '<script>window.PWNED=1</script>"onload=x\u202e'


def number(value: float | None, interval: tuple[float, float] | None = None, **more: Any) -> Number:
    method = None if interval is None else "bootstrap"
    return Number(**({"value": value, "interval": interval, "n": 90, "method": method} | more))


def line(change: Number, **more: Any) -> Line:
    fields = {
        "kind": "quality", "name": "accuracy", "unit": "share of rows", "better": "higher", "before": number(0.8),
        "after": number(0.7), "change": change, "change_is": "difference", "paired": True,
    }  # fmt: skip
    return Line(**(fields | more))


def counted(value: float) -> Number:
    return number(value, method="counted")


def trade(**changes: Any) -> Trade:
    whole = record()
    lines = [
        line(counted(0.26), kind="size", name="weights on disk", unit="bytes", better="lower", change_is="ratio"),
        line(number(1.6, (1.5, 2.0)), kind="speed", name="rows answered", change_is="ratio"),
        line(number(-0.1, (-0.15, -0.05))),
        line(number(0.01, (-0.02, 0.03)), name="macro_f1"),
    ]
    figure = Figure(id="trade", kind="intervals", title="After / before", caption="1 is no change.",
                    rows=[{"label": "rows answered", "value": 1.6, "low": 1.5, "high": 2.0}])  # fmt: skip
    fields = {
        "tool": Tool(version="0.1.0"), "method": "quantize", "settings": {"float_words": False},
        "before": whole.subject, "after": whole.subject, "data": whole.data, "environment": whole.environment,
        "lines": lines, "figure": figure,
        "notes": ["Activations are rounded."], "command": "aboveboard compress m --method quantize",
    }  # fmt: skip
    return Trade(**(fields | changes))


@pytest.mark.parametrize(
    ("change", "more", "expected"),
    [
        (number(0.1, (0.05, 0.2)), {}, "better"),
        (number(0.1, (0.05, 0.2)), {"better": "lower"}, "worse"),
        (number(0.1, (0.05, 0.2)), {"better": "none"}, "changed"),
        (number(0.1, (-0.05, 0.2)), {}, "no evidence of change"),
        (number(0.1, (0.0, 0.2)), {}, "no evidence of change"),
        (number(1.1, (0.9, 1.2)), {"change_is": "ratio"}, "no evidence of change"),
        (number(0.9, (0.8, 0.95)), {"change_is": "ratio"}, "worse"),
        (counted(0.26), {"change_is": "ratio", "better": "lower"}, "better"),
        (counted(1.0), {"change_is": "ratio", "better": "lower"}, "unchanged"),
        (number(0.0), {}, "no evidence of change"),  # every row says the same on both sides
        (number(0.1), {}, "not measured"),  # a change whose error nobody knows
        (number(None, reason="no rows"), {}, "not measured"),
    ],
)
def test_a_conclusion_follows_from_the_interval(change, more, expected):
    assert line(change, **more).conclusion == expected


def test_a_number_without_a_value_says_why():
    with pytest.raises(ValidationError, match="must say why"):
        number(None)


def test_the_page_has_both_sides_every_change_and_the_way_to_repeat_it():
    page = Page(trade_html(trade()))
    said = [
        "weights on disk",
        "\u00d7 0.26",
        "\u00d7 1.60",
        "1.50 to 2.00",
        "macro f1",
        "\u22120.100",
        "worse",
        "better",
    ]
    for words in [
        *said,
        "no evidence of change",
        "Activations are rounded.",
        "aboveboard compress m --method quantize",
    ]:
        assert words in page.text, words
    assert any(tag == "svg" and "viewbox" in attributes for tag, attributes in page.tags)
    assert not [way for way in page.ways_out() if way[0] != "a"]


def test_the_page_carries_its_record_and_is_the_same_bytes_each_time():
    html = trade_html(trade())
    assert html == trade_html(trade())
    start = html.index(TRADE_ELEMENT) + len(TRADE_ELEMENT)
    inside = json.loads(html[start : html.index("</script>", start)])
    assert inside["lines"][2]["conclusion"] == "worse"


def test_hostile_names_run_nothing():
    whole = record()
    hostile = whole.subject.model_copy(update={"name": HOSTILE})
    page = Page(trade_html(trade(before=hostile, notes=[HOSTILE], command=HOSTILE, settings={HOSTILE: HOSTILE})))
    assert len(page.raw["script"]) == len(Page(trade_html(trade())).raw["script"])
    assert not page.ways_out() and "\u202e" not in page.text and "[U+202E]" in page.text
