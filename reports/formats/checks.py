"""What a record says, as one list of checks: what machine formats call a test case, a result or a sample.

Each number is one check with its state, and each audit that found no number is one, too, so that nothing unmeasured
drops out of sight. A number's sentence carries its interval, its n and its limit.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from reports.document import states
from reports.document.states import State
from reports.formats.names import said
from reports.numbers import cell, measured
from reports.reading import hash_matches
from reports.record import AuditResult, Metric, Record, Status, Verdict


@dataclass(frozen=True)
class Check:
    """One thing that was asked of the checkpoint: a number of an audit, or (without `metric`) an audit as a whole."""

    audit: AuditResult
    metric: Metric | None
    state: State
    sentence: str

    @property
    def limited(self) -> bool:
        """Whether an answer was owed: a number that has a limit, or an audit that found nothing at all."""
        return self.metric is None or self.metric.limit is not None


def checks(record: Record) -> list[Check]:
    """Every check, in the order of the record."""
    return [check for _, found in by_audit(record) for check in found]


def by_audit(record: Record) -> list[tuple[AuditResult, list[Check]]]:
    """The audits in order, each with its own checks."""
    return [(audit, list(_checks_of(audit))) for audit in record.audits]


def _checks_of(audit: AuditResult) -> Iterator[Check]:
    if audit.status is not Status.MEASURED:
        yield Check(audit, None, states.of_audit(audit), unmeasured(audit))
    for metric in audit.metrics:
        yield Check(audit, metric, states.of_metric(metric), in_numbers(metric))


def unmeasured(audit: AuditResult) -> str:
    """Why an audit found nothing, and what would supply it."""
    word = "errored" if audit.status is Status.ERRORED else "not measured"
    supply = f" Supply: {said(audit.supply)}" if audit.supply else ""
    waived = f" ({said(audit.waiver.words, longest=500)})" if audit.waiver else ""
    return f"{word}: {said(audit.reason or 'no reason was given')}{supply}{waived}"


def in_numbers(metric: Metric) -> str:
    """A number in words: "fail: 0.162 (95% interval 0.147 to 0.177, Wilson), n=2,293, share of rows; limit: ..."."""
    word = states.of_metric(metric).word
    parts = [f"{word}: {_value(metric)}", f"n={metric.n:,}", said(metric.unit, longest=100)]
    sentence = ", ".join(part for part in parts if part)
    if metric.limit is not None:
        most = {"lower": "at most ", "higher": "at least "}.get(metric.better, "")
        source = f" ({said(metric.limit_source, longest=200)})" if metric.limit_source else ""
        sentence += f"; limit: {most}{cell(metric.limit)}{source}"
    if metric.value is not None and metric.verdict is Verdict.INCONCLUSIVE and metric.rows_needed:
        sentence += f"; about {metric.rows_needed:,} rows would decide"
    if metric.waiver is not None and states.waived(metric):
        sentence += f"; {metric.verdict.value}, {said(metric.waiver.words, longest=500)}"
    if metric.p_adjusted is not None:
        sentence += f"; p corrected for many limits: {metric.p_adjusted:.2g}"
    return sentence


def _value(metric: Metric) -> str:
    if metric.value is None:
        return said(metric.reason or "no reason was given")
    value, interval = measured(metric.value, metric.interval)
    if metric.interval is None:
        return f"{value} (no interval{f': {said(metric.reason)}' if metric.reason else ''})"
    method = f", {said(metric.interval_method, longest=100)}" if metric.interval_method else ""
    return f"{value} ({metric.confidence * 100:g}% interval {interval}{method})"


def number_object(metric: Metric) -> dict[str, Any]:
    """A number as JSON: all that a reader needs to judge it. Absent is null, with the reason."""
    return {
        "metric": said(metric.name, longest=200),
        "slice": {said(k, longest=200): said(v, longest=200) for k, v in metric.slice.items()},
        "value": metric.value,
        "interval": list(metric.interval) if metric.interval else None,
        "confidence": metric.confidence,
        "intervalMethod": said(metric.interval_method) if metric.interval_method else None,
        "n": metric.n,
        "unit": said(metric.unit, longest=200),
        "better": metric.better,
        "limit": metric.limit,
        "limitSource": said(metric.limit_source) if metric.limit_source else None,
        "verdict": states.of_metric(metric).word,
        "rowsNeeded": metric.rows_needed,
        "reason": said(metric.reason) if metric.reason else None,
        **({"waived": said(metric.waiver.words, longest=500)} if metric.waiver and states.waived(metric) else {}),
    }


def stays_broken(metric: Metric) -> bool:
    """Whether a broken limit stays broken after the run's correction for looking at many limits."""
    one_side = (1 - metric.confidence) / 2
    if states.waived(metric):
        return False
    return metric.verdict is Verdict.FAIL and (metric.p_adjusted is None or metric.p_adjusted < one_side)


def seal(record: Record) -> State:
    """What the record's own content hash says of it: pass, fail (it was edited) or not measured (there is none)."""
    if record.content_sha256 is None:
        return states.NOT_MEASURED
    return states.PASS if hash_matches(record) else states.FAIL


SEAL_WORDS = {
    states.PASS: "the content fits its own hash",
    states.FAIL: "the record was edited: its content does not fit its own hash",
    states.NOT_MEASURED: "the record carries no content hash: its run did not end",
}


def run_state(record: Record) -> State:
    """The verdict of the run as a state; a run that did not end, or a record that was edited, is no pass."""
    state = states.of_verdict(record.verdict)
    whole = record.complete and seal(record) is not states.FAIL
    return state if whole or state is not states.PASS else states.INCONCLUSIVE
