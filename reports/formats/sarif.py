"""SARIF 2.1.0: what asks for attention, for code scanning and editors.

A result is a finding, a limit that no finding speaks of, or an audit that found nothing. Limits that hold, and numbers
without a limit, are counted in the run's properties instead: GitHub shows every result as an alert, whatever its kind
says (microsoft/PSRule#955). A broken limit is of kind `fail`; what is undecided or was not measured is `open` ("there
was insufficient information to decide whether a problem exists"), never `pass`. Rows of data are left out: a log of
this kind travels far.

Source: OASIS, SARIF 2.1.0 errata 01: 3.27.9 (kind), 3.27.10 (level), 3.11 (messages).
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from reports.document import states
from reports.document.states import State
from reports.formats.checks import (
    SEAL_WORDS,
    Check,
    by_audit,
    checks,
    number_object,
    run_state,
    seal,
    stays_broken,
)
from reports.formats.names import Names, said
from reports.formats.times import moment
from reports.record import AuditResult, Finding, Metric, Record, Severity, Status, Verdict, Waiver

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
RECORD_FILE = "audit.json"  # a model has no line of source; the record is the file that a reader opens

_LEVEL = {Severity.HIGH: "error", Severity.MEDIUM: "warning", Severity.LOW: "note"}
_PRESSING = (Verdict.FAIL, Verdict.INCONCLUSIVE)  # a limit that holds is not what a finding is about
_TAG = re.compile(r"<(?=[A-Za-z/!?])")
_ATTENTION = (states.FAIL, states.WAIVED, states.INCONCLUSIVE, states.NOT_MEASURED, states.ERRORED)


@dataclass(frozen=True)
class Rule:
    """What a result is an instance of. The id is what alerts are followed by, from run to run."""

    id: str
    short: str
    about: str
    concern: str


def sarif_json(record: Record) -> str:
    """The record as a SARIF log with one run."""
    names = Names()
    rules: dict[str, Rule] = {}
    results = []
    for audit, found in by_audit(record):
        for rule, result in _results_of(record, audit, found, names):
            rules.setdefault(rule.id, rule)
            results.append({"ruleId": rule.id, "ruleIndex": list(rules).index(rule.id), **result})
    driver = {
        "name": said(record.tool.name, longest=100),
        "version": said(record.tool.version, longest=100),
        "rules": [_described(rule) for rule in rules.values()],
    }
    run = {
        "tool": {"driver": driver},
        "invocations": [_invocation(record)],
        "columnKind": "unicodeCodePoints",
        "results": results,
        "properties": _run_properties(record),
    }
    return json.dumps({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}, ensure_ascii=False, indent=2) + "\n"


def _results_of(
    record: Record, audit: AuditResult, found: list[Check], names: Names
) -> list[tuple[Rule, dict[str, Any]]]:
    scope, concern = names.of(audit.id), said(audit.concern, longest=100)
    by_key = {metric.key: metric for metric in audit.metrics}
    results = []
    for finding in audit.findings:
        rule = Rule(names.of(finding.id, "rule"), said(finding.id, longest=200), said(audit.title), concern)
        results.append((rule, _finding(record, finding, [by_key[key] for key in finding.metrics], rule, scope)))
    spoken_of = {key for finding in audit.findings for key in finding.metrics}
    for check in found:
        if not check.limited or check.state not in _ATTENTION or (check.metric and check.metric.key in spoken_of):
            continue
        name = check.metric.name if check.metric else "measured"
        about = said((check.metric and check.metric.definition) or audit.title)
        rule = Rule(names.of(f"{audit.id}/{name}", "rule"), said(name.replace("_", " "), longest=200), about, concern)
        results.append((rule, _unfound(check, rule, scope, names)))
    return results


def _finding(record: Record, finding: Finding, rests_on: list[Metric], rule: Rule, scope: str) -> dict[str, Any]:
    limited = [metric for metric in rests_on if metric.limit is not None]
    verdict = next((v for v in _PRESSING if any(metric.verdict is v for metric in limited)), Verdict.INFORMATIVE)
    level = _LEVEL[finding.severity]
    if verdict is Verdict.FAIL and not any(stays_broken(metric) for metric in limited):
        level = "warning" if level == "error" else level  # as the run's own verdict: many limits were looked at
    undecided = verdict is Verdict.INCONCLUSIVE
    text = said(finding.statement)
    if finding.mitigation:
        command = record.without_places(finding.mitigation.command)
        text += f" Mend: {said(finding.mitigation.why).rstrip('.')}. Command: {said(command)}"
    return _result(
        text,
        kind="open" if undecided else "fail",
        level="none" if undecided else level,
        fingerprint=rule.id,
        place=f"{scope}/{rule.id}",
        properties={
            "audit": scope,
            "severity": finding.severity.value,
            "verdict": verdict.value,
            "numbers": [number_object(metric) for metric in rests_on],
        },
        waivers=_waivers([metric for metric in limited if metric.verdict in _PRESSING]),
    )


def _unfound(check: Check, rule: Rule, scope: str, names: Names) -> dict[str, Any]:
    """A limit that no finding speaks of, or an audit that found nothing."""
    key = names.of(check.metric.key, scope) if check.metric else "measured"
    metrics = [check.metric] if check.metric else []
    broken = any(metric.value is not None and metric.verdict is Verdict.FAIL for metric in metrics)
    level = "error" if check.metric and stays_broken(check.metric) else "warning"
    return _result(
        f"{scope}: {key}: {check.sentence}",
        kind="fail" if broken else "open",
        level=level if broken else "none",
        fingerprint=f"{scope}/{key}",
        place=f"{scope}/{key}",
        properties={
            "audit": scope,
            "verdict": check.state.word,
            "numbers": [number_object(metric) for metric in metrics],
        },
        waivers=_waivers(metrics) if metrics else [check.audit.waiver] if check.audit.waiver else [],
    )


def _waivers(metrics: list[Metric]) -> list[Waiver]:
    """Who lets a result through: every limit that asks for attention has to be waived."""
    found = [metric.waiver for metric in metrics if metric.waiver is not None and states.waived(metric)]
    return found if len(found) == len(metrics) else []


def _result(
    text: str,
    *,
    kind: str,
    level: str,
    fingerprint: str,
    place: str,
    properties: dict[str, Any],
    waivers: list[Waiver],
) -> dict[str, Any]:
    physical = {"artifactLocation": {"uri": RECORD_FILE}, "region": {"startLine": 1}}
    suppressions = [
        {"kind": "external", "status": "accepted", "justification": message(said(waiver.words, longest=500))}
        for waiver in waivers
    ]
    return {
        "kind": kind,
        "level": level,
        **({"suppressions": suppressions} if suppressions else {}),
        "message": {"text": message(text)},
        "locations": [{"physicalLocation": physical, "logicalLocations": [{"fullyQualifiedName": place}]}],
        "partialFingerprints": {"aboveboard/v1": fingerprint},
        "properties": properties,
    }


def message(text: str) -> str:
    """Text that holds no placeholder (3.11.5), no link (3.11.6) and no tag (3.11.3): doubled, and parted by a space."""
    parted = _TAG.sub("< ", text.replace("](", "] ("))
    return parted.replace("{", "{{").replace("}", "}}")


def _described(rule: Rule) -> dict[str, Any]:
    return {
        "id": rule.id,
        "shortDescription": {"text": message(rule.short)},
        "fullDescription": {"text": message(rule.about or rule.short)},
        "properties": {"tags": ["responsible-ai", rule.concern]},
    }


def _invocation(record: Record) -> dict[str, Any]:
    errored = [audit for audit in record.audits if audit.status is Status.ERRORED]
    said_of = [f"{said(a.id, longest=200)}: errored: {said(a.reason or '')}" for a in errored]
    sealed = seal(record)
    if sealed is not states.PASS:
        said_of.append(SEAL_WORDS[sealed])
    if not record.complete:
        said_of.append("the run did not end")
    invocation: dict[str, Any] = {
        "executionSuccessful": record.complete and not errored,
        "toolExecutionNotifications": [{"level": "error", "message": {"text": message(text)}} for text in said_of],
    }
    if started := moment(record):
        invocation["startTimeUtc"] = started
    return invocation


def _run_properties(record: Record) -> dict[str, Any]:
    return {
        "verdict": run_state(record).word,
        "verdictReason": said(record.verdict_reason),
        "limits": _counts(record),
        "model": {"name": said(record.subject.called), "sha256": said(record.subject.sha256, longest=200)},
        "data": {
            "name": said(record.data.name),
            "sha256": said(record.data.sha256, longest=200),
            "rows": record.data.rows,
            "synthetic": record.data.synthetic,
        },
        "policySha256": said(record.policy.sha256, longest=200) if record.policy and record.policy.sha256 else None,
        "recordSha256": said(record.content_sha256, longest=200) if record.content_sha256 else None,
    }


def _counts(record: Record) -> dict[str, int]:
    """How many limits (and audits without a number) ended how: what holds has no result of its own."""
    found: list[State] = [check.state for check in checks(record) if check.limited]
    return {state.word: count for state, count in states.tally(found)}
