"""Figures drawn as static SVG when the report is built: no chart script ever stands in a page.

Each kind of figure is one function from its rows to a Vega-Lite chart; vl-convert turns it into SVG, offline; what
comes back is rebuilt from a short list of known elements and attributes. Colour is never the only sign: series differ
in shape or dash, too, and bars carry their values as text. Labels use `currentColor` and the ground is transparent, so
that a chart follows the page into dark mode and onto paper. The same figure gives the same bytes.
Colours: Okabe and Ito, "Color Universal Design" (2008), the four that keep 3:1 contrast on light and dark.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from reports.document.vocabulary import fixed_words
from reports.errors import FigureUnfit
from reports.language import Language, _, axis_format, spoken
from reports.numbers import cell
from reports.record import Figure
from reports.svg import rebuilt
from reports.text import one_line

COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#7F7F7F"]
SHAPES = ["circle", "diamond", "square", "triangle-up", "cross"]
DASHES = [[1, 0], [6, 3], [2, 2], [8, 3, 2, 3], [12, 4]]
WIDTH = 520
LONGEST_LABEL = 32  # characters; the table behind the chart has the whole label
MOST_ROWS = {"intervals": 60, "bars": 60, "reliability": 100, "lines": 4000, "heatmap": 4096}

Rows = list[dict[str, Any]]


def draw(figure: Figure) -> str:
    """The figure as one `<svg>` element.

    Raises: FigureUnfit when no row holds the numbers that this kind reads.
    """
    return _draw(figure.model_dump_json(), spoken())


@lru_cache(maxsize=64)
def _draw(figure_json: str, language: Language) -> str:  # the language is part of the key
    import altair as alt
    import vl_convert

    figure = Figure.model_validate_json(figure_json)
    text, numbers, optional = _COLUMNS[figure.kind]
    rows = _readable(figure, text=text, numbers=numbers, optional=optional)
    chart = _KINDS[figure.kind](alt, rows, figure).configure(**_configuration())
    svg = vl_convert.vegalite_to_svg(chart.to_dict(), allowed_base_urls=[], format_locale=axis_format())
    return rebuilt(svg, prefix=figure.id)


def _intervals(alt: Any, rows: Rows, figure: Figure) -> Any:
    """Dots with whiskers, one line a label; a limit is a dashed line, or a tick where each line has its own."""
    columns = ["low", "high", "value", "limit"]
    base = alt.Chart(alt.Data(values=rows)).encode(**_line_per_label(alt, rows))
    whiskers = base.mark_rule(strokeWidth=2, strokeCap="round").encode(
        x=_measure(alt, "low", figure.x_label, rows, columns), x2="high:Q", **_hue(alt, rows)
    )
    dots = base.mark_point(filled=True, size=70, opacity=1).encode(x="value:Q", **_hue(alt, rows), **_shape(alt, rows))
    layers = [whiskers, dots]
    limits = {row["limit"] for row in rows if row.get("limit") is not None}
    if len(limits) == 1:
        ground = alt.Chart(alt.Data(values=[{"limit": limits.pop(), "words": one_line(_("limit"))}])).encode(
            x=_measure(alt, "limit", figure.x_label, rows, columns)
        )
        rule = ground.mark_rule(color="currentColor", strokeDash=[5, 4], strokeWidth=1.2)
        words = ground.mark_text(color="currentColor", baseline="bottom", dy=-3).encode(text="words:N", y=alt.value(0))
        layers = [rule, *layers, words]
    elif limits:
        ticks = base.mark_tick(color="currentColor", thickness=2, size=16).encode(x="limit:Q")
        layers.append(ticks)
    return alt.layer(*layers).properties(width=WIDTH - 130, height=_height(alt, rows))


def _bars(alt: Any, rows: Rows, figure: Figure) -> Any:
    """Horizontal bars with their value as text, and whiskers where an interval is given."""
    several = len(_series(rows)) > 1
    for row in rows:
        row["words"] = f"{row['series']}  {cell(row['value'])}" if several else cell(row["value"])
        row["end"] = max(v for v in (row["value"], row.get("high"), 0) if v is not None)
    columns = ["value", "low", "high", "room"]
    rows[0]["room"] = 1.2 * max(row["end"] for row in rows)  # for the words behind the longest bar
    base = alt.Chart(alt.Data(values=rows)).encode(**_line_per_label(alt, rows))
    bars = base.mark_bar(opacity=0.85).encode(
        x=_measure(alt, "value", figure.x_label, [*rows, {"value": 0}], columns), **_hue(alt, rows)
    )
    whiskers = base.mark_rule(color="currentColor", strokeWidth=1.4).encode(x="low:Q", x2="high:Q")
    words = base.mark_text(align="left", dx=5, color="currentColor").encode(x="end:Q", text="words:N")
    layers = [bars, whiskers, words] if any(row.get("low") is not None for row in rows) else [bars, words]
    return alt.layer(*layers).properties(width=WIDTH - 130, height=_height(alt, rows))


def _reliability(alt: Any, rows: Rows, figure: Figure) -> Any:
    """Accuracy against confidence; the dashed diagonal is perfect calibration, a dot's area its share of rows."""
    unit = alt.Scale(domain=[0, 1], nice=False)
    diagonal = (
        alt.Chart(alt.Data(values=[{"confidence": 0, "accuracy": 0}, {"confidence": 1, "accuracy": 1}]))
        .mark_line(color="currentColor", strokeDash=[5, 4], strokeWidth=1.2)
        .encode(x=alt.X("confidence:Q", scale=unit), y=alt.Y("accuracy:Q", scale=unit))
    )
    base = alt.Chart(alt.Data(values=rows)).encode(
        x=alt.X("confidence:Q", scale=unit, title=_title(figure.x_label) or one_line(_("confidence")))
    )
    whiskers = base.mark_rule(color=COLOURS[0], strokeWidth=2, strokeCap="round").encode(
        y=alt.Y("low:Q", scale=unit, title=_title(figure.y_label) or one_line(_("accuracy"))), y2="high:Q"
    )
    dots = base.mark_point(filled=True, color=COLOURS[0], opacity=1).encode(
        y="accuracy:Q", size=alt.Size("n:Q", title="rows", scale=alt.Scale(range=[20, 240]), legend=None)
    )
    return alt.layer(diagonal, whiskers, dots).properties(width=320, height=320)


def _lines(alt: Any, rows: Rows, figure: Figure) -> Any:
    """Curves with bands; series differ in colour, dash and shape."""
    if figure.scale == "log":
        return _lines_on_log_axes(alt, rows, figure)
    ordinal = any(isinstance(row["x"], str) for row in rows)
    for row in rows:
        row["x"] = _label(row["x"]) if ordinal else row["x"]
    x = alt.X(
        "x:O" if ordinal else "x:Q",
        title=_title(figure.x_label) or None,
        **(
            {"sort": None, "axis": alt.Axis(labelAngle=_angle(len({row["x"] for row in rows})))}
            if ordinal
            else {"scale": alt.Scale(zero=False), "axis": _axis(alt, [row["x"] for row in rows], 8)}
        ),
    )
    base = alt.Chart(alt.Data(values=rows)).encode(x=x)
    y = {"y": _measure(alt, "y", figure.y_label, rows, ["y", "low", "high"], kind=alt.Y)}
    names = _series(rows)
    layers = [base.mark_line(strokeWidth=2).encode(**y, **_hue(alt, rows), **_dash(alt, rows))]
    if any(row.get("low") is not None and row.get("high") is not None for row in rows):
        low = _measure(alt, "low", figure.y_label, rows, ["y", "low", "high"], kind=alt.Y)
        layers.insert(0, base.mark_area(opacity=0.16).encode(y=low, y2="high:Q", **_hue(alt, rows)))
    if len(rows) <= 30 * max(1, len(names)):
        layers.append(
            base.mark_point(filled=True, size=42, opacity=1).encode(**y, **_hue(alt, rows), **_shape(alt, rows))
        )
    return alt.layer(*layers).properties(width=WIDTH - 60, height=260)


def _lines_on_log_axes(alt: Any, rows: Rows, figure: Figure) -> Any:
    """Curves of what lies above 0, with a mark at each power of ten."""
    axes = {}
    for name, title, kind in (("x", figure.x_label, alt.X), ("y", figure.y_label, alt.Y)):
        values = [row[name] for row in rows]
        low, high = min(values), max(values)
        if low == high:
            low, high = low / 10, high * 10
        powers = [10.0**power for power in range(math.ceil(math.log10(low)), math.floor(math.log10(high)) + 1)]
        axes[name] = kind(
            f"{name}:Q",
            title=_title(title) or None,
            scale=alt.Scale(type="log", domain=[low, high], nice=False),
            axis=alt.Axis(values=powers, format="~g") if len(powers) > 1 else alt.Axis(tickCount=4, format="~g"),
        )
    lines = alt.Chart(alt.Data(values=rows)).encode(**axes).mark_line(strokeWidth=2)
    return lines.encode(**_hue(alt, rows), **_dash(alt, rows)).properties(width=WIDTH - 60, height=320)


def _heatmap(alt: Any, rows: Rows, figure: Figure) -> Any:
    """Cells with their value as text; blue for one sign, orange for the other."""
    values = [row["value"] for row in rows]
    low, high = min(values), max(values)
    both = low < 0 < high
    reach = max(abs(low), abs(high)) if both else 1.0
    for row in rows:
        # how dark the cell is: white text on the dark ones
        depth = abs(row["value"]) / reach if both else (row["value"] - low) / (high - low) if high > low else 0.0
        row.update(
            x=_label(row["x"]), y=_label(row["y"]), words=cell(row["value"]), ink="#fff" if depth > 0.55 else "#111"
        )
    wide, tall = len({row["x"] for row in rows}), len({row["y"] for row in rows})
    written = wide <= 10 and tall <= 40
    domain = [-reach, 0, reach] if both else [low, high if high > low else low + 1]
    colours = ["#B35806", "#F7F7F7", "#08519C"] if both else ["#EFF3FF", "#08519C"]
    base = alt.Chart(alt.Data(values=rows)).encode(
        x=alt.X("x:N", sort=None, title=_title(figure.x_label) or None, axis=alt.Axis(labelAngle=_angle(wide))),
        y=alt.Y("y:N", sort=None, title=_title(figure.y_label) or None),
    )
    legend = None if written else alt.Legend(title=None, gradientLength=160)
    cells = base.mark_rect(stroke="#888", strokeWidth=0.5).encode(
        color=alt.Color("value:Q", scale=alt.Scale(domain=domain, range=colours), legend=legend)
    )
    words = base.mark_text().encode(text="words:N", color=alt.Color("ink:N", scale=None, legend=None))
    size = {"width": min(WIDTH - 100, max(26, 600 // wide) * wide), "height": min(28, 800 // tall + 1) * tall}
    return (alt.layer(cells, words).resolve_scale(color="independent") if written else cells).properties(**size)


_KINDS: dict[str, Callable[[Any, Rows, Figure], Any]] = {
    "intervals": _intervals,
    "bars": _bars,
    "reliability": _reliability,
    "lines": _lines,
    "heatmap": _heatmap,
}
# What each kind reads: text columns, numbers that a row must have, numbers that it may have.
_COLUMNS: dict[str, tuple[list[str], list[str], list[str]]] = {
    "intervals": (["label"], ["value"], ["low", "high", "limit"]),
    "bars": (["label"], ["value"], ["low", "high"]),
    "reliability": ([], ["confidence", "accuracy"], ["low", "high", "n"]),
    "lines": (["x"], ["y"], ["low", "high"]),
    "heatmap": (["x", "y"], ["value"], []),
}


def _readable(figure: Figure, *, text: Sequence[str], numbers: Sequence[str], optional: Sequence[str]) -> Rows:
    """The rows that can be drawn, holding nothing but the columns of this kind."""
    rows: Rows = []
    for raw in figure.rows[: MOST_ROWS[figure.kind]]:
        row: dict[str, Any] = {name: _finite(raw.get(name)) for name in (*numbers, *optional)}
        if any(row[name] is None for name in numbers) or any(raw.get(name) is None for name in text):
            continue
        row.update({name: value if (value := _finite(raw[name])) is not None else str(raw[name]) for name in text})
        if figure.scale == "log" and not all(isinstance(row[name], int | float) and row[name] > 0 for name in "xy"):
            continue
        row["series"] = _label(raw["series"]) if raw.get("series") is not None else ""
        rows.append(row)
    if not rows:
        raise FigureUnfit(
            f"figure {one_line(figure.id)} ({figure.kind}): no row holds {', '.join([*text, *numbers])}",
            mend="give each row these columns, with finite numbers",
        )
    if "label" in text:
        _tell_apart(rows)
    return rows


def _tell_apart(rows: Rows) -> None:
    """Short labels that stay different where the long ones were."""
    short: dict[str, str] = {}
    seen: Counter[str] = Counter()
    for row in rows:
        full = str(row["label"])
        if full not in short:
            label = _label(full)
            seen[label] += 1
            short[full] = label if seen[label] == 1 else f"{label} ({seen[label]})"
        row["label"] = short[full]


def _title(label: str) -> str:
    """An axis' title, in the language that is spoken where its catalogue has these words."""
    return one_line(fixed_words(label) or label, longest=120)


def _label(value: object) -> str:
    text = one_line(cell(value) or str(value), longest=None)
    return text if len(text) <= LONGEST_LABEL else text[: LONGEST_LABEL - 1] + "…"


def _finite(value: object) -> float | int | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if math.isfinite(value) and abs(value) < 1e300 else None


def _series(rows: Rows) -> list[str]:
    return list(dict.fromkeys(row["series"] for row in rows))


def _cycle(values: list[Any], names: list[str]) -> list[Any]:
    return [values[i % len(values)] for i in range(len(names))]


def _hue(alt: Any, rows: Rows) -> dict[str, Any]:
    names = _series(rows)
    if len(names) < 2:
        return {"color": alt.value(COLOURS[0])}
    scale = alt.Scale(domain=names, range=_cycle(COLOURS, names))
    return {"color": alt.Color("series:N", title=None, scale=scale)}


def _dash(alt: Any, rows: Rows) -> dict[str, Any]:
    names = _series(rows)
    if len(names) < 2:
        return {}
    scale = alt.Scale(domain=names, range=_cycle(DASHES, names))
    return {"strokeDash": alt.StrokeDash("series:N", title=None, scale=scale)}


def _shape(alt: Any, rows: Rows) -> dict[str, Any]:
    names = _series(rows)
    if len(names) < 2:
        return {}
    # every fifth series has the same colour; its shape then differs
    shapes = [SHAPES[(i + i // len(COLOURS)) % len(SHAPES)] for i in range(len(names))]
    return {"shape": alt.Shape("series:N", title=None, scale=alt.Scale(domain=names, range=shapes))}


def _line_per_label(alt: Any, rows: Rows) -> dict[str, Any]:
    encoding = {
        "y": alt.Y(
            "label:N", sort=None, title=None, axis=alt.Axis(labelLimit=300, labelPadding=12, ticks=False, domain=False)
        )
    }
    names = _series(rows)
    if len(names) > 1:
        encoding["yOffset"] = alt.YOffset("series:N", sort=None, scale=alt.Scale(domain=names, paddingInner=0.15))
    return encoding


def _height(alt: Any, rows: Rows) -> Any:
    names = len(_series(rows))
    return alt.Step(28) if names < 2 else alt.Step(16, **{"for": "offset"})


def _measure(alt: Any, field: str, title: str, rows: Rows, columns: Sequence[str], *, kind: Any = None) -> Any:
    """A quantitative axis around what is there; the numbers decide where it begins, not zero."""
    values = [row[c] for row in rows for c in columns if row.get(c) is not None]
    low, high = min(values), max(values)
    margin = (high - low) * 0.04 or abs(low) * 0.1 or 0.5
    reach = [low - (margin if low != 0 else 0), high + margin]
    if low >= 0 and reach[0] < 0:
        reach[0] = 0
    scale = alt.Scale(domain=reach, nice=False)
    return (kind or alt.X)(f"{field}:Q", title=_title(title) or None, scale=scale, axis=_axis(alt, values, 6))


def _angle(names: int) -> int:
    """Of names below an axis, in degrees: few have room side by side."""
    return 0 if names < 7 else -40


def _axis(alt: Any, values: Sequence[float], ticks: int) -> Any:
    """An axis of about so many ticks, whole ones where the numbers are: there is no trial 2.5."""
    whole = all(float(value).is_integer() for value in values)  # then at most one tick a step of 1
    return alt.Axis(tickCount=min(ticks, max(1, int(max(values) - min(values)))) if whole else ticks)


def _configuration() -> dict[str, Any]:
    words = {"labelColor": "currentColor", "titleColor": "currentColor", "labelFontSize": 12, "titleFontSize": 12}
    return {
        "aria": False,
        "background": "#0000",
        "padding": {"left": 26, "right": 14, "top": 8, "bottom": 6},  # a reader's font may be wider than ours
        "font": "sans-serif",
        "axis": {
            **words,
            "titleFontWeight": "normal",
            "titlePadding": 10,
            "labelPadding": 6,
            "labelLimit": 300,
            "labelFlush": False,
            "gridColor": "currentColor",
            "gridOpacity": 0.14,
            "domainColor": "currentColor",
            "domainOpacity": 0.4,
            "tickColor": "currentColor",
            "tickOpacity": 0.4,
            "tickSize": 4,
        },
        "view": {"stroke": None},
        "legend": {
            **words,
            "orient": "top",
            "direction": "horizontal",
            "symbolOpacity": 1,
            "symbolSize": 70,
            "columns": 4,
            "columnPadding": 18,
            "labelLimit": 200,
            "padding": 0,
            "offset": 20,
        },
        "text": {"fontSize": 12},
    }
