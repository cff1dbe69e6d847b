"""What else is different between two runs of a history: limits and waivers, and settings that could move a number.

A pass by a softer limit is no gain, and a number that was counted otherwise is another number: both are said in words,
so that nobody has to find them out from two files.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Literal

from reports.history import LimitMove, StepChange
from reports.parts import PolicyFacts
from reports.record import Metric, Record
from reports.text import one_line

MOST_NAMED = 4  # slices or settings that a sentence names
_ENVIRONMENT = ("profile", "seed", "device", "dtype", "threads", "hardware")


def limit_moves(held: Mapping[int, Metric]) -> list[LimitMove]:
    """Where a number's limit is another than in the run before that holds it.

    Args:
        held: the number in each run that holds it, by the run's place, in order.
    """
    return [
        LimitMove(
            earlier=earlier,
            later=later,
            before=held[earlier].limit,
            after=held[later].limit,
            direction=_direction(held[earlier].limit, held[later].limit, held[later].better),
        )
        for earlier, later in pairwise(held)
        if held[earlier].limit != held[later].limit
    ]


def step_changes(records: Sequence[Record]) -> list[StepChange]:
    """What else changed from each run to the next; steps in which nothing did are left out."""
    steps = [
        StepChange(
            earlier=place,
            later=place + 1,
            policy=[*_policy(a.policy, b.policy), *_limits(a, b)],
            settings=list(_settings(a, b)),
        )
        for place, (a, b) in enumerate(pairwise(records), start=1)
    ]
    return [step for step in steps if step.policy or step.settings]


def _direction(
    before: float | None, after: float | None, better: str
) -> Literal["softer", "stricter", "set", "taken away", "other"]:
    if before is None:
        return "set"
    if after is None:
        return "taken away"
    if better == "none":
        return "other"
    return "softer" if (after > before) == (better == "lower") else "stricter"


def _limits(a: Record, b: Record) -> list[str]:
    """One sentence for each audit, name and move; its slices are counted."""
    moved: dict[tuple[str, str, float | None, float | None, str], list[str]] = {}
    for audit in b.audits:
        before = a.audit(audit.id)
        earlier = {metric.key: metric for metric in before.metrics} if before else {}
        for metric in audit.metrics:
            if metric.key in earlier and earlier[metric.key].limit != metric.limit:
                old = earlier[metric.key].limit
                way = _direction(old, metric.limit, metric.better)
                moved.setdefault((audit.id, metric.name, old, metric.limit, way), []).append(metric.key)
    return [
        f"{audit}: limit of {name} {_moved(old, new, way)}{_slices(keys)}"
        for (audit, name, old, new, way), keys in moved.items()
    ]


def _moved(old: float | None, new: float | None, way: str) -> str:
    if old is None:
        return f"set to {new:g}"
    if new is None:
        return f"of {old:g} taken away"
    return f"moved from {old:g} to {new:g}" + (f" ({way})" if way != "other" else "")


def _slices(keys: Sequence[str]) -> str:
    return f", in {len(keys)} slices" if len(keys) > 1 else ""


def _policy(a: PolicyFacts | None, b: PolicyFacts | None) -> Iterator[str]:
    if a is None or b is None:
        if b is not None:
            yield f"policy {_named(b)} where there was none: the audits' own limits held before"
        if a is not None:
            yield f"no policy any more, the audits' own limits instead of {_named(a)}"
        return
    if (a.name, a.sha256) != (b.name, b.sha256):
        yield f"policy {_named(b)} instead of {_named(a)}"
    for word, here, there in (("required", b.required, a.required), ("no longer required", a.required, b.required)):
        only = [name for name in here or [] if name not in (there or [])]
        if only:
            yield f"{word}: {', '.join(one_line(name, longest=80) for name in only)}"
    before, after = a.most_findings or {}, b.most_findings or {}
    for severity in dict.fromkeys([*before, *after]):
        if before.get(severity) != after.get(severity):
            yield (
                f"findings of severity {severity} that are let through: {after.get(severity, 'any number')}, "
                f"before {before.get(severity, 'any number')}"
            )
    for waiver in b.waivers or []:
        if waiver not in (a.waivers or []):
            yield f"waiver of {waiver.about}: {waiver.words}"
    for waiver in a.waivers or []:
        if waiver not in (b.waivers or []):
            yield f"no waiver any more of {waiver.about}"


def _named(policy: PolicyFacts) -> str:
    return policy.name + (f" ({policy.sha256[:12]})" if policy.sha256 else "")


def _settings(a: Record, b: Record) -> Iterator[str]:
    if a.tool.version != b.tool.version:
        yield f"{b.tool.name} {b.tool.version} instead of {a.tool.version}"
    for field in _ENVIRONMENT:
        old, new = (getattr(record.environment, field) for record in (a, b))
        if old != new:
            yield f"{field}: {new} instead of {old}"
    if a.generation != b.generation:
        yield "texts were written in another way (beams, longest text)"
    if a.subject.smoothing != b.subject.smoothing:
        yield "smoothed in another way, or on one side alone (share of the words, looks, mask)"
    if a.data.sha256 != b.data.sha256:
        yield f"data: {b.data.name} ({b.data.sha256[:12]}) instead of {a.data.name} ({a.data.sha256[:12]})"
    if (a.training_data and a.training_data.sha256) != (b.training_data and b.training_data.sha256):
        yield "another file of training data, or none on one side"
    for audit in b.audits:
        before = a.audit(audit.id)
        if before is not None and before.signature and audit.signature and before.signature != audit.signature:
            old, new = _parts(before.signature), _parts(audit.signature)
            names = [key for key in dict.fromkeys([*old, *new]) if old.get(key) != new.get(key)]
            said = [f"{key} {new.get(key, 'unset')} (was {old.get(key, 'unset')})" for key in names[:MOST_NAMED]]
            more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
            yield f"{audit.id}: {'; '.join(said)}{more}"


def _parts(signature: str) -> dict[str, str]:
    """Setting -> value, of "power:0.8 | seed:0"."""
    found = (part.partition(":") for part in signature.split(" | "))
    return {key: value for key, _, value in found}
