"""OSCAL 1.2.1 assessment results: each number an observation, each limit a finding on an objective of our own.

OSCAL knows two states of an objective. A limit that holds is `satisfied`; one that is broken is `not-satisfied` for the
reason `fail`; what is undecided is `not-satisfied` for the reason `other`, and a remark says so. What was not measured
is an observation without a finding. The objectives are the audit's limits, not the clauses of any law: whether a duty
is met is never said. What a person waived is a risk whose deviation was approved; what people attested stands under
`attestations`. Identifiers are UUIDs of version 5 over the record's content, so that the same record gives the same.
Source: NIST, OSCAL assessment results model 1.2.1.
"""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from typing import Any

from reports.document import states
from reports.formats.checks import SEAL_WORDS, Check, checks, number_object, run_state, seal
from reports.formats.names import said
from reports.formats.times import moment
from reports.parts import Attestation
from reports.record import AuditResult, Finding, Record, Verdict

OSCAL_VERSION = "1.2.1"
NAMESPACE = "urn:aboveboard:oscal"
NO_TIME = "1970-01-01T00:00:00Z"  # OSCAL demands a time; a property says that the record has none
_SPACE = uuid.uuid5(uuid.NAMESPACE_URL, NAMESPACE)
_STATUS = {
    states.PASS: {"state": "satisfied", "reason": "pass"},
    states.FAIL: {"state": "not-satisfied", "reason": "fail"},
}


def oscal_json(record: Record) -> str:
    """The record as an OSCAL assessment-results document."""
    document = {"assessment-results": _Writer(record).document()}
    return json.dumps(document, ensure_ascii=False, indent=2) + "\n"


class _Writer:
    """Knows the record, and names each part of it by a UUID of its own."""

    def __init__(self, record: Record) -> None:
        self.record = record
        self.of = record.content_sha256 or hashlib.sha256(record.to_json().encode("utf-8", "surrogatepass")).hexdigest()
        self.when = moment(record) or NO_TIME
        self.people = record.people.attestations if record.people and record.people.attestations else []

    def id(self, *parts: str) -> str:
        """The UUID of a part."""
        name = "\x1f".join((self.of, *parts)).encode("utf-8", "surrogatepass")
        return str(uuid.uuid5(_SPACE, hashlib.sha256(name).hexdigest()))

    def document(self) -> dict[str, Any]:
        record = self.record
        names = sorted({answer.name for answer in self.people})
        metadata: dict[str, Any] = {
            "title": _line(f"Audit of {record.subject.called}"),
            "last-modified": self.when,
            "version": record.schema_version,
            "oscal-version": OSCAL_VERSION,
            "props": _props(
                {"tool": f"{record.tool.name} {record.tool.version}", "record": SEAL_WORDS[seal(record)]}
                | ({"time": "the record holds no time with a zone"} if self.when == NO_TIME else {})
            ),
        }
        if names:
            metadata["roles"] = [{"id": "attester", "title": "Person who attests"}]
            metadata["parties"] = [
                {"uuid": self.id("party", name), "type": "person", "name": _line(name)} for name in names
            ]
        return {
            "uuid": self.id("document"),
            "metadata": metadata,
            "import-ap": {"href": f"#{self.id('plan')}", "remarks": "The limits that the run was held against."},
            "results": [self._result()],
            "back-matter": {"resources": [self._plan()]},
        }

    def _plan(self) -> dict[str, Any]:
        policy = self.record.policy
        facts = {"policy": policy.name, "sha256": policy.sha256 or "none"} if policy else {"policy": "none"}
        title = f"Policy {policy.name}" if policy else "The audits' own limits: no policy was given"
        return {"uuid": self.id("plan"), "title": _line(title), "props": _props(facts)}

    def _result(self) -> dict[str, Any]:
        record = self.record
        found = checks(record)
        risks = [self._risk(audit, finding) for audit in record.audits for finding in audit.findings]
        findings = [self._finding(check) for check in found if _is_held(check)]
        risks += [self._waived(check) for check in found if _is_held(check) and check.state is states.WAIVED]
        result: dict[str, Any] = {
            "uuid": self.id("result"),
            "title": _line(f"{run_state(record).word}: {record.verdict_reason or 'no reason was given'}"),
            "description": "Numbers with their intervals, held against limits. Evidence, and no statement on any duty.",
            "start": self.when,
            "props": _props(
                {
                    "verdict": run_state(record).word,
                    "model-sha256": record.subject.sha256,
                    "data-sha256": record.data.sha256,
                    "rows": str(record.data.rows),
                    "synthetic-data": "yes" if record.data.synthetic else "not marked",
                    "record-sha256": record.content_sha256 or "none",
                }
            ),
            "reviewed-controls": {
                "description": "Objectives are the limits of this audit; no catalogue of controls was assessed.",
                "control-selections": [{"include-all": {}}],
            },
        }
        parts = {
            "attestations": [self._attestation(answer) for answer in self.people],
            "observations": [self._observation(check) for check in found],
            "risks": risks,
            "findings": findings,
        }
        return result | {key: value for key, value in parts.items() if value}

    def _observation(self, check: Check) -> dict[str, Any]:
        props = {"state": check.state.word, "audit": check.audit.id}
        if check.metric is not None:
            said_of = number_object(check.metric)
            props |= {
                key: said_of[key] if isinstance(said_of[key], str) else json.dumps(said_of[key])
                for key in ("metric", "value", "interval", "n", "unit", "limit", "intervalMethod", "waived")
                if said_of.get(key) is not None
            }
        return {
            "uuid": self.id("observation", *_key(check)),
            "title": _line(f"{check.audit.id}: {check.metric.key if check.metric else 'measured'}"),
            "description": _line(check.sentence),
            "props": _props(props),
            "methods": ["TEST"],
            "collected": self.when,
        }

    def _finding(self, check: Check) -> dict[str, Any]:
        assert check.metric is not None  # noqa: S101 - see _is_held
        word = check.state.word
        status = _STATUS.get(check.state) or {
            "state": "not-satisfied",
            "reason": "fail" if check.metric.verdict is Verdict.FAIL else "other",
            "remarks": f"{word}: {'let through for now' if check.state is states.WAIVED else 'no verdict'}",
        }
        finding: dict[str, Any] = {
            "uuid": self.id("finding", *_key(check)),
            "title": _line(f"{check.audit.id}: {check.metric.key}"),
            "description": _line(check.sentence),
            "target": {
                "type": "objective-id",
                "target-id": _token(f"{check.audit.id}.{check.metric.key}"),
                "status": status,
            },
            "related-observations": [{"observation-uuid": self.id("observation", *_key(check))}],
        }
        risks = [
            {"risk-uuid": self.id("risk", check.audit.id, f.id)}
            for f in check.audit.findings
            if check.metric.key in f.metrics
        ]
        if check.state is states.WAIVED:
            risks.append({"risk-uuid": self.id("waived", *_key(check))})
        return finding | ({"related-risks": risks} if risks else {})

    def _risk(self, audit: AuditResult, finding: Finding) -> dict[str, Any]:
        risk: dict[str, Any] = {
            "uuid": self.id("risk", audit.id, finding.id),
            "title": _line(finding.id),
            "description": _line(finding.statement),
            "statement": _line(finding.statement),
            "props": _props({"severity": finding.severity.value}),
            "status": "open",
        }
        if finding.mitigation:
            command = self.record.without_places(finding.mitigation.command)
            mend = {
                "uuid": self.id("mend", audit.id, finding.id),
                "lifecycle": "recommendation",
                "title": "Mend",
                "description": _line(f"{finding.mitigation.why} Command: {command}"),
            }
            risk["remediations"] = [mend]
        return risk

    def _waived(self, check: Check) -> dict[str, Any]:
        assert check.metric is not None and check.metric.waiver is not None  # noqa: S101 - its state is waived
        return {
            "uuid": self.id("waived", *_key(check)),
            "title": _line(f"Waiver: {check.audit.id}: {check.metric.key}"),
            "description": _line(check.sentence),
            "statement": _line(check.metric.waiver.words),
            "status": "deviation-approved",
        }

    def _attestation(self, answer: Attestation) -> dict[str, Any]:
        props = {"answer": answer.answer, "date": answer.date, "question": answer.question}
        props |= {"stale": "; ".join(answer.stale)} if answer.stale else {}
        props |= {"role": answer.role} if answer.role else {}
        if answer.evidence:
            props["evidence"] = "; ".join(f"{file.file} sha256 {file.sha256 or 'none'}" for file in answer.evidence)
        part = {
            "name": "attestation",
            "title": _line(answer.asked or answer.question),
            "prose": _line(answer.statement or answer.answer),
            "props": _props(props),
        }
        party = {"role-id": "attester", "party-uuids": [self.id("party", answer.name)]}
        return {"responsible-parties": [party], "parts": [part]}


def _key(check: Check) -> tuple[str, str]:
    return check.audit.id, check.metric.key if check.metric else ""


def _is_held(check: Check) -> bool:
    """Whether a number was held against a limit: only then is there a finding."""
    return check.metric is not None and check.metric.limit is not None and check.metric.value is not None


def _line(text: str) -> str:
    """OSCAL's text: one line, nothing hidden, no space at either end, never empty."""
    return said(text).strip() or "(empty)"


def _props(facts: dict[str, str]) -> list[dict[str, str]]:
    return [{"name": _token(name), "ns": NAMESPACE, "value": _line(value)} for name, value in facts.items()]


def _token(name: str) -> str:
    """OSCAL's token: begins with a letter, no space; with a hash where the name had to be changed."""
    token = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.")[:120]
    if not re.match(r"[A-Za-z_]", token):
        token = f"x-{token}".rstrip("-")
    if token != name:
        token = f"{token}-{hashlib.sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"
    return token
