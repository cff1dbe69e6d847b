"""Running the controls: each defect and its twin, many times over, through the audits as they are installed."""

from __future__ import annotations

import json
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import numpy as np

from audit.engine import unmet
from audit.environment import environment, tool
from audit.plugin import Plugin
from audit.registry import Registry
from audit.selftest.control import Control
from audit.selftest.registry import Controls, controls_of
from audit.selftest.results import ControlResult, Limits, Outcome, Selftest
from core_model.errors import BrokenPlugin
from core_model.settings import checked

Profile = Literal["quick", "standard"]
PROFILES: dict[Profile, tuple[int, Limits]] = {
    "quick": (6, Limits(min_power=0.5, max_false_alarms=0.5)),
    "standard": (20, Limits(min_power=0.75, max_false_alarms=0.25)),
}
"""Repetitions, and limits that so many repetitions can hold: all of 6, or 19 of 20, put the interval on their side."""


@dataclass(frozen=True)
class Plan:
    """What is asked for.

    Attributes:
        profile: how much, and what it is held to.
        repetitions: of each control, twins not counted; the profile's when left out.
        seed: of everything that is random.
    """

    profile: Profile = "standard"
    repetitions: int | None = None
    seed: int = 0

    @property
    def limits(self) -> Limits:
        """What intervals are held to."""
        return PROFILES[self.profile][1]

    @property
    def times(self) -> int:
        """How often each control is run."""
        return PROFILES[self.profile][0] if self.repetitions is None else self.repetitions


@dataclass(frozen=True)
class Step:
    """Where a selftest stands: the control that is run, its place among all, and what is known of it."""

    place: int
    of: int
    result: ControlResult
    repetitions: int
    done: bool


def run_selftest(
    registry: Registry,
    plan: Plan,
    *,
    controls: Controls | None = None,
    previous: Selftest | None = None,
    save: Callable[[Selftest], None] = lambda state: None,
    tell: Callable[[Step], None] = lambda step: None,
) -> Selftest:
    """Put every audit of a registry on trial.

    Args:
        controls: what is run; all that is installed for these audits when left out.
        previous: what an interrupted selftest left; its outcomes are kept where they are of the same tool, machine,
            seed and control.
        save: called with the selftest so far, after every repetition.
        tell: called before the first repetition of a control, after each, and when it is done.
    Returns: the finished selftest.
    Raises: KeyboardInterrupt, when what was done has been saved.
    """
    controls = controls_of(registry) if controls is None else controls
    asked = [(plugin, control) for plugin in registry.plugins for control in controls.of.get(plugin.id, ())]
    begun = time.monotonic()
    state = Selftest(
        tool=tool(),
        environment=environment(seed=plan.seed, profile=plan.profile),
        repetitions=plan.times,
        limits=plan.limits,
        controls=[_begun(plugin, control) for plugin, control in asked],
        without_controls=controls.without,
        broken=dict(controls.broken),
        started=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    spent = 0.0
    if previous is not None:
        state, spent = _resumed(state, previous)

    def now(place: int, result: ControlResult) -> Selftest:
        results = [*state.controls[:place], result, *state.controls[place + 1 :]]
        seconds = round(spent + time.monotonic() - begun, 1)
        return state.model_copy(update={"controls": results, "seconds": seconds})

    save(state)
    for place, (plugin, control) in enumerate(asked):
        result = state.controls[place]
        for repetition in range(plan.times):
            if result.reason is not None and not result.sick:
                break  # it cannot be run here
            tell(Step(place + 1, len(asked), result, plan.times, done=False))
            if repetition < len(result.sick):
                continue
            result = _repeated(plugin, control, result, repetition, plan)
            state = now(place, result)
            save(state)
        tell(Step(place + 1, len(asked), result, plan.times, done=True))
    finished = datetime.now(UTC).isoformat(timespec="seconds")
    state = state.model_copy(update={"complete": True, "finished": finished})
    save(state)
    return state


def _begun(plugin: Plugin, control: Control) -> ControlResult:
    """A control before its first repetition, with why it cannot be run here, if so."""
    missing = [package for package in control.packages if find_spec(package) is None]
    extra = f"; pip install 'aboveboard[{control.extra}]'" if control.extra else ""
    return ControlResult(
        audit=plugin.id,
        control=control.name,
        defect=control.defect,
        sign=control.sign.words,
        options=json.loads(json.dumps(dict(control.options), default=str)),
        reason=f"not run: needs {', '.join(missing)}{extra}" if missing else None,
    )


def _resumed(state: Selftest, previous: Selftest) -> tuple[Selftest, float]:
    """The state with the outcomes that an interrupted selftest left, and the seconds that these had taken."""
    same = (
        previous.tool == state.tool
        and previous.environment.model_copy(update={"profile": state.environment.profile}) == state.environment
    )
    if previous.complete or not same:
        return state, 0.0
    left = {(one.audit, one.control): one for one in previous.controls}
    results = []
    for fresh in state.controls:
        old = left.get((fresh.audit, fresh.control))
        alike = old is not None and all(getattr(old, k) == getattr(fresh, k) for k in ("defect", "sign", "options"))
        results.append(_continued(fresh, old, state) if alike and old is not None and old.sick else fresh)
    return state.model_copy(update={"controls": results}), previous.seconds


def _continued(fresh: ControlResult, old: ControlResult, state: Selftest) -> ControlResult:
    """A control with the outcomes that it had before, no more than are asked for now."""
    times = min(len(old.sick), state.repetitions)
    kept = {"sick": old.sick[:times], "healthy": old.healthy[:times], "seconds": old.seconds, "reason": old.reason}
    return fresh.model_copy(update=kept).judged(state.limits)


def _repeated(plugin: Plugin, control: Control, result: ControlResult, repetition: int, plan: Plan) -> ControlResult:
    """The result with one more repetition: the sick one and its twin, from the same random numbers."""
    begun = time.monotonic()
    outcomes: dict[bool, Outcome] = {}
    reason = result.reason
    for sick in (True, False):
        try:
            outcomes[sick] = (
                "yes" if _speaks(plugin, control, sick, _random(plugin, control, repetition, plan)) else "no"
            )
        except Exception as error:
            outcomes[sick] = "error"
            whose = "the sick one" if sick else "the healthy twin"
            reason = reason or f"{whose}: {type(error).__name__}: {error}".splitlines()[0][:300]
    return result.model_copy(
        update={
            "sick": [*result.sick, outcomes[True]],
            "healthy": [*result.healthy, outcomes[False]],
            "seconds": round(result.seconds + time.monotonic() - begun, 2),
            "reason": reason,
        }
    ).judged(plan.limits)


def _speaks(plugin: Plugin, control: Control, sick: bool, seeds: np.random.SeedSequence) -> bool:
    """Whether the audit finds the defect, or accuses the twin."""
    make_seed, audit_seed = seeds.spawn(2)
    with TemporaryDirectory(prefix="aboveboard-selftest-") as folder:
        case = control.make(sick, np.random.default_rng(make_seed), Path(folder) / "checkpoint")
        if (missing := unmet(plugin, case.subject)) is not None:
            raise BrokenPlugin(f"control {control.name!r}: the audit {missing[0]}", mend=missing[1])
        given = {**control.options, **case.options}
        options = checked(plugin.options, given, where=f"control {control.name!r} of {plugin.id}")
        evidence = plugin.run(case.subject.narrowed(plugin), options, np.random.default_rng(audit_seed))
    return control.sign.found_in(evidence) if sick else control.sign.accused_in(evidence)


def _random(plugin: Plugin, control: Control, repetition: int, plan: Plan) -> np.random.SeedSequence:
    """Random numbers of one repetition: the same for both twins, whatever else is run."""
    own = zlib.crc32(f"{plugin.id}/{control.name}".encode())
    return np.random.SeedSequence(plan.seed, spawn_key=(own, repetition))
