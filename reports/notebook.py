"""A record as a notebook shows it: verdict, findings, what was not measured, and the numbers that have a limit.

One piece of HTML without script, style sheet, link or picture: a notebook may be trusted, and what is in a record need
not be. Every text is made visible and escaped.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from reports.document import states
from reports.numbers import cell, measured
from reports.smoothing_words import smoothing_sentence
from reports.text import one_line

if TYPE_CHECKING:
    from reports.record import AuditResult, Metric, Record

MOST_FINDINGS, MOST_NUMBERS = 10, 40


def card(record: Record) -> str:
    """The HTML of one cell's answer."""
    verdict = states.of_verdict(record.verdict)
    head = [
        f"<p><strong>{_said(verdict.word)}</strong>: {_said(record.verdict_reason)}</p>",
        f"<p>{_said(record.subject.name)} (sha256 {_said(record.subject.sha256[:12])}) on {record.data.rows:,} rows of "
        f"{_said(record.data.name)}{' (synthetic)' if record.data.synthetic else ''}</p>",
    ]
    if record.subject.smoothing is not None:
        head.append(f"<p>{_said(smoothing_sentence(record.subject.smoothing))}</p>")
    if record.content_sha256 is not None and record.sealed().content_sha256 != record.content_sha256:
        head.insert(0, "<p><strong>This record was edited: its content does not fit its own hash.</strong></p>")
    if not record.complete:
        head.append("<p>This run did not end.</p>")
    return f"<div>{''.join(head)}{_findings(record)}{_unmeasured(record)}{_numbers(record)}</div>"


def _findings(record: Record) -> str:
    findings = sorted(
        (finding for audit in record.audits for finding in audit.findings),
        key=lambda finding: ("high", "medium", "low").index(finding.severity.value),
    )
    if not findings:
        return ""
    shown = [f"<li>{_said(f.severity.value)}: {_said(f.statement)}</li>" for f in findings[:MOST_FINDINGS]]
    return f"<p>{len(findings)} findings{_of(findings, MOST_FINDINGS)}</p><ul>{''.join(shown)}</ul>"


def _unmeasured(record: Record) -> str:
    lines = [
        f"<li>{_said(audit.id)}: {_said(audit.reason or '')}{_supply(audit)}</li>"
        for audit in record.audits
        if states.of_audit(audit) in (states.NOT_MEASURED, states.ERRORED)
    ]
    return f"<p>not measured</p><ul>{''.join(lines)}</ul>" if lines else ""


def _supply(audit: AuditResult) -> str:
    return f" (supply <code>{_said(audit.supply)}</code>)" if audit.supply else ""


def _numbers(record: Record) -> str:
    """The numbers with a limit, the most pressing first; where none has one, the first of each audit."""
    numbers = [(audit, metric) for audit in record.audits for metric in audit.metrics]
    limited = [pair for pair in numbers if pair[1].limit is not None] or [p for p in numbers if not p[1].slice]
    limited.sort(key=lambda pair: states.ORDER.index(states.of_metric(pair[1])))
    if not limited:
        return ""
    heads = "".join(f"<th>{name}</th>" for name in ("audit", "number", "value", "interval", "n", "limit", "verdict"))
    rows = "".join(_row(audit, metric) for audit, metric in limited[:MOST_NUMBERS])
    return (
        f"<table><caption>{len(limited)} of {len(numbers)} numbers{_of(limited, MOST_NUMBERS)}</caption>"
        f"<thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>"
    )


def _row(audit: AuditResult, metric: Metric) -> str:
    value, interval = ("-", "-") if metric.value is None else measured(metric.value, metric.interval)
    word = states.of_metric(metric).word + (f": {metric.reason}" if metric.value is None and metric.reason else "")
    limit = "-" if metric.limit is None else cell(metric.limit)
    cells = (audit.id, metric.key, value, interval, f"{metric.n:,}", limit or "-", word)
    return "<tr>" + "".join(f"<td>{_said(text)}</td>" for text in cells) + "</tr>"


def _of(things: Sequence[object], most: int) -> str:
    return f", the first {most}" if len(things) > most else ""


def _said(text: str) -> str:
    return escape(one_line(text, longest=300))
