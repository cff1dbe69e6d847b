"""A comparison for a terminal: what changed, and of a mend against attacks its gains beside their price."""

from __future__ import annotations

from collections.abc import Iterator

from reports.comparison import Comparison, Difference
from reports.numbers import number
from reports.smoothing_words import smoothing_sentence
from reports.text import terminal_text


def comparison_lines(comparison: Comparison) -> Iterator[str]:
    """Plain lines, inert; numbers without evidence of change are counted, unless a mend is judged by them."""
    for letter, side in (("A", comparison.a), ("B", comparison.b)):
        if side.smoothing is not None:
            yield _say(f"{letter}: {smoothing_sentence(side.smoothing)}")
    for row in comparison.rows:
        if row.conclusion in ("better", "worse", "changed"):
            yield _say(f"{row.conclusion:<8} {row.key.replace('.', ': ', 1)} {_difference(row)}")
    unchanged = sum(row.conclusion == "no evidence of change" for row in comparison.rows)
    yield f"{unchanged} numbers without evidence of change"
    if comparison.mend is not None:
        yield "against attacks and noise:"
        for row in comparison.gains:
            yield _judged(row)
        yield "the price, where nobody attacks:"
        for row in comparison.mend.price:
            yield _judged(row)
        if comparison.mend.price_missing:
            yield _say(f"  not known: {comparison.mend.price_missing}")
        for cost in comparison.mend.costs:
            times = f", {cost.b / cost.a:.1f} times" if cost.a > 0 else ""
            yield f"  {cost.quantity} of these audits: {number(cost.a)} -> {number(cost.b)}{times}"


def _judged(row: Difference) -> str:
    """ "  attack success rate pwws -0.21 [-0.30, -0.12], better; 0.84 -> 0.63, paired on 58 rows"."""
    words = " ".join([row.name.replace("_", " "), *(_part(*part) for part in row.slice.items())])
    if row.difference is None or row.interval is None:
        return _say(f"  {words}: {row.conclusion}, {row.reason}")
    sides = f"{number(row.a)} -> {number(row.b)}"
    return _say(f"  {words} {_difference(row, pairing=False)}, {row.conclusion}; {sides}, {_pairing(row)}")


def _part(name: str, value: str) -> str:
    return value if name in ("attack", "noise", "kind") else f"{name} {value}"


def _difference(row: Difference, *, pairing: bool = True) -> str:
    assert row.difference is not None and row.interval is not None  # noqa: S101 - its conclusion needs both
    low, high = row.interval
    said = f"{row.difference:+.4f} [{low:+.4f}, {high:+.4f}]"
    return f"{said} {'paired' if row.paired else 'unpaired'}" if pairing else said


def _pairing(row: Difference) -> str:
    return f"paired on {row.n:,} rows" if row.paired else "unpaired"


def _say(text: str) -> str:
    return terminal_text(text, longest=400)
