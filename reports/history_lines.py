"""A history for a terminal: the runs, the limits that moved, and the numbers that did."""

from __future__ import annotations

from collections.abc import Iterator

from reports.history import Change, History, HistoryLine
from reports.numbers import ABSENT, decimals_for, measured, number
from reports.text import terminal_text

MOST_LINES = 40
_ORDER = {"date": "by the date of their runs", "given": "in the order given"}


def history_lines(history: History) -> Iterator[str]:
    """Plain lines, inert; every number that has no evidence of change is counted, not shown."""
    yield f"{len(history.runs)} runs, {_ORDER[history.order]}"
    for run in history.runs:
        seal = "" if run.seal == "whole" else "  EDITED" if run.seal == "edited" else "  no content hash"
        yield _say(f"  {run.number:>3}  {run.started[:10]}  {run.name} ({run.sha256[:12]})  {run.verdict}{seal}")
    moved = [(step, words) for step in history.steps for words in step.policy]
    if moved:
        yield "Limits and policy: a pass by a softer limit is no gain"
    for step, words in moved[:MOST_LINES]:
        yield _say(f"  run {step.earlier} -> {step.later}: {words}")
    yield from _and_more(len(moved))
    evidence = [line for line in history.lines if line.is_evidence]
    if history.multiplicity:
        yield f"Evidence of change, after {history.multiplicity.method} over {history.multiplicity.compared:,} changes"
    for line in evidence[:MOST_LINES]:
        yield from _changed(line)
    yield from _and_more(len(evidence))
    quiet = [line for line in history.lines if not line.is_evidence]
    yield f"{len(quiet)} numbers without evidence of change"
    for word, count in (
        ("came or went between the runs", sum(bool(line.came or line.went) for line in history.lines)),
        ("have intervals that exclude zero, which the correction takes back", sum(map(_only_alone, quiet))),
    ):
        if count:
            yield f"{count} numbers {word}"


def _changed(line: HistoryLine) -> Iterator[str]:
    changes = [line.overall, line.last_step]
    if (line.overall.earlier, line.overall.later) == (line.last_step.earlier, line.last_step.later):
        changes = changes[:1]
    for change in changes:
        if change.is_evidence:
            yield _say(f"  {change.conclusion:<8} {line.key}  {_values(line, change)}  {_difference(change)}")


def _values(line: HistoryLine, change: Change) -> str:
    decimals = None
    if change.difference is not None and change.interval:
        decimals = decimals_for(change.difference, change.interval)
    ends = [line.point(run) for run in (change.earlier, change.later)]
    before, after = (number(end.value, decimals=decimals) if end else ABSENT for end in ends)
    return f"{before} -> {after} (run {change.earlier} -> {change.later})"


def _difference(change: Change) -> str:
    value, interval = measured(change.difference, change.interval)
    sign = "+" if change.difference is not None and change.difference > 0 else ""
    return f"{sign}{value} [{interval}] {'paired' if change.paired else 'unpaired'}"


def _only_alone(line: HistoryLine) -> bool:
    return line.overall.only_alone or line.last_step.only_alone


def _and_more(count: int) -> Iterator[str]:
    if count > MOST_LINES:
        yield f"  and {count - MOST_LINES} more, in the page"


def _say(text: str) -> str:
    return terminal_text(text, longest=400)
