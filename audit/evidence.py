"""From an estimate to a line of the record: the verdict comes from the interval, never from the point.

A limit is held when the whole interval lies on its good side, broken when the whole interval lies beyond it, and
inconclusive otherwise, with about how many rows would decide it. Without a limit a number is informative.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, sqrt
from typing import Literal

from audit.statistics.estimate import Estimate
from reports.record import Metric, Verdict, finite

Better = Literal["lower", "higher", "none"]

MOST_ROWS = 1e12  # more text than there is


@dataclass(frozen=True)
class Limit:
    """A bound that a number has to hold, and whose bound it is."""

    value: float
    source: str


def metric(
    name: str,
    estimate: Estimate,
    *,
    unit: str,
    better: Better = "none",
    limit: Limit | None = None,
    slice: Mapping[str, str] | None = None,
    definition: str | None = None,
    source: str | None = None,
    volatile: bool = False,
    p_value: float | None = None,
) -> Metric:
    """One line of the record.

    Args:
        name: the field's term in snake_case.
        estimate: value, interval, n and method.
        unit: "share of rows", "nats per row", "kWh per 1,000 inferences", ...
        better: which direction is better; a limit needs one.
        limit: the bound, with its source.
        slice: which part of the data: `{"group": "a"}`, or `{"by": "group"}` for a gap over a column.
        definition: one sentence that says what the number is.
        source: paper or standard of the method.
        volatile: true for clock and meter readings, which the content hash leaves out.
        p_value: of the limit being held, where the method has one of its own; None: read off the interval later.
    """
    value = finite(estimate.value)
    reason = estimate.reason
    if value is None and reason is None:
        reason = "the value is not a finite number"
    verdict = judge(estimate, better=better, limit=limit)
    return Metric(
        name=name,
        slice={str(k): str(v) for k, v in (slice or {}).items()},
        value=value,
        interval=estimate.interval if value is not None else None,
        confidence=estimate.confidence,
        interval_method=estimate.method if value is not None and estimate.interval else None,
        n=estimate.n,
        unit=unit,
        better=better,
        limit=limit.value if limit else None,
        limit_source=limit.source if limit else None,
        verdict=verdict,
        reason=reason,
        rows_needed=rows_needed(estimate, limit) if verdict is Verdict.INCONCLUSIVE else None,
        definition=definition,
        source=source,
        p_value=p_value,
        volatile=volatile,
    )


def line_of(metrics: Sequence[Metric], name: str, **part: str) -> Metric:
    """The first line of this name whose slice holds these values.

    Raises: StopIteration where there is none.
    """
    return next(line for line in metrics if line.name == name and part.items() <= line.slice.items())


def judge(estimate: Estimate, *, better: Better, limit: Limit | None) -> Verdict:
    """The verdict of an interval against a limit. A value equal to its limit holds it."""
    if limit is None:
        return Verdict.INFORMATIVE
    if better == "none":
        raise ValueError("a limit needs a direction: better='lower' or better='higher'")
    if estimate.value is None or estimate.interval is None:
        return Verdict.INCONCLUSIVE
    low, high = estimate.interval
    if better == "lower":
        held, broken = high <= limit.value, low > limit.value
    else:
        held, broken = low >= limit.value, high < limit.value
    return Verdict.PASS if held else Verdict.FAIL if broken else Verdict.INCONCLUSIVE


def rows_needed(estimate: Estimate, limit: Limit | None) -> int | None:
    """About how many rows would decide: the interval shrinks with the square root of n.

    None when the value lies on the limit, to within rounding (no number of rows that exists would do), or nothing is
    known of its error.
    """
    if limit is None or estimate.value is None or estimate.interval is None or estimate.n < 1:
        return None
    low, high = estimate.interval
    arm = (high - estimate.value) if estimate.value <= limit.value else (estimate.value - low)
    distance = abs(limit.value - estimate.value)
    if arm <= 0 or distance * sqrt(MOST_ROWS) <= arm * sqrt(estimate.n):
        return None
    return max(estimate.n + 1, ceil(estimate.n * (arm / distance) ** 2))
