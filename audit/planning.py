"""What a run would do, before it does it: which audits run, what is missing, how many forward passes and minutes."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from audit.engine import unmet
from audit.plugin import PARTS_OF_TEXTS, Need, Size

if TYPE_CHECKING:
    from audit.session import Session
    from core_model.smoothed_prediction import SmoothedPredictor

PROBE_ROWS = 64


@dataclass(frozen=True)
class PlannedAudit:
    """One audit of a plan. `reason` and `supply` are set when it cannot run."""

    id: str
    title: str
    runs: bool
    reason: str | None
    supply: str | None
    forward_passes: int


@dataclass(frozen=True)
class Plan:
    """What a run would do.

    Attributes:
        audits: every audit, also those that cannot run.
        forward_passes: rows that would go through the model; what two audits share is counted once.
        rows_per_second: measured on a few of the rows, now, on this machine.
        minutes: forward passes at that speed; an estimate that leaves out what the audits compute besides.
    """

    audits: tuple[PlannedAudit, ...]
    forward_passes: int
    rows_per_second: float | None
    minutes: float | None


def plan(session: Session, *, probe: bool = True) -> Plan:
    """Plan a run.

    Args:
        session: a prepared run.
        probe: measure the model's speed on a few rows; without it the minutes stay unknown.
    """
    subject = session.subject
    size = Size(
        rows=subject.data.rows,
        training_rows=subject.training.rows if subject.training is not None else 0,
        classes=len(subject.labels),
        task=subject.task,
        group_columns=subject.data.group_columns,
        folder=subject.checkpoint.path,
        reference=subject.reference is not None,
        gradients=subject.has(Need.GRADIENTS),
    )
    wrapper = subject.wrapper
    looks = 1.0 if wrapper is None else wrapper.passes_an_answer(subject.texts)
    shared: dict[str, int] = {}
    audits = []
    for plugin in session.registry.plugins:
        missing = unmet(plugin, subject)
        passes = {} if missing else _looked(plugin.forward_passes(size, session.options[plugin.id]), looks)
        for what, rows in passes.items():
            shared[what] = max(shared.get(what, 0), rows)
        reason, supply = missing or (None, None)
        audits.append(PlannedAudit(plugin.id, plugin.title, missing is None, reason, supply, sum(passes.values())))
    audits += [PlannedAudit(b.id, b.id, False, b.reason, None, 0) for b in session.registry.broken]
    total = sum(shared.values())
    speed = rows_per_second(session) if probe and total else None
    return Plan(tuple(audits), total, speed, total / speed / 60 if speed else None)


def _looked(passes: Mapping[str, int], looks: float) -> dict[str, int]:
    """Passes where each answer takes so many looks; what asks about parts of texts takes these alone."""
    return {what: rows if what == PARTS_OF_TEXTS else round(looks * rows) for what, rows in passes.items()}


def rows_per_second(session: Session) -> float:
    """The model's speed on the first rows of the data, nothing cached; a text that it writes is one row.

    Of a smoothed classifier a look is one row: it asks the model about parts of texts, which are shorter.
    """
    from core_model.prediction import Predictor

    subject = session.subject
    if subject.wrapper is not None:
        return _looks_per_second(subject.wrapper, subject.texts[:PROBE_ROWS], subject.data.pairs)
    predictor = Predictor(subject.checkpoint, threads=session.configuration.threads, cache=None)
    rows = np.arange(min(PROBE_ROWS, subject.data.rows))
    subject.ask(subject.data.select(rows[:4]), predictor)  # the first call pays for loading
    started = time.perf_counter()
    subject.ask(subject.data.select(rows), Predictor.like(predictor))
    return len(rows) / (time.perf_counter() - started)


def _looks_per_second(wrapper: SmoothedPredictor, texts: Sequence[str], pairs: Sequence[str] | None) -> float:
    """Looks at the first texts that go through the model in a second, nothing cached; equal ones go once."""
    twin = type(wrapper).like(wrapper)
    others = None if pairs is None else pairs[: len(texts)]
    twin.predict(texts[:1], None if others is None else others[:1])  # the first call pays for loading
    before, started = twin.forward_passes, time.perf_counter()
    twin.predict(texts, others)
    return (twin.forward_passes - before) / (time.perf_counter() - started)
