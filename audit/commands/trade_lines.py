"""A line of a trade as one line for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from reports.trade import Line, Number


def said_line(line: Line) -> str:
    """Name, both sides, the change, and what follows from its interval."""
    change = f"{'times' if line.change_is == 'ratio' else 'by'} {_short(line.change)}"
    paired = ", paired" if line.paired else ""
    return (
        f"{line.name} ({line.unit}): {_short(line.before)} -> {_short(line.after)}, {change}{paired}: {line.conclusion}"
    )


def _short(number: Number) -> str:
    """The value and its interval, with as many digits as the interval supports."""
    from reports.numbers import measured

    if number.value is None:
        return f"not measured ({number.reason})"
    value, interval = measured(number.value, number.interval)
    return value if number.interval is None else f"{value} [{interval}]"
