"""Promises about figures."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import pytest

from reports import charts
from reports.charts import draw
from reports.errors import FigureUnfit
from tests.reports.factories import bars, figure, heatmap, intervals, lines, reliability

ALL = [
    intervals(),
    intervals("s", series=("a", "b")),
    reliability(),
    lines(),
    bars(),
    bars("t", series=("a", "b")),
    heatmap(),
]


def parsed(svg: str) -> ElementTree.Element:
    return ElementTree.fromstring(svg)  # noqa: S314 - our own drawing


def words_of(svg: str) -> list[str]:
    return [e.text for e in parsed(svg).iter() if e.tag.endswith("text") and e.text]


@pytest.mark.parametrize("made", ALL, ids=lambda f: f.id)
def test_the_same_figure_gives_the_same_bytes(made):
    first = draw(made)
    charts._draw.cache_clear()
    assert draw(made) == first


@pytest.mark.parametrize("made", ALL, ids=lambda f: f.id)
def test_a_drawing_holds_no_script_style_link_or_aria_chatter(made):
    root = parsed(draw(made))
    for element in root.iter():
        assert element.tag.split("}")[1] in {
            "svg",
            "g",
            "path",
            "line",
            "rect",
            "text",
            "defs",
            "linearGradient",
            "stop",
        }
        assert not [
            key for key in element.attrib if key == "style" or (key.startswith(("on", "aria")) and element is not root)
        ]
    assert 'aria-hidden="true"' in draw(made)
    assert len(draw(made)) < 16_000


@pytest.mark.parametrize("made", ALL, ids=lambda f: f.id)
def test_labels_follow_the_page_into_dark_mode(made):
    assert "currentColor" in draw(made)
    assert 'fill="#000"' not in draw(made)


def test_labels_of_a_stranger_are_text_and_nothing_else():
    svg = draw(figure("h", "bars", [{"label": "</text><script>alert(1)</script>", "value": 1.0}]))
    assert "<script" not in svg
    assert "</text><script>alert(1)</script>" in words_of(svg)


def test_hidden_characters_in_labels_are_boxes():
    svg = draw(figure("h", "intervals", [{"label": "a\u202eb\x00", "value": 0.5, "low": 0.4, "high": 0.6}]))
    assert "a[U+202E]b[U+0000]" in words_of(svg)


def test_long_labels_that_begin_alike_stay_apart():
    rows = [{"label": "x" * 200 + end, "value": float(i)} for i, end in enumerate("ab")]
    found = {text for text in words_of(draw(figure("h", "bars", rows))) if text.startswith("x")}
    assert len(found) == 2


def test_series_differ_in_shape_or_dash_not_in_colour_alone():
    dashes = re.findall(r'stroke-dasharray="([^"]+)"', draw(lines()))
    assert len(set(dashes)) >= 2
    marks = re.findall(r'd="(M[^"]+)" fill="(#0072B2|#D55E00)"', draw(intervals("s", series=("a", "b"))))
    by_colour = {colour: {d[-12:] for d, c in marks if c == colour} for _, colour in marks}
    assert len(by_colour) == 2
    assert by_colour["#0072B2"].isdisjoint(by_colour["#D55E00"])


@pytest.mark.parametrize(
    "row", [{"label": "a"}, {"label": "a", "value": "many"}, {"value": 1.0}, {"label": "a", "value": True}]
)
def test_rows_that_cannot_be_drawn_are_refused_by_name(row):
    with pytest.raises(FigureUnfit, match=r"figure h \(bars\): no row holds label, value"):
        draw(figure("h", "bars", [row]))


def test_a_row_without_its_number_is_left_out_of_the_drawing():
    rows = [{"label": "here", "value": 1.0}, {"label": "gone", "value": None}]
    assert "gone" not in words_of(draw(figure("h", "bars", rows)))


@pytest.mark.parametrize("value", [0.0, -3.0, 1e-12, 1e12])
def test_odd_sizes_are_drawn(value):
    for kind in ("bars", "intervals"):
        assert draw(figure("h", kind, [{"label": "a", "value": value, "low": value, "high": value}])).startswith("<svg")


def test_colours_keep_three_to_one_on_every_ground():
    # WCAG 2.2, 1.4.11; relative luminance as its glossary defines it
    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    style = (Path(charts.__file__).parent / "document/templates/style.css").read_text()
    grounds = re.findall(r"--(?:ground|panel): (#[0-9a-f]{6})", style)
    assert len(grounds) == 4
    for ground in grounds:
        for colour in charts.COLOURS:
            darker, lighter = sorted([luminance(ground), luminance(colour)])
            assert (lighter + 0.05) / (darker + 0.05) >= 3, (ground, colour)


def test_ids_of_two_drawings_never_meet():
    rows = [{"x": f"x{x}", "y": f"y{y}", "value": float(x * y)} for x in range(12) for y in range(12)]
    a, b = (set(re.findall(r' id="([^"]+)"', draw(figure(name, "heatmap", rows)))) for name in ("one", "two"))
    assert a
    assert a.isdisjoint(b)


def test_on_log_axes_powers_of_ten_are_evenly_apart_and_what_is_not_above_zero_is_left_out():
    rows = [{"x": 10.0**-power, "y": 10.0**-power, "series": "a"} for power in (3, 2, 1, 0)]
    drawn = draw(figure("h", "lines", [{"x": 0.0, "y": 0.5}, *rows], scale="log"))
    assert {"0.001", "0.01", "0.1", "1"} <= set(words_of(drawn))
    [path] = [d for d in re.findall(r' d="(M[^"]+)"', drawn) if d.count("L") == 3]
    places = [tuple(map(float, pair.split(","))) for pair in re.split("[ML]", path)[1:]]
    for axis in (0, 1):
        steps = [b[axis] - a[axis] for a, b in pairwise(places)]
        assert max(steps) == pytest.approx(min(steps), abs=0.1) and abs(steps[0]) > 50


def test_one_value_alone_is_drawn_on_log_axes():
    assert draw(figure("h", "lines", [{"x": 0.01, "y": 0.01}, {"x": 0.01, "y": 0.01}], scale="log")).startswith("<svg")


@pytest.mark.parametrize(("last", "whole"), [(2, True), (2.5, False)])
def test_an_axis_of_whole_numbers_has_no_tick_between_them(last, whole):
    made = lines().model_copy(update={"rows": [{"x": x, "y": 0.3} for x in (0, 1, last)], "x_label": "trial"})
    below = words_of(draw(made))[: words_of(draw(made)).index("trial")]
    assert below == ["0", "1", "2"] if whole else "0.5" in below


def test_numbers_below_an_axis_stand_apart():
    """72 positions in 500 pixels: as many as have room are written."""
    made = lines().model_copy(update={"rows": [{"x": -3.6 + i / 20, "y": 0.5} for i in range(72)], "x_label": "log10"})
    ticks = re.findall(r'<text[^>]*text-anchor="middle"[^>]*transform="translate\(([\d.]+),19\)', draw(made))
    places = sorted(float(place) for place in ticks)
    assert len(places) >= 5 and all(b - a > 30 for a, b in pairwise(places))
