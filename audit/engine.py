"""The engine: runs the plug-ins over a subject and writes the record after every one of them.

A need that is not met becomes *not measured*, with the flag that supplies it; a crash becomes *errored*, with its
reason, and the others go on. The record is written atomically after every audit, so that a killed run leaves all that
it had measured, and the next run of the same subject, data, options and seed goes on from there to the same content.
"""

from __future__ import annotations

import hashlib
import os
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from audit.examples import within_bounds
from audit.mending import of_the_original, of_the_wrapper
from audit.outcomes import Outcomes, refuse_unfit
from audit.plugin import Evidence, Need, Options, Plugin
from audit.policy import Policy
from audit.registry import Registry
from audit.smoothing_choice import smoothing_flags
from audit.subject import Subject
from audit.verdict import judge_run
from core_model.errors import OutputUnwritable
from reports.record import AuditResult, Cost, Mitigation, Record, Scalar, Status

Stage = Literal["started", "measured", "not_measured", "errored", "resumed"]
Tables = Mapping[str, Sequence[Mapping[str, Scalar]]]


@dataclass(frozen=True)
class Event:
    """Something that happened to one audit of a run."""

    audit: str
    stage: Stage
    place: int
    of: int
    seconds: float = 0.0
    message: str = ""


@dataclass
class Engine:
    """Runs audits.

    Attributes:
        registry: which audits.
        options: typed options of each plug-in, by id.
        seed: each audit gets a generator of its own, from this seed and its id.
        policy: limits that replace the audits' own.
        save: called with the record so far, after every audit; writes it atomically.
        keep: called with an audit's tables (a review queue), to write them beside the record.
        note: called with an audit's id and its rows' outcomes, for the evidence file.
        tell: called with every event.
        meter: measures the energy of one audit (`core_model.energy.measure_energy`).
        finish: completes the record before it is sealed (attaches the evidence file).
    """

    registry: Registry
    options: Mapping[str, Options]
    seed: int = 0
    policy: Policy | None = None
    save: Callable[[Record], None] = lambda record: None
    keep: Callable[[Tables], None] = lambda tables: None
    note: Callable[[str, Outcomes], None] = lambda audit_id, outcomes: None
    tell: Callable[[Event], None] = lambda event: None
    meter: Callable[[], AbstractContextManager[object]] = nullcontext
    finish: Callable[[Record, Subject], Record] = lambda record, subject: record
    _crashes: dict[str, str] = field(default_factory=dict)

    def run(self, subject: Subject, frame: Record, *, previous: Record | None = None) -> Record:
        """Audit the subject.

        Args:
            subject: what is audited.
            frame: the record without its audits: subject, data, environment, claims.
            previous: an earlier record of the same frame, whose measured audits are kept when it was interrupted.
        Returns: the complete record, sealed.
        Raises: KeyboardInterrupt, after saving what was measured.
        """
        results = self._pending(previous if previous is not None and same_frame(previous, frame) else None)
        begun = time.monotonic() - (previous.run.seconds if self._resumed(results) and previous else 0.0)
        total = len(results)
        self._write(frame, results, begun, subject)
        for place, (audit_id, result) in enumerate(list(results.items()), start=1):
            if result is not None:
                stage: Stage = "resumed" if result.status is Status.MEASURED else "errored"
                self.tell(Event(audit_id, stage, place, total, result.cost.seconds, result.reason or ""))
                continue
            plugin = next(p for p in self.registry.plugins if p.id == audit_id)
            self.tell(Event(audit_id, "started", place, total))
            results[audit_id] = done = _placed(self._one(plugin, subject), frame)
            self._write(frame, results, begun, subject)
            self.tell(Event(audit_id, done.status.value, place, total, done.cost.seconds, done.reason or ""))
        return self._write(frame, results, begun, subject)

    def crash(self, audit_id: str) -> str | None:
        """The traceback of an audit that errored in this run, for the log; never part of the record."""
        return self._crashes.get(audit_id)

    def _pending(self, previous: Record | None) -> dict[str, AuditResult | None]:
        """Every audit of the run, with the results that an interrupted run left (None: still to do)."""
        results: dict[str, AuditResult | None] = {p.id: None for p in self.registry.plugins}
        if previous is not None and not previous.complete:
            for plugin in self.registry.plugins:
                kept = previous.audit(plugin.id)
                if kept is not None and kept.status is Status.MEASURED and kept.options == self._plain(plugin):
                    results[plugin.id] = kept
        for broken in self.registry.broken:
            results[broken.id] = AuditResult(
                id=broken.id,
                concern=broken.id,
                status=Status.ERRORED,
                reason=f"the plug-in of package {broken.distribution} does not load: {broken.reason}",
                supply=f"a version of {broken.distribution} that fits this one",
            )
        return results

    @staticmethod
    def _resumed(results: Mapping[str, AuditResult | None]) -> bool:
        return any(r is not None and r.status is Status.MEASURED for r in results.values())

    def _one(self, plugin: Plugin, subject: Subject) -> AuditResult:
        missing = unmet(plugin, subject)
        if missing is not None:
            return self._result(plugin, Status.NOT_MEASURED, reason=missing[0], supply=missing[1])
        energy, elsewhere = None, 0
        before, started = subject.predictor.forward_passes, time.monotonic()
        try:
            with self.meter() as energy:
                evidence = plugin.run(subject.narrowed(plugin), self.options[plugin.id], self._random(plugin))
            result, elsewhere = self._measured(plugin, evidence, subject), evidence.forward_passes
            refuse_unfit(evidence.outcomes, keys={line.key for line in evidence.metrics}, rows=subject.data.rows)
            self.keep(evidence.tables)
            self.note(plugin.id, evidence.outcomes)
        except OutputUnwritable:
            raise  # a full disk is the run's trouble, not this audit's
        except Exception as error:
            self._crashes[plugin.id] = traceback.format_exc()
            if os.environ.get("ABOVEBOARD_DEBUG"):
                traceback.print_exc()
            reason = f"{type(error).__name__}: {error}".strip().splitlines()[0]
            result = self._result(
                plugin, Status.ERRORED, reason=reason, supply="aboveboard --debug audit ... shows where it failed"
            )
        cost = Cost(
            seconds=round(time.monotonic() - started, 3),
            forward_passes=subject.predictor.forward_passes - before + elsewhere,
            energy_kwh=getattr(energy, "energy_kwh", None),
        )
        return result.model_copy(update={"cost": cost})

    def _measured(self, plugin: Plugin, evidence: Evidence, subject: Subject) -> AuditResult:
        wrapper = {"smoothing": " ".join(flags)} if (flags := smoothing_flags(subject.smoothing)) else {}
        settings = {**self._plain(plugin), **evidence.settings, **wrapper, "seed": self.seed}
        result = AuditResult(
            **self._about(plugin),
            status=Status.MEASURED,
            metrics=list(evidence.metrics),
            findings=[within_bounds(finding, seed=self.seed) for finding in evidence.findings],
            figures=list(evidence.figures),
            notes=list(evidence.notes),
            signature=" | ".join(f"{key}:{value}" for key, value in sorted(settings.items())),
        )
        return self.policy.applied(result) if self.policy else result

    def _result(self, plugin: Plugin, status: Status, *, reason: str, supply: str | None) -> AuditResult:
        result = AuditResult(**self._about(plugin), status=status, reason=reason, supply=supply)
        return self.policy.applied(result) if self.policy else result

    def _about(self, plugin: Plugin) -> dict[str, Any]:
        return {
            "id": plugin.id,
            "concern": plugin.concern,
            "title": plugin.title,
            "about": plugin.about,
            "options": self._plain(plugin),
        }

    def _plain(self, plugin: Plugin) -> dict[str, Any]:
        return self.options[plugin.id].model_dump(mode="json")

    def _random(self, plugin: Plugin) -> np.random.Generator:
        own = int.from_bytes(hashlib.sha256(plugin.id.encode()).digest()[:4], "big")
        return np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(own,)))

    def _write(
        self, frame: Record, results: Mapping[str, AuditResult | None], begun: float, subject: Subject
    ) -> Record:
        audits = [
            result
            if result is not None
            else self._result(
                next(p for p in self.registry.plugins if p.id == audit_id),
                Status.NOT_MEASURED,
                reason="the run was interrupted before this audit",
                supply="the same command again: it goes on from here",
            )
            for audit_id, result in results.items()
        ]
        complete = all(result is not None for result in results.values())
        unmatched = self.policy.unmatched(audits) if self.policy and complete else []
        judged = judge_run(
            audits,
            asked=[limit.metric for limit in unmatched],
            policy=self.policy.facts if self.policy and complete else None,
        )
        record = frame.model_copy(
            update={
                "audits": judged.audits,
                "verdict": judged.verdict,
                "verdict_reason": judged.reason,
                "multiplicity": judged.multiplicity,
                "complete": complete,
                "run": frame.run.model_copy(update={"seconds": round(time.monotonic() - begun, 1)}),
            }
        )
        record = self.finish(record, subject).sealed()
        self.save(record)
        return record


def _placed(result: AuditResult, frame: Record) -> AuditResult:
    """The result with this run's places in the commands of its mends, so that they can be copied as they stand."""

    def placed(mend: Mitigation) -> Mitigation:
        mend = of_the_wrapper(mend, frame.subject.smoothing)
        mend = of_the_original(mend) if frame.subject.facts.get("graph") else mend
        return mend.model_copy(update={"command": frame.with_places(mend.command)})

    findings = [
        finding if finding.mitigation is None else finding.model_copy(update={"mitigation": placed(finding.mitigation)})
        for finding in result.findings
    ]
    return result.model_copy(update={"findings": findings})


def unmet(plugin: Plugin, subject: Subject) -> tuple[str, str] | None:
    """Why a plug-in cannot run on this subject, and what would supply it; None when it can."""
    if subject.task not in plugin.tasks:
        able = ", ".join(sorted(t.value for t in plugin.tasks))
        return f"this audit has no {subject.task.value} form; it is for {able}", f"a checkpoint for {able}"
    missing = [need for need in Need if need in plugin.needs and not subject.has(need)]
    if missing:
        called, supplied = zip(*(need.of(subject.task) for need in missing), strict=True)
        return "needs " + " and ".join(called) + _why_unread(missing, subject), ", ".join(supplied)
    return None


def _why_unread(missing: Sequence[Need], subject: Subject) -> str:
    """What a reader would wonder at: the file that is needed lies there."""
    from federated.record import NAME

    if Need.FEDERATED_RECORD in missing and subject.smoothing is not None:
        return "; it tells of the model, and the smoothed classifier is asked here: leave --smoothing-keep out"
    if Need.FEDERATED_RECORD in missing and (subject.checkpoint.path / NAME).is_file():
        return f"; the {NAME} that lies there cannot be read, or is of other weights than these"
    return ""


def same_frame(a: Record, b: Record) -> bool:
    """Whether two records are of the same tool, subject, data, environment and policy, so that results carry over."""
    if a.subject.smoothing != b.subject.smoothing:
        return False
    return all(
        getattr(a, part) == getattr(b, part) for part in ("tool", "environment", "generation", "policy", "claims")
    ) and all(_sha(getattr(a, part)) == _sha(getattr(b, part)) for part in ("subject", "data", "training_data"))


def _sha(part: Any) -> str | None:
    return None if part is None else part.sha256
