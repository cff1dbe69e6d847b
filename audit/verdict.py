"""The verdict of a whole run, with the many limits of one run kept from failing by chance.

Each metric is judged by its own 95% interval. Twenty limits that all hold would still break one by chance in about four
runs of ten (one side of 2.5% each), so the verdict of the run counts a limit as broken only when it stays broken after
Holm's correction over every limit of the run. What is broken alone, but not after it, leaves the run inconclusive.
An audit that was not measured, errored, or a limit that is inconclusive, leaves it inconclusive too: never a pass.
Source: Holm, Scandinavian Journal of Statistics 6 (1979) 65.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from audit.statistics.multiplicity import holm, p_value_against_limit
from reports.document.states import waived
from reports.policy_outcome import missing, too_many
from reports.policy_outcome import waived as what_is_waived
from reports.record import AuditResult, Metric, Multiplicity, PolicyFacts, Status, Verdict

SEVERITY_RULE = (
    "High: the whole interval lies beyond the limit. Medium: a difference is real (its interval excludes none) or a "
    "limit is in doubt. Low: otherwise worth knowing."
)

ALPHA = 0.025  # one side of a 95% interval


@dataclass(frozen=True)
class Judged:
    """The audits with their adjusted p-values, and what follows for the run."""

    audits: list[AuditResult]
    verdict: Literal["pass", "fail", "inconclusive"]
    reason: str
    multiplicity: Multiplicity | None


def judge_run(audits: Sequence[AuditResult], *, asked: Sequence[str] = (), policy: PolicyFacts | None = None) -> Judged:
    """Judge all limits of a run together.

    Args:
        audits: the results.
        asked: metrics that a policy limits and no audit measured; they leave the run inconclusive.
        policy: what it requires leaves the run inconclusive when it was not measured, and more findings of a severity
            than it lets through fail the run. What is waived neither fails the run nor lets it pass.
    """
    limited = [m for a in audits for m in a.metrics if m.limit is not None and m.value is not None and m.interval]
    by_itself = {id(m): _p_value(m) for m in limited}
    adjusted = dict(zip(by_itself, holm(list(by_itself.values())), strict=True)) if limited else {}
    judged = [
        a.model_copy(
            update={
                "metrics": [
                    m.model_copy(update={"p_value": by_itself[id(m)], "p_adjusted": float(adjusted[id(m)])})
                    if id(m) in adjusted
                    else m
                    for m in a.metrics
                ]
            }
        )
        for a in audits
    ]
    broken = [m for m in limited if m.verdict is Verdict.FAIL and not waived(m)]
    holds = [m for m in broken if adjusted[id(m)] < ALPHA]
    open_limits = [m for a in audits for m in a.metrics if m.limit is not None and m.verdict is Verdict.INCONCLUSIVE]
    open_limits = [m for m in open_limits if not waived(m)]
    unmeasured = [a for a in audits if a.status is not Status.MEASURED and a.waiver is None]
    let_go = what_is_waived(audits)
    too_many_findings = too_many(policy, audits)
    explanation = (
        f"{len(limited)} limits were compared in this run. {len(broken)} are broken by their own interval; "
        f"{len(holds)} of them stay broken after Holm's correction for looking {len(limited)} times."
    )
    multiplicity = Multiplicity(method="Holm 1979", compared=len(limited), explanation=explanation) if limited else None
    alone = [m for m in broken if adjusted[id(m)] >= ALPHA]
    only_alone = [f"{_limits(len(alone))} broken, but not after Holm's correction: {_names(alone)}"] if alone else []
    if holds or too_many_findings:
        lines = [f"{_limits(len(holds))} broken: {_names(holds)}"] if holds else []
        return Judged(judged, "fail", "; ".join([*lines, *only_alone, *too_many_findings]), multiplicity)
    reasons = [*missing(policy, audits), *only_alone]
    if open_limits:
        reasons.append(f"{_limits(len(open_limits))} undecided: {_names(open_limits)}")
    if unmeasured:
        reasons.append("not measured: " + ", ".join(a.id for a in unmeasured))
    if asked:
        reasons.append("the policy limits what was not measured: " + ", ".join(asked))
    if let_go:
        reasons.append(f"{len(let_go)} waived, which is no pass: {'; '.join(let_go[:3])}")
    if not limited and not open_limits:
        reasons.append("no limit was set")
    if reasons:
        return Judged(judged, "inconclusive", "; ".join(reasons), multiplicity)
    return Judged(judged, "pass", f"all {len(limited)} limits hold", multiplicity)


def _p_value(metric: Metric) -> float:
    if metric.value is None or metric.interval is None or metric.limit is None or metric.better == "none":
        raise ValueError(f"{metric.key} has no limit to be held against")
    if metric.p_value is not None:
        return metric.p_value
    low, high = metric.interval
    return float(
        p_value_against_limit(
            metric.value, low, high, limit=metric.limit, better=metric.better, confidence=metric.confidence
        )
    )


def _limits(count: int) -> str:
    return "1 limit is" if count == 1 else f"{count} limits are"


def _names(metrics: Sequence[Metric]) -> str:
    shown = [m.key for m in metrics[:4]]
    return ", ".join(shown) + (f" and {len(metrics) - 4} more" if len(metrics) > 4 else "")
