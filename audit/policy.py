"""A policy: the limits that a run is held against, set by the user before the run. They replace the audits' own.

    name = "screening tool"

    [[limits]]
    metric = "equalized_odds_difference"
    slice = {by = "sex"}          # optional: this slice alone
    limit = 0.08

The direction comes from the metric itself (`better`). The file's hash and date stand in the record, so that a reader
can see that the limits were set before the numbers were known.
"""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from audit.evidence import Limit, judge, rows_needed
from audit.statistics.estimate import Estimate
from core_model.errors import OptionUnfit
from reports.record import AuditResult, Metric, PolicyFacts, Verdict


class PolicyLimit(BaseModel):
    """One limit of a policy."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    metric: str
    limit: float
    slice: dict[str, str] = Field(default_factory=dict)
    audit: str | None = None

    def applies(self, audit_id: str, metric: Metric) -> bool:
        """Whether this limit is about that metric."""
        return (
            metric.name == self.metric
            and self.audit in (None, audit_id)
            and all(metric.slice.get(key) == value for key, value in self.slice.items())
            and metric.better != "none"
        )


class PolicyFile(BaseModel):
    """What a policy file may hold."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = ""
    limits: tuple[PolicyLimit, ...] = ()


@dataclass(frozen=True)
class Policy:
    """The limits of a policy file, and which file it was."""

    facts: PolicyFacts
    limits: tuple[PolicyLimit, ...]

    def applied(self, result: AuditResult) -> AuditResult:
        """The audit's metrics held against this policy where it has a limit for them (the last one that applies)."""
        metrics = []
        for metric in result.metrics:
            found = [limit for limit in self.limits if limit.applies(result.id, metric)]
            metrics.append(self._held(metric, found[-1].limit) if found else metric)
        return result.model_copy(update={"metrics": metrics})

    def unmatched(self, results: Sequence[AuditResult]) -> list[PolicyLimit]:
        """Limits that no metric of the run was held against: asked for, not measured."""
        return [limit for limit in self.limits if not any(limit.applies(r.id, m) for r in results for m in r.metrics)]

    def _held(self, metric: Metric, value: float) -> Metric:
        limit = Limit(value, f"policy {self.facts.name}")
        low, high = metric.interval or (None, None)
        estimate = Estimate(metric.value, low, high, metric.n, metric.interval_method or "none")
        verdict = judge(estimate, better=metric.better, limit=limit)
        needed = rows_needed(estimate, limit) if verdict is Verdict.INCONCLUSIVE else None
        return metric.model_copy(
            update={"limit": value, "limit_source": limit.source, "verdict": verdict, "rows_needed": needed}
        )


def read_policy(path: Path) -> Policy:
    """Open a policy file.

    Raises: OptionUnfit when it is missing, not TOML (with the line) or holds what a policy cannot hold.
    """
    try:
        content = path.read_bytes()
        document = PolicyFile(**tomllib.loads(content.decode("utf-8")))
    except OSError as error:
        raise OptionUnfit(f"the policy {path} cannot be read: {error.strerror}", mend="check --policy") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise OptionUnfit(f"the policy {path} is not TOML: {error}", mend="correct that line of the file") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise OptionUnfit(
            f"the policy {path}: {place}: {first['msg']}",
            mend='[[limits]] with metric = "equalized_odds_difference" and limit = 0.1',
        ) from error
    modified = datetime.fromtimestamp(path.stat().st_mtime, tz=UTC).isoformat(timespec="seconds")
    facts = PolicyFacts(name=document.name or path.name, sha256=hashlib.sha256(content).hexdigest(), modified=modified)
    return Policy(facts, document.limits)
