"""Histories made by hand for the page: each state, a gap, a limit that moved, many numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from reports.history import Change, History, HistoryLine, HistoryRun, LimitMove, Point, StepChange
from reports.record import Multiplicity, Verdict
from tests.reports import factories


def run(number: int, **changes: Any) -> HistoryRun:
    base = factories.record()
    fields = {
        "number": number, "name": f"model-{number} (synthetic record)", "sha256": factories.sha256(f"model {number}"),
        "started": f"2026-{1 + number // 28:02d}-{1 + number % 28:02d}T10:00:00+00:00",
        "content_sha256": factories.sha256(f"content {number}"), "seal": "whole", "complete": True, "verdict": "fail",
        "verdict_reason": "1 limit is broken: accuracy", "findings": {"high": 1, "medium": 0, "low": 2},
        "policy": f"screening ({factories.sha256('policy')[:12]})", "data": base.data,
    }  # fmt: skip
    return HistoryRun(**(fields | changes))


def change(earlier: int, later: int, difference: float | None = 0.05, *, p: float = 0.001, **more: Any) -> Change:
    if difference is None:
        return Change(earlier=earlier, later=later, conclusion="not comparable", reason=more.pop("reason", "no value"))
    arm = 0.02
    interval = (difference - arm, difference + arm)
    evidence = not interval[0] <= 0 <= interval[1] and p <= 0.05
    said = "no evidence of change" if not evidence else "better" if difference > 0 else "worse"
    fields = {
        "earlier": earlier, "later": later, "difference": difference, "interval": interval, "method": "planted",
        "paired": True, "n": 2293, "p_value": p / 2, "p_adjusted": p, "conclusion": said,
    }  # fmt: skip
    return Change(**(fields | more))


def line(name: str, values: Sequence[float | None], *, limit: float | None = None, **changes: Any) -> HistoryLine:
    """A number that each run holds; None is a value that could not be measured."""
    points = [
        Point(
            run=i, value=v, interval=None if v is None else (v - 0.02, v + 0.02), n=2293, limit=limit,
            verdict=Verdict.INFORMATIVE if limit is None or v is None else Verdict.PASS if v > limit else Verdict.FAIL,
            reason="too few rows" if v is None else None,
        )
        for i, v in enumerate(values, start=1)
    ]  # fmt: skip
    runs = len(values)
    valued = [v for v in values if v is not None]
    fields: dict[str, Any] = {
        "audit": "fairness", "name": name, "unit": "share of rows", "better": "higher", "points": points,
        "overall": change(1, runs, valued[-1] - valued[0] if len(valued) > 1 else None),
        "last_step": change(runs - 1, runs, None if None in values[-2:] else values[-1] - values[-2]),
    }  # fmt: skip
    return HistoryLine(**(fields | changes))


def history(**changes: Any) -> History:
    came = line("late_number", [0.5, 0.5, 0.5, 0.5])
    came = came.model_copy(update={"points": came.points[2:], "came": 3})
    softened = line("accuracy", [0.6, 0.6, 0.61, 0.61], limit=0.55)
    held = [p.model_copy(update={"limit": 0.7, "verdict": Verdict.FAIL}) for p in softened.points[:2]]
    moved = LimitMove(earlier=2, later=3, before=0.7, after=0.55, direction="softer")
    softened = softened.model_copy(
        update={"points": [*held, *softened.points[2:]], "limits": [moved], "first_limit": 0.7,
                "by_first_limit": Verdict.FAIL}
    )  # fmt: skip
    fields: dict[str, Any] = {
        "schema_version": "1.0", "task": "classification", "order": "date", "same_data": True,
        "runs": [run(number) for number in range(1, 5)],
        "lines": [
            softened,
            line("impact_ratio", [0.6, 0.7, 0.75, 0.85], limit=0.8, slice={"target_group": "female"}),
            line("equalized_odds", [0.9, None, 0.8, 0.7]),
            line("quiet_number", [0.5, 0.5, 0.5, 0.5], audit="generalization"),
            line("alone", [0.5, 0.5, 0.5, 0.53], audit="generalization",
                 overall=change(1, 4, 0.03, p=0.4), last_step=change(3, 4, 0.03, p=0.4)),
            came,
        ],
        "steps": [
            StepChange(earlier=2, later=3, policy=["fairness: limit of accuracy moved from 0.7 to 0.55 (softer)"],
                       settings=["seed: 1 instead of 0"])
        ],
        "multiplicity": Multiplicity(method="Holm 1979", compared=9, explanation="All changes together."),
        "command": "aboveboard compare a.json b.json c.json d.json",
    }  # fmt: skip
    return History(**(fields | changes))


def large_history(runs: int, numbers: int) -> History:
    """As large as asked: every number in every run, each with a limit and a long slice."""
    values = [0.5 + 0.3 * (i % 7) / 7 for i in range(runs)]
    return history(
        runs=[run(number) for number in range(1, runs + 1)],
        lines=[line(f"number_{i}", values, limit=0.6, slice={"target_group": "x" * 40}) for i in range(numbers)],
    )
