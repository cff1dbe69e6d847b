"""A policy: the limits that a run is held against, set by the user before the run. They replace the audits' own.

    name = "screening tool"

    [[limits]]
    metric = "equalized_odds_difference"
    slice = {by = "sex"}          # optional: this slice alone
    limit = 0.08

    [required]                    # must have been measured
    audits = ["fairness"]

    [findings]                    # findings of a severity that are let through
    high = 0

    [[waivers]]                   # somebody lets a limit go by, for a while
    metric = "impact_ratio"
    slice = {age = "70+"}
    person = "M. Kaya"
    reason = "38 rows; new labels arrive in January"
    expires = 2027-02-01

The direction comes from the metric itself (`better`). The file's hash and date stand in the record, so that a reader
can see that the limits were set before the numbers were known. What is waived keeps its verdict, and is never a pass.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from difflib import get_close_matches
from pathlib import Path

from audit.evidence import Limit, judge, rows_needed
from audit.metric_names import MetricNames
from audit.policies import starters
from audit.policy_file import PolicyFile, PolicyLimit, PolicyWaiver, is_yaml, parse_policy
from audit.statistics.estimate import Estimate
from audit.verdict import judge_run
from core_model.errors import OptionUnfit
from reports.record import AuditResult, Metric, PolicyFacts, Record, Status, Verdict, Waiver

__all__ = ["Policy", "PolicyLimit", "read_policy"]


@dataclass(frozen=True)
class Policy:
    """The limits of a policy file, and which file it was."""

    facts: PolicyFacts
    limits: tuple[PolicyLimit, ...]
    waivers: tuple[PolicyWaiver, ...] = ()
    document: PolicyFile = field(default_factory=PolicyFile)

    def applied(self, result: AuditResult) -> AuditResult:
        """The audit's metrics held against this policy where it has a limit for them (the last one that applies).

        A waiver marks what it covers and changes no verdict.
        """
        metrics = []
        for metric in result.metrics:
            found = [limit for limit in self.limits if limit.applies(result.id, metric)]
            held = self._held(metric, found[-1]) if found else metric
            metrics.append(held.model_copy(update={"waiver": self._waiver(result.id, held)}))
        whole = next((_facts(w) for w in self.waivers if w.audit == result.id and w.metric is None), None)
        let_go = whole if result.status is not Status.MEASURED else None
        return result.model_copy(update={"metrics": metrics, "waiver": let_go})

    def unmatched(self, results: Sequence[AuditResult]) -> list[PolicyLimit]:
        """Limits that no metric of the run was held against: asked for, not measured."""
        return [limit for limit in self.limits if not any(limit.applies(r.id, m) for r in results for m in r.metrics)]

    def names(self) -> list[tuple[str, str]]:
        """Every audit and metric that the file names, with the field that names it: ("limits.0.metric", "accuracy")."""
        found = [(f"required.audits.{i}", name) for i, name in enumerate(self.document.required.audits)]
        found += [(f"required.metrics.{i}", name) for i, name in enumerate(self.document.required.metrics)]
        for kind in ("limits", "waivers"):
            for i, entry in enumerate(getattr(self, kind)):
                found += [(f"{kind}.{i}.metric", entry.metric)] if entry.metric else []
                found += [(f"{kind}.{i}.audit", entry.audit)] if entry.audit else []
        return found

    def _held(self, metric: Metric, chosen: PolicyLimit) -> Metric:
        better = metric.better if metric.better != "none" else chosen.better or "none"
        limit = Limit(chosen.limit, f"policy {self.facts.name}")
        low, high = metric.interval or (None, None)
        estimate = Estimate(metric.value, low, high, metric.n, metric.interval_method or "none")
        verdict = judge(estimate, better=better, limit=limit)
        needed = rows_needed(estimate, limit) if verdict is Verdict.INCONCLUSIVE else None
        return metric.model_copy(
            update={
                "limit": limit.value,
                "limit_source": limit.source,
                "verdict": verdict,
                "rows_needed": needed,
                "better": better,
                "p_value": None,
            }
        )

    def _waiver(self, audit_id: str, metric: Metric) -> Waiver | None:
        if metric.limit is None or metric.verdict is Verdict.PASS:
            return None
        return next((_facts(waiver) for waiver in self.waivers if waiver.covers(audit_id, metric)), None)


def read_policy(path: Path, *, today: date | None = None) -> Policy:
    """Open a policy file, or a starter policy by its name.

    Args:
        path: a TOML or YAML (.yaml, .yml) file, or the name of a starter.
        today: the day that waivers are held against; by default the clock's, in UTC.
    Raises: OptionUnfit when it is missing, not TOML or YAML (with the line), holds what a policy cannot hold, or holds
        a waiver that has expired.
    """
    starter = None if path.exists() else starters().get(str(path))
    try:
        content = path.read_bytes() if starter is None else starter
    except OSError as error:
        raise OptionUnfit(
            f"the policy {path} cannot be read: {error.strerror}",
            mend=f"check --policy; policies that come along: {', '.join(starters())}",
        ) from error
    document = parse_policy(content, where=str(path), yaml=is_yaml(path))
    _refuse_expired(document, path, today or datetime.now(UTC).date())
    modified = document.dated
    if starter is None:
        modified = datetime.fromtimestamp(path.stat().st_mtime, tz=UTC).isoformat(timespec="seconds")
    return Policy(_facts_of(document, path, content, modified), document.limits, document.waivers, document)


def rejudged(record: Record, policy: Policy) -> Record:
    """A finished run held against another policy: the same numbers, other limits, a new verdict; not sealed.

    The limits of another policy go; the audits' own stay where this policy has none for a number, as in a run.
    """
    audits = [policy.applied(_without_policy(audit, record.policy)) for audit in record.audits]
    asked = [limit.metric for limit in policy.unmatched(audits)]
    judged = judge_run(audits, asked=asked, policy=policy.facts)
    return record.model_copy(
        update={
            "audits": judged.audits,
            "policy": policy.facts,
            "verdict": judged.verdict,
            "verdict_reason": judged.reason,
            "multiplicity": judged.multiplicity,
            "content_sha256": None,
        }
    )


def refuse_unknown(policy: Policy, *, metrics: MetricNames, audits: Collection[str]) -> None:
    """Hold the names in a policy against those that the installed audits can write.

    Raises: OptionUnfit for the first name that nothing could ever fulfil, with the nearest ones.
    """
    for place, name in policy.names():
        is_audit = place.endswith("audit") or ".audits." in place
        if (name in audits) if is_audit else metrics.knows(name):
            continue
        near = get_close_matches(name, sorted(audits if is_audit else metrics.whole), n=3, cutoff=0.5)
        kind = "audit" if is_audit else "metric"
        nearest = f"; nearest: {', '.join(near)}" if near else ""
        raise OptionUnfit(
            f"the policy {policy.facts.file}: {place}: no installed audit "
            + (f"is called {name!r}{nearest}" if is_audit else f"writes a metric {name!r}{nearest}"),
            mend=f'{kind} = "{near[0]}"' if near else f"remove it, or install the audit that brings the {kind}",
        )


def _without_policy(audit: AuditResult, policy: PolicyFacts | None) -> AuditResult:
    """The audit without the limits that a policy had set; what the audits' own would have been is not in a record."""
    source = f"policy {policy.name}" if policy else None
    free = {"limit": None, "limit_source": None, "verdict": Verdict.INFORMATIVE, "rows_needed": None, "waiver": None}
    free |= {"p_value": None, "p_adjusted": None}
    metrics = [m.model_copy(update=free) if source and m.limit_source == source else m for m in audit.metrics]
    return audit.model_copy(update={"metrics": metrics})


def _refuse_expired(document: PolicyFile, path: Path, today: date) -> None:
    for waiver in document.waivers:
        if waiver.expires < today:
            raise OptionUnfit(
                f"the policy {path}: the waiver of {_facts(waiver).about} by {waiver.person} expired on "
                f"{waiver.expires.isoformat()}",
                mend="let the person give it again with a new date and reason, or remove it: the limit then counts",
            )


def _facts(waiver: PolicyWaiver) -> Waiver:
    return Waiver(**{**waiver.model_dump(), "expires": waiver.expires.isoformat()})


def _facts_of(document: PolicyFile, path: Path, content: bytes, modified: str | None) -> PolicyFacts:
    required = [*document.required.audits, *document.required.metrics]
    most = {level: count for level, count in document.findings.model_dump().items() if count is not None}
    return PolicyFacts(
        name=document.name or path.name,
        sha256=hashlib.sha256(content).hexdigest(),
        modified=modified,
        file=path.name,
        limits=[{"metric": x.metric, "limit": x.limit, "slice": x.slice, "audit": x.audit} for x in document.limits]
        or None,
        required=required or None,
        most_findings=most or None,
        waivers=[_facts(waiver) for waiver in document.waivers] or None,
    )
