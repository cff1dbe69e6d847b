"""Numbers as a reader should see them: no more digits than their interval supports.

A value is shown to two significant digits of its interval's half-width (0.1463 with [0.101, 0.191] is 0.146), so that
value and bounds line up and nobody reads noise. Without an interval: three significant digits; counts in full.
Separators are those of the language that is spoken (`reports.language`); the digits are the same in each.
Source of the rule: JCGM 100:2008 (GUM), 7.2.6: at most two significant digits of the uncertainty.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from math import floor, isfinite, log10

from reports.language import _, decimal

ABSENT = "\u2013"  # an en dash; beside it always stands the reason
_TIMES = "\u00d7"
_MOST_DECIMALS = 6  # beyond, powers of ten are easier to read


def decimals_for(value: float, interval: tuple[float, float] | None) -> int:
    """How many decimals the interval supports."""
    half = (interval[1] - interval[0]) / 2 if interval else 0.0
    scale, digits = (half, 2) if half > 0 else (abs(value), 3)
    return max(0, digits - 1 - floor(log10(scale))) if scale > 0 and isfinite(scale) else 0


def number(value: float | None, *, decimals: int | None = None) -> str:
    """A number with a real minus sign and thousands apart; three significant digits unless `decimals` is given."""
    if value is None:
        return ABSENT
    if value == 0:
        return "0" if decimals is None or decimals > _MOST_DECIMALS else decimal(f"{0:.{decimals}f}")
    if decimals is None:
        if float(value).is_integer() and abs(value) < 1e15:
            return _signed(str(int(value)))
        decimals = decimals_for(value, None)
    if _in_powers(value, decimals):
        return _power(value)
    return _signed(f"{value:.{decimals}f}")


def measured(value: float | None, interval: tuple[float, float] | None) -> tuple[str, str]:
    """The value and its interval as text, rounded alike: ("0.146", "0.101 to 0.191"). Absent parts are a dash."""
    if value is None:
        return ABSENT, ABSENT
    if interval is None:
        return number(value), ABSENT
    decimals = None if interval[0] == interval[1] else decimals_for(value, interval)
    low, high = (number(bound, decimals=decimals) for bound in interval)
    return number(value, decimals=decimals), _("%(low)s to %(high)s", low=low, high=high)


def cell(value: object) -> str | None:
    """A number of a data table in at most four significant digits; None for what is not a number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return number(value, decimals=_cell_decimals(value))


def aligned(values: Sequence[object]) -> list[str | None]:
    """`cell` of each value of one column; where fractions are among them, with the same number of decimals."""
    numbers = [value for value in values if not isinstance(value, bool) and isinstance(value, int | float)]
    decimals = max((_cell_decimals(value) or 0 for value in numbers if not _cell_in_powers(value)), default=0)
    return [
        number(value, decimals=decimals)
        if decimals and cell(value) is not None and isinstance(value, int | float) and not _cell_in_powers(value)
        else cell(value)
        for value in values
    ]


def duration(seconds: float) -> str:
    """Seconds as people say them: "0.42 s", "48 s", "6 min 10 s", "2 h 5 min"."""
    if seconds < 10:
        return f"{decimal(format(Decimal(f'{seconds:.2g}'), 'f'))} s" if seconds else "0 s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def _cell_decimals(value: float) -> int | None:
    """How many decimals `cell` shows: four significant digits, without the zeros at their end; None for a count."""
    if value == 0 or float(value).is_integer():
        return None
    decimals = max(0, 3 - floor(log10(abs(value))))
    if _in_powers(value, decimals):
        return decimals
    return len(f"{value:.{decimals}f}".rstrip("0").partition(".")[2])


def _cell_in_powers(value: float) -> bool:
    return _in_powers(value, _cell_decimals(value) or 0)


def _in_powers(value: float, decimals: int) -> bool:
    """Whether a power of ten is easier to read."""
    return value != 0 and (decimals > _MOST_DECIMALS or abs(value) >= 1e15)


def _signed(digits: str) -> str:
    """With separators and a real minus sign; no negative zero."""
    negative = digits.startswith("-") and bool(digits.strip("-0."))
    return ("\u2212" if negative else "") + decimal(digits.removeprefix("-"))


def _power(value: float) -> str:
    mantissa, exponent = f"{value:.2e}".split("e")
    superscript = str(int(exponent)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return f"{_signed(mantissa)} {_TIMES} 10{superscript}"
