"""Prometheus text exposition: the latest audit as gauges, for dashboards and alerts.

Write it where node_exporter's textfile collector looks, or push it. A number that was not measured has no sample: the
state family says so, and never a 0, a -1 or a NaN in its place.

Source: Prometheus exposition formats, text format 0.0.4; written by the Prometheus client itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

from reports.document import states
from reports.document.states import State
from reports.formats.checks import Check, checks, run_state
from reports.formats.names import Names, said
from reports.formats.times import moment
from reports.record import Metric, Record, Severity, Status

if TYPE_CHECKING:
    from prometheus_client import Metric as Family

STATES = {state: state.word.replace(" ", "_") for state in states.ORDER}
RUN_STATES = (states.PASS, states.FAIL, states.INCONCLUSIVE)

_NUMBER = ("audit", "metric", "slice", "unit")
_VALUES = {
    "value": "The number itself.",
    "interval_low": "Lower end of the interval; its confidence is in aboveboard_metric_confidence.",
    "interval_high": "Upper end of the interval.",
    "confidence": "Confidence of the interval.",
    "rows": "n: how many rows, groups or repeats the number rests on.",
    "limit": "The limit that it is held against.",
}


def prometheus_text(record: Record) -> str:
    """The record in Prometheus' text format."""
    from prometheus_client import CollectorRegistry, generate_latest
    from prometheus_client.registry import Collector

    class OneRecord(Collector):
        def collect(self) -> Iterator[Family]:
            yield from _families(record)

    registry = CollectorRegistry(auto_describe=False)
    registry.register(OneRecord())
    return generate_latest(registry).decode("utf-8")


def _families(record: Record) -> Iterator[Any]:
    from prometheus_client.core import GaugeMetricFamily

    def family(name: str, about: str, labels: tuple[str, ...] = ()) -> Any:
        return GaugeMetricFamily(f"aboveboard_{name}", about, labels=labels)

    found = checks(record)
    labelled = list(zip(found, _labels(found), strict=True))
    for name, about in _VALUES.items():
        numbers = family(f"metric_{name}", about, _NUMBER)
        for check, labels in labelled:
            value = _value(check.metric, name) if check.metric else None
            if value is not None:
                numbers.add_metric(labels, value)
        yield numbers
    state = family("metric_state", "1 for the state that a number is in, else 0.", (*_NUMBER, "state"))
    for check, labels in labelled:
        if check.metric:
            _add_states(state, labels, check.state, STATES)
    yield state
    audits = family("audit_state", "1 for the state of an audit: its most pressing number's.", ("audit", "state"))
    findings = family("findings", "Findings of an audit.", ("audit", "severity"))
    names = Names()
    for audit in record.audits:
        _add_states(audits, (names.of(audit.id),), states.of_audit(audit), STATES)
        for severity in Severity if audit.status is Status.MEASURED else ():  # no findings where nobody looked
            count = sum(finding.severity is severity for finding in audit.findings)
            findings.add_metric((names.of(audit.id), severity.value), count)
    yield audits
    yield findings
    verdict = family("run_state", "1 for the verdict of the run.", ("state",))
    _add_states(verdict, (), run_state(record), {state: STATES[state] for state in RUN_STATES})
    yield verdict
    yield _subject(record, family)
    if started := moment(record):
        began = family("run_started_timestamp_seconds", "When the run began, in seconds since 1970.")
        began.add_metric((), datetime.fromisoformat(started).timestamp())
        yield began


def _labels(found: list[Check]) -> list[tuple[str, str, str, str]]:
    """Audit, metric, slice and unit of each check: no two numbers share the first three."""
    names, labels = Names(), []
    for check in found:
        audit = names.of(check.audit.id)
        name = names.of(check.metric.name, audit) if check.metric else ""
        within = ", ".join(f"{key}={value}" for key, value in check.metric.slice.items()) if check.metric else ""
        unit = said(check.metric.unit, longest=100) if check.metric else ""
        labels.append((audit, name, names.of(within, audit, name), unit))
    return labels


def _value(metric: Metric, name: str) -> float | None:
    low, high = metric.interval or (None, None)
    return {
        "value": metric.value,
        "interval_low": low if metric.value is not None else None,
        "interval_high": high if metric.value is not None else None,
        "confidence": metric.confidence if metric.interval and metric.value is not None else None,
        "rows": metric.n,
        "limit": metric.limit,
    }[name]


def _add_states(family: Any, labels: tuple[str, ...], current: State, words: dict[State, str]) -> None:
    for state, word in words.items():
        family.add_metric((*labels, word), 1 if state is current else 0)


def _subject(record: Record, family: Any) -> Any:
    facts = {
        "model": record.subject.called,
        "model_sha256": record.subject.sha256,
        "data_sha256": record.data.sha256,
        "synthetic_data": "yes" if record.data.synthetic else "no",
        "record_sha256": record.content_sha256 or "none",
        "version": record.tool.version,
    }
    info = family("subject_info", "What was audited, on which rows; always 1.", tuple(facts))
    info.add_metric([said(value, longest=200) for value in facts.values()], 1)
    return info
