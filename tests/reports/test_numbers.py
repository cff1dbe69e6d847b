"""Promises about digits."""

from __future__ import annotations

import pytest

from reports.numbers import aligned, cell, duration, measured, number


@pytest.mark.parametrize(
    ("value", "interval", "shown"),
    [
        (0.14634, (0.1012, 0.1908), ("0.146", "0.101 to 0.191")),
        (0.14634, (0.1461, 0.1466), ("0.14634", "0.14610 to 0.14660")),
        (12345.6, (11000.0, 14000.0), ("12,346", "11,000 to 14,000")),
        (-0.52, (-0.8, -0.24), ("\u22120.52", "\u22120.80 to \u22120.24")),
        (0.0, (0.0, 0.0012), ("0.00000", "0.00000 to 0.00120")),
        (8.12e-9, (7.7e-9, 8.5e-9), ("8.12 × 10⁻⁹", "7.70 × 10⁻⁹ to 8.50 × 10⁻⁹")),  # noqa: RUF001
        (0.5, None, ("0.500", "\u2013")),
        (None, None, ("\u2013", "\u2013")),
        (1.0, (1.0, 1.0), ("1", "1 to 1")),
    ],
)
def test_digits_end_where_the_interval_begins(value, interval, shown):
    assert measured(value, interval) == shown


def test_no_negative_zero():
    assert number(-0.0004, decimals=2) == "0.00"


def test_a_column_lines_up():
    assert aligned([0.1, 0.25, 3, "x", None]) == ["0.10", "0.25", "3.00", None, None]
    assert aligned([1, 20000]) == ["1", "20,000"]


def test_true_is_no_number():
    assert cell(True) is None


@pytest.mark.parametrize(
    ("seconds", "said"), [(0, "0 s"), (0.42, "0.42 s"), (59.6, "1 min 0 s"), (370, "6 min 10 s"), (7500, "2 h 5 min")]
)
def test_durations_read_as_people_say_them(seconds, said):
    assert duration(seconds) == said
