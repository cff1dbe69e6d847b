"""Many records in one line of time: which number moved, from the first run to the last and in the last step.

Each change is computed as between two records (`audit.comparison`): on joined evidence rows where both runs carry them,
else from the two intervals. All changes of the history are then corrected together: "better", "worse" and "changed" are
said only where the interval excludes zero and Holm's adjusted p-value stays at or below 0.05. A number that a run does
not hold has no point in that run.
Source: Holm, Scandinavian Journal of Statistics 6 (1979) 65; p-values from the intervals' arms, as for limits.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import combinations
from pathlib import Path
from typing import Literal

import numpy as np

from audit.comparison import conclusion, difference_of, refuse_unlike
from audit.evidence import Limit, judge
from audit.history_steps import limit_moves, step_changes
from audit.joined_evidence import JoinedEvidence, paired_rows
from audit.statistics import Estimate, holm, p_value_against_limit
from core_model.errors import BadInput
from reports.document import states
from reports.history import ALPHA, SCHEMA_VERSION, Change, History, HistoryLine, HistoryRun, Point
from reports.reading import hash_matches
from reports.record import Metric, Multiplicity, Record, Severity, Verdict
from reports.text import terminal_text

FEWEST = 3
_Joined = tuple[JoinedEvidence | None, str | None]


class NoHistory(BadInput):
    """Records that make no line of time."""


@dataclass(frozen=True)
class Kept:
    """A record and where it was found: `name` as the user typed it, `folder` where its evidence file stands."""

    record: Record
    name: str
    folder: Path | None = None


@dataclass(frozen=True)
class _Measured:
    """A change before the correction: places of the two runs, and what lies between them."""

    earlier: int
    later: int
    estimate: Estimate
    paired: bool
    better: str
    reason: str | None
    p_value: float | None


@dataclass(frozen=True)
class _Number:
    """One number by the place of each run that holds it, and its changes: first to last, and the last step."""

    audit: str
    held: dict[int, Metric]
    overall: _Measured | None
    last: _Measured | None


def history(
    kept: Sequence[Kept], *, order: Literal["date", "given"] = "date", unpaired: bool = False, seed: int = 0
) -> History:
    """The history of three records or more.

    Args:
        kept: the records; `order` "date" sorts them by when their runs began.
        unpaired: take also records of different data; then nothing is paired.
        seed: of the paired bootstraps; each change has a generator of its own.
    Raises: NoHistory for fewer than three records, the same record twice, or a date that is none; NotComparable for
        different tasks, or different data without `unpaired`.
    """
    if len(kept) < FEWEST:
        raise NoHistory(
            f"a history needs {FEWEST} records, there are {len(kept)}", mend="name more, or compare two of them"
        )
    _refuse_twice(kept)
    for one, other in ((kept[0], other) for other in kept[1:]):
        refuse_unlike(one.record, other.record, unpaired=unpaired, names=(_said(one.name), _said(other.name)))
    kept = sorted(kept, key=_began) if order == "date" else kept
    records = [each.record for each in kept]
    changes = _Changes(kept, unpaired=unpaired, seed=seed)
    numbers = _numbers(records, changes)
    judged, multiplicity = _corrected(numbers)
    return History(
        schema_version=SCHEMA_VERSION,
        task=records[0].subject.task,
        order=order,
        same_data=len({record.data.sha256 for record in records}) == 1,
        runs=[_run(number, record) for number, record in enumerate(records, start=1)],
        lines=[_line(number, judged, len(records)) for number in numbers],
        steps=step_changes(records),
        multiplicity=multiplicity,
    )


def _refuse_twice(kept: Sequence[Kept]) -> None:
    """A run that is repeated may give the same content; the same run is one record."""
    for one, other in combinations(kept, 2):
        same = one.record.content_sha256 == other.record.content_sha256
        if same and one.record.run.started == other.record.run.started:
            raise NoHistory(
                f"{_said(one.name)} and {_said(other.name)} are the same record, of the run that began "
                f"{_said(one.record.run.started)}",
                mend="name each record once",
            )


def _began(one: Kept) -> tuple[datetime, str]:
    """When the run began; of two that began together the one whose hash comes first."""
    try:
        began = datetime.fromisoformat(one.record.run.started)
    except ValueError as error:
        raise NoHistory(
            f"{_said(one.name)}: run.started is {_said(repr(one.record.run.started))}, not a date",
            mend="--order given takes the records in the order in which you name them",
        ) from error
    return (began if began.tzinfo else began.replace(tzinfo=UTC)), one.record.content_sha256 or ""


def _numbers(records: Sequence[Record], changes: _Changes) -> list[_Number]:
    """Every number that any run holds, in the order of the last run first."""
    indexed = [{(audit.id, metric.key): metric for audit in r.audits for metric in audit.metrics} for r in records]
    audits = list(dict.fromkeys(audit.id for record in reversed(records) for audit in record.audits))
    keys = dict.fromkeys(key for index in reversed(indexed) for key in index)
    found = []
    for audit, key in sorted(keys, key=lambda key: audits.index(key[0])):
        held = {run: index[audit, key] for run, index in enumerate(indexed, start=1) if (audit, key) in index}
        found.append(_number(audit, held, len(records), changes))
    return found


def _number(audit: str, held: dict[int, Metric], runs: int, changes: _Changes) -> _Number:
    """The number with its two changes; one object where the two are one."""
    valued = [run for run, metric in held.items() if metric.value is not None]
    step = (runs - 1, runs)
    overall = last = None
    if len(valued) > 1:
        overall = changes.between(valued[0], valued[-1], audit, held[valued[0]], held[valued[-1]])
    if set(step) <= set(valued):
        same = overall is not None and (overall.earlier, overall.later) == step
        last = overall if same else changes.between(*step, audit, held[step[0]], held[step[1]])
    return _Number(audit, held, overall, last)


class _Changes:
    """Differences between two runs; the evidence rows of a pair of runs are joined once."""

    def __init__(self, kept: Sequence[Kept], *, unpaired: bool, seed: int) -> None:
        self._kept, self._unpaired, self._seed = kept, unpaired, seed
        self._joined: dict[tuple[int, int], _Joined] = {}

    def between(self, earlier: int, later: int, audit: str, a: Metric, b: Metric) -> _Measured:
        """The number's change between two runs, by their places from 1."""
        rows, why_not = self._rows(earlier, later)
        own = zlib.crc32(f"{audit}.{a.key}".encode("utf-8", "surrogatepass"))
        random = np.random.default_rng([self._seed, earlier, later, own])
        estimate, paired, reason = difference_of(audit, a, b, rows, why_not, random)
        return _Measured(earlier, later, estimate, paired, b.better, reason, p_value(estimate))

    def _rows(self, earlier: int, later: int) -> _Joined:
        if self._unpaired:
            return None, "--unpaired was given"
        if (earlier, later) not in self._joined:
            a, b = self._kept[earlier - 1], self._kept[later - 1]
            names = (f"run {earlier}", f"run {later}")
            self._joined[earlier, later] = paired_rows(a.record, b.record, a.folder, b.folder, names=names)
        return self._joined[earlier, later]


def p_value(change: Estimate) -> float | None:
    """Two-sided p-value of "nothing changed", read off the interval's arm towards zero; None without an interval.

    A bootstrap's interval can leave its own value out; its middle then stands for the value.
    """
    if change.value is None or change.low is None or change.high is None:
        return None
    low, high = change.low, change.high
    value = change.value if low <= change.value <= high else (low + high) / 2
    side: Literal["lower", "higher"] = "lower" if value > 0 else "higher"
    if value == 0:
        return 1.0
    return min(1.0, 2 * p_value_against_limit(value, low, high, 0.0, side, change.confidence))


def _point(run: int, metric: Metric) -> Point:
    return Point(
        run=run,
        value=metric.value,
        interval=metric.interval if metric.value is not None else None,
        n=metric.n,
        limit=metric.limit,
        verdict=metric.verdict,
        waived=states.waived(metric),
        reason=metric.reason,
    )


def _by(metric: Metric, limit: float) -> Verdict | None:
    """The verdict of a number by another limit; None where the number has no value or no direction."""
    if metric.value is None or metric.better == "none":
        return None
    low, high = metric.interval or (None, None)
    estimate = Estimate(metric.value, low, high, metric.n, metric.interval_method or "none")
    return judge(estimate, better=metric.better, limit=Limit(limit, "the history's first limit"))


def _corrected(numbers: Sequence[_Number]) -> tuple[dict[int, Change], Multiplicity | None]:
    """Holm over every change that has an interval. Changes are told apart as objects: one may stand in both places."""
    measured = {id(c): c for number in numbers for c in (number.overall, number.last) if c is not None}
    tested = {key: change.p_value for key, change in measured.items() if change.p_value is not None}
    adjusted = dict(zip(tested, holm(list(tested.values())).tolist(), strict=True)) if tested else {}
    judged = {key: _judged(change, adjusted.get(key)) for key, change in measured.items()}
    if not tested:
        return judged, None
    return judged, Multiplicity(
        method="Holm 1979",
        compared=len(tested),
        explanation=f"Every change of the history was corrected together: a change is called better, worse or changed "
        f"only where its interval excludes zero and its adjusted p-value is at most {ALPHA:g}, so that the chance of "
        f"even one false alarm in the whole history stays below {ALPHA:.0%}. The intervals themselves are not widened.",
    )


def _judged(change: _Measured, p_adjusted: float | None) -> Change:
    estimate = change.estimate
    if p_adjusted is None:
        said = "not comparable"
    else:
        said = conclusion(estimate, better=change.better) if p_adjusted <= ALPHA else "no evidence of change"
    return Change(
        earlier=change.earlier,
        later=change.later,
        difference=estimate.value,
        interval=estimate.interval,
        confidence=estimate.confidence,
        method=estimate.method if estimate.interval else None,
        paired=change.paired,
        n=estimate.n,
        p_value=change.p_value,
        p_adjusted=p_adjusted,
        conclusion=said,
        reason=change.reason or ("there is no interval" if p_adjusted is None else None),
    )


def _line(number: _Number, judged: Mapping[int, Change], runs: int) -> HistoryLine:
    held = number.held
    places, newest = list(held), held[max(held)]
    points = [_point(run, metric) for run, metric in held.items()]
    moves = limit_moves(held)
    first_limit = next((m.limit for m in held.values() if m.limit is not None), None) if moves else None
    overall, last = (judged.get(id(change)) for change in (number.overall, number.last))
    return HistoryLine(
        audit=number.audit,
        name=newest.name,
        slice=newest.slice,
        unit=newest.unit,
        better=newest.better,
        volatile=newest.volatile,
        points=points,
        overall=overall or _no_overall(points, runs),
        last_step=last or _no_step(points, runs),
        limits=moves,
        first_limit=first_limit,
        by_first_limit=_by(newest, first_limit) if first_limit is not None else None,
        came=places[0] if places[0] > 1 else None,
        went=places[-1] + 1 if places[-1] < runs else None,
    )


def _no_overall(points: Sequence[Point], runs: int) -> Change:
    valued = [point.run for point in points if point.value is not None]
    why = f"only run {valued[0]} has a value" if valued else "no run has a value"
    return Change(earlier=1, later=runs, conclusion="not comparable", reason=why)


def _no_step(points: Sequence[Point], runs: int) -> Change:
    """Why the last step has no difference: a run does not hold the number, or could not measure it."""
    held = {point.run: point for point in points}
    for run in (runs, runs - 1):
        if run not in held:
            why = f"not in run {run}"
            break
        if held[run].value is None:
            why = f"not measured in run {run}: {held[run].reason}"
            break
    return Change(earlier=runs - 1, later=runs, conclusion="not comparable", reason=why)


def _run(number: int, record: Record) -> HistoryRun:
    findings = [finding.severity for audit in record.audits for finding in audit.findings]
    whole = "none" if record.content_sha256 is None else "whole" if hash_matches(record) else "edited"
    policy = record.policy
    return HistoryRun(
        number=number,
        name=record.subject.called,
        sha256=record.subject.sha256,
        started=record.run.started,
        content_sha256=record.content_sha256,
        seal=whole,
        complete=record.complete,
        verdict=record.verdict,
        verdict_reason=record.verdict_reason,
        findings={severity.value: findings.count(severity) for severity in Severity},
        policy=f"{policy.name} ({policy.sha256[:12]})" if policy and policy.sha256 else policy.name if policy else None,
        data=record.data,
    )


def _said(text: str) -> str:
    return terminal_text(text, longest=200)
