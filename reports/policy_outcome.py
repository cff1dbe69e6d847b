"""What a run's policy asks for beyond single limits, and what a gate answers: functions of the record alone.

A gate is shut by a limit that is broken, by something that the policy requires and nobody measured, and by more
findings of a severity than it allows; a strict gate also by whatever is undecided or not measured. What a person has
waived opens the gate, stays in the list of what was waived, and never becomes a pass.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from reports.document import states
from reports.parts import PolicyFacts
from reports.record import AuditResult, Metric, Record, Severity, Status, Verdict


@dataclass(frozen=True)
class Outcome:
    """What stands between a run and an open gate, each as one plain line."""

    broken: list[str]
    missing: list[str]
    too_many: list[str]
    undecided: list[str]
    waived: list[str]

    def shuts(self, *, strict: bool) -> list[str]:
        """The reasons for which the gate is shut; empty when it is open."""
        return [*self.broken, *self.missing, *self.too_many, *(self.undecided if strict else [])]


def outcome(record: Record) -> Outcome:
    """What the record's limits and its policy come to, in the order of the record."""
    broken: list[str] = []
    undecided: list[str] = []
    for audit, metric in _limited(record.audits):
        line = f"{audit.id}: {metric.key}"
        if metric.verdict is Verdict.FAIL and not states.waived(metric):
            # Broken alone but not after the run's correction for many limits: the run calls it undecided.
            (broken if _stays(metric) else undecided).append(f"{line} breaks its limit")
        elif metric.verdict is Verdict.INCONCLUSIVE and not states.waived(metric):
            needed = f"; about {metric.rows_needed:,} rows would decide" if metric.rows_needed else ""
            undecided.append(f"{line} was not measured" if metric.value is None else f"{line} is undecided{needed}")
    undecided += [f"{a.id} was not measured" for a in record.audits if a.status is not Status.MEASURED and not a.waiver]
    if record.policy:
        undecided += [
            f"no number to hold against the limit of {name}" for name in unmatched(record.policy, record.audits)
        ]
    if not record.complete:
        undecided.append("the run did not end")
    if record.verdict == "inconclusive" and not any(_limited(record.audits)):
        undecided.append("no limit was set")
    return Outcome(
        broken=broken,
        missing=missing(record.policy, record.audits),
        too_many=too_many(record.policy, record.audits),
        undecided=undecided,
        waived=waived(record.audits),
    )


def missing(policy: PolicyFacts | None, audits: Sequence[AuditResult]) -> list[str]:
    """What the policy requires and nobody measured, with the reason; a waived audit is not in the list."""
    return [
        f"required, not measured: {name}{why}"
        for name in (policy.required if policy else None) or []
        if (why := _why_missing(name, audits)) is not None
    ]


def unmatched(policy: PolicyFacts, audits: Sequence[AuditResult]) -> list[str]:
    """Limits that no number of the run was held against: asked for, not measured, and not waived."""
    return [
        limit.metric
        for limit in policy.limits or []
        if not any(
            m.name == limit.metric
            and m.limit is not None
            and limit.audit in (None, a.id)
            and limit.slice.items() <= m.slice.items()
            for a in audits
            for m in a.metrics
        )
        and not any(w.metric == limit.metric and limit.slice.items() >= w.slice.items() for w in policy.waivers or [])
    ]


def too_many(policy: PolicyFacts | None, audits: Sequence[AuditResult]) -> list[str]:
    """Severities of which there are more findings than the policy lets through."""
    lines = []
    for severity in Severity:
        most = ((policy.most_findings if policy else None) or {}).get(severity.value)
        found = [f.id for a in audits for f in a.findings if f.severity is severity and not _let_through(a, f.metrics)]
        if most is not None and len(found) > most:
            named = ", ".join(found[:3]) + (f" and {len(found) - 3} more" if len(found) > 3 else "")
            lines.append(f"{len(found)} {severity.value} finding(s) where the policy allows {most}: {named}")
    return lines


def waived(audits: Sequence[AuditResult]) -> list[str]:
    """What is let through, who lets it through, until when and why."""
    return [
        *(
            f"{a.id}: {states.NOT_MEASURED.word}; {a.waiver.words}"
            for a in audits
            if a.waiver and a.status is not Status.MEASURED
        ),
        *(
            f"{a.id}: {m.key}: {states.own(m).word}; {m.waiver.words}"
            for a, m in _limited(audits)
            if m.waiver is not None and states.waived(m)
        ),
    ]


def _limited(audits: Sequence[AuditResult]) -> Iterator[tuple[AuditResult, Metric]]:
    return ((audit, metric) for audit in audits for metric in audit.metrics if metric.limit is not None)


def _stays(metric: Metric) -> bool:
    return metric.p_adjusted is None or metric.p_adjusted < (1 - metric.confidence) / 2


def _why_missing(name: str, audits: Sequence[AuditResult]) -> str | None:
    """Why a required audit or metric is missing, to stand behind its name; None where it is there, or waived."""
    audit = next((a for a in audits if a.id == name), None)
    if audit is not None:
        return None if audit.status is Status.MEASURED or audit.waiver else f" ({audit.reason})"
    found = [metric for a in audits for metric in a.metrics if metric.name == name]
    if any(metric.value is not None or metric.waiver for metric in found):
        return None
    return f" ({found[0].reason})" if found else " (no audit of this run gave it)"


def _let_through(audit: AuditResult, keys: Sequence[str]) -> bool:
    """Whether every limit that a finding rests on, and that does not hold, is waived."""
    open_limits = [m for m in audit.metrics if m.key in keys and m.limit is not None and m.verdict is not Verdict.PASS]
    return bool(open_limits) and all(states.waived(m) for m in open_limits)
