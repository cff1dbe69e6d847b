"""Which controls there are: our own, and those of other packages by the entry-point group `aboveboard.controls`.

An entry point is named after the audit, and loads its controls: a sequence of `Control`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec

from audit.plugin import Plugin
from audit.registry import Registry
from audit.selftest.control import Control
from core_model.errors import BrokenPlugin

ENTRY_POINTS = "aboveboard.controls"
OURS = "audit.selftest.controls"


@dataclass(frozen=True)
class Controls:
    """What can be put on trial.

    Attributes:
        of: the controls of each audit, by its id; none where nobody brought any.
        broken: what does not load, and why: by the id of the audit.
    """

    of: Mapping[str, tuple[Control, ...]]
    broken: Mapping[str, str]

    @property
    def without(self) -> list[str]:
        """Audits that no control holds to anything."""
        return [audit for audit, controls in self.of.items() if not controls and audit not in self.broken]


def controls_of(registry: Registry, points: Sequence[EntryPoint] | None = None) -> Controls:
    """The controls of these audits.

    Args:
        points: entry points to look into; those of the installed packages when left out.
    """
    points = tuple(entry_points(group=ENTRY_POINTS)) if points is None else points
    found: dict[str, tuple[Control, ...]] = {}
    broken = {one.id: f"the audit of package {one.distribution} does not load: {one.reason}" for one in registry.broken}
    for plugin in registry.plugins:
        try:
            own = [_loaded(point) for point in points if point.name == plugin.id]
            found[plugin.id] = _checked([*_ours(plugin), *(control for some in own for control in some)])
        except Exception as error:
            found[plugin.id] = ()
            broken[plugin.id] = f"its controls do not load: {type(error).__name__}: {error}".splitlines()[0]
    return Controls(found, broken)


def _ours(plugin: Plugin) -> Sequence[Control]:
    module = f"{OURS}.{plugin.id}"
    if plugin.distribution != "aboveboard" or not plugin.id.isidentifier() or find_spec(module) is None:
        return ()
    controls: Sequence[Control] = import_module(module).CONTROLS
    return controls


def _loaded(point: EntryPoint) -> Sequence[Control]:
    loaded = point.load()
    if not isinstance(loaded, list | tuple) or not all(isinstance(one, Control) for one in loaded):
        raise BrokenPlugin(
            f"the entry point {point.value!r} is no sequence of controls", mend="CONTROLS = (Control(...), ...)"
        )
    return loaded


def _checked(controls: Sequence[Control]) -> tuple[Control, ...]:
    names = [control.name for control in controls]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise BrokenPlugin(f"two controls are called {twice[0]!r}", mend="give each a name of its own")
    return tuple(controls)
