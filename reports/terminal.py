"""The record in a few lines for a terminal: verdict, what failed, findings with their mends, what was not measured.

Text from data and models is stripped of escape sequences, and its hidden characters become boxes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from reports.document import states
from reports.document.states import State
from reports.numbers import cell, measured
from reports.reading import hash_matches
from reports.record import Metric, Record, Severity, Status
from reports.smoothing_words import smoothing_sentence
from reports.text import terminal_text

Style = Literal["", "bold", "red", "yellow", "green", "dim"]
MOST_LINES = 12  # of each kind; the report has them all

_WORD_STYLE: dict[str, Style] = {"fail": "red", "inconclusive": "yellow", "pass": "green"}


def summary(record: Record) -> str:
    """Plain lines, without colour or markup."""
    return "\n".join(text for _, text in styled_lines(record))


def rich_summary(record: Record) -> str:
    """The same lines in rich's markup: our styles, and everything else escaped."""
    from rich.markup import escape

    return "\n".join(
        f"[{style}]{escape(text)}[/{style}]" if style else escape(text) for style, text in styled_lines(record)
    )


def styled_lines(record: Record) -> Iterator[tuple[Style, str]]:
    """Each line with its style; the text is safe to print."""
    subject, data = record.subject, record.data
    synthetic = " (synthetic)" if data.synthetic else ""
    yield "bold", f"{_say(subject.name, 80)} on {_say(data.name, 80)}{synthetic}: {data.rows:,} rows"
    if subject.smoothing is not None:
        yield "", _say(smoothing_sentence(subject.smoothing))
    if not record.complete:
        yield "yellow", "This run did not end; the same command goes on from where it stopped."
    if record.content_sha256 is not None and not hash_matches(record):
        yield "red", "This record was edited: its content does not fit its own hash."
    reason = f": {_say(record.verdict_reason)}" if record.verdict_reason else ""
    yield _WORD_STYLE[record.verdict], f"Verdict: {record.verdict}{reason}"
    yield from _metrics(record, states.FAIL, "Failed", "red")
    yield from _metrics(record, states.INCONCLUSIVE, "Inconclusive", "yellow")
    yield from _metrics(record, states.WAIVED, "Waived", "yellow")
    yield from _findings(record)
    yield from _not_measured(record)


def _metrics(record: Record, state: State, title: str, style: Style) -> Iterator[tuple[Style, str]]:
    found = [(a.id, m) for a in record.audits for m in a.metrics if states.of_metric(m) is state]
    if found:
        yield style, f"{title} ({len(found)})"
    for audit, metric in found[:MOST_LINES]:
        yield "", f"  {_say(audit, 40)}: {_say(metric.key, 160)} {_in_numbers(metric)}"
    yield from _and_more(len(found))


def _in_numbers(metric: Metric) -> str:
    value, interval = measured(metric.value, metric.interval)
    sign = {"lower": "<= ", "higher": ">= "}.get(metric.better, "")
    limit = f"; limit {sign}{cell(metric.limit)}" if metric.limit is not None else ""
    needed = f"; about {metric.rows_needed:,} rows would decide" if metric.rows_needed else ""
    waived = f"; {_say(metric.waiver.words, 200)}" if metric.waiver is not None and states.waived(metric) else ""
    return f"{value} ({interval}){limit}, n={metric.n:,}{needed}{waived}"


def _findings(record: Record) -> Iterator[tuple[Style, str]]:
    order = list(Severity)
    found = sorted((f for a in record.audits for f in a.findings), key=lambda f: order.index(f.severity))
    if found:
        yield "bold", f"Findings ({len(found)})"
    for finding in found[:MOST_LINES]:
        yield "", f"  {finding.severity.value}: {_say(finding.statement, 300)}"
        if finding.mitigation:
            yield "dim", f"    Try: {_say(finding.mitigation.command, 400)}"
    yield from _and_more(len(found))


def _not_measured(record: Record) -> Iterator[tuple[Style, str]]:
    found = [a for a in record.audits if a.status is not Status.MEASURED]
    if found:
        yield "bold", f"Not measured ({len(found)})"
    for audit in found[:MOST_LINES]:
        errored = "errored, " if audit.status is Status.ERRORED else ""
        yield "", f"  {_say(audit.id, 40)}: {errored}{_say(audit.reason or '', 300)}"
        if audit.supply:
            yield "dim", f"    Supply: {_say(audit.supply, 200)}"
    yield from _and_more(len(found))


def _and_more(count: int) -> Iterator[tuple[Style, str]]:
    if count > MOST_LINES:
        yield "dim", f"  and {count - MOST_LINES} more, in the report"


def _say(text: str, longest: int = 400) -> str:
    return terminal_text(text, longest=longest)
