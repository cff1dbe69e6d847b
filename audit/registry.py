"""Which audits are installed: found by entry points, so that another package adds one without touching this one.

A plug-in that cannot be loaded is kept, with its reason: the engine records it as errored, and the others run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from audit.plugin import ENTRY_POINTS, Concern, Need, Plugin, plugin_of
from core_model.errors import BrokenPlugin, OptionUnfit


@dataclass(frozen=True)
class Broken:
    """An installed plug-in that does not load, and why."""

    id: str
    distribution: str
    reason: str


@dataclass(frozen=True)
class Registry:
    """Every installed audit, in the order in which they run and are read."""

    plugins: tuple[Plugin, ...]
    broken: tuple[Broken, ...] = ()

    @property
    def ids(self) -> tuple[str, ...]:
        """Ids of every installed audit, broken ones included."""
        return tuple(p.id for p in self.plugins) + tuple(b.id for b in self.broken)

    def only(self, ids: Sequence[str] | None) -> Registry:
        """The named audits alone.

        Raises: OptionUnfit for a name that is not installed, with its nearest neighbour.
        """
        if ids is None:
            return self
        for wanted in ids:
            if wanted not in self.ids:
                near = get_close_matches(wanted, self.ids, n=1)
                raise OptionUnfit(
                    f"there is no audit {wanted!r} (asked for by --only); installed: {', '.join(self.ids)}",
                    mend=f"--only {near[0] if near else self.ids[0]}",
                )
        return Registry(tuple(p for p in self.plugins if p.id in ids), tuple(b for b in self.broken if b.id in ids))

    def applying(self, checkpoint: Path) -> Registry:
        """Without the audits of what clients made together, where a checkpoint does not say that clients made it.

        A record that lies there and cannot be read is not left out: that it was not measured must be told.
        """
        from federated.record import NAME

        if (checkpoint / NAME).exists():
            return self
        return Registry(tuple(p for p in self.plugins if Need.FEDERATED_RECORD not in p.needs), self.broken)


def installed() -> Registry:
    """All audits that the installed packages offer."""
    return registry_of(entry_points(group=ENTRY_POINTS))


def registry_of(points: Sequence[EntryPoint]) -> Registry:
    """Load these entry points; two with one id are both refused, since neither can be trusted to be meant."""
    plugins: dict[str, Plugin] = {}
    broken: list[Broken] = []
    for point in points:
        distribution = point.dist.name if point.dist else "unknown"
        try:
            plugin = replace(plugin_of(point.load()), distribution=distribution)
            if plugin.id != point.name:
                raise BrokenPlugin(
                    f"the entry point {point.name!r} loads an audit called {plugin.id!r}",
                    mend=f"name the entry point {plugin.id!r}",
                )
        except Exception as error:
            broken.append(Broken(point.name, distribution, f"{type(error).__name__}: {error}".splitlines()[0]))
            continue
        if point.name in plugins:
            other = plugins.pop(point.name)
            reason = f"two packages offer it: {other.distribution} and {distribution}; uninstall one"
            broken.append(Broken(point.name, distribution, reason))
            continue
        plugins[point.name] = plugin
    order = {str(concern): place for place, concern in enumerate(READING_ORDER)}
    return Registry(
        tuple(sorted(plugins.values(), key=lambda p: (order.get(p.concern, len(order)), p.id))),
        tuple(sorted(broken, key=lambda b: b.id)),
    )


FIRST = (Concern.EVALUABILITY, Concern.GENERALIZATION, Concern.FAIRNESS)
READING_ORDER = (*FIRST, *(concern for concern in Concern if concern not in FIRST))
"""First whether the numbers can be trusted, then what they are; the rest as the list of concerns stands."""
