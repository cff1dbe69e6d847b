"""The energy of a run that may be cut into sessions: what was measured is set down with each saved state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any

from core_model.energy import EnergyUse, measure_energy

SUMS = ("energy_kwh", "emissions_kg", "seconds")


class Meter:
    """Measures from its making until `close`; `take` hands over what was measured and goes on.

    Args:
        country: whose electricity.
        before: what earlier sessions measured.
    """

    def __init__(self, country: str, before: Mapping[str, Any] | None) -> None:
        self._country = country
        self._before = before
        self._use: EnergyUse | None = None
        self._begin()

    def take(self) -> dict[str, Any]:
        """The sum of all measurements up to now."""
        taken = self.close()
        self._begin()
        return taken

    def close(self) -> dict[str, Any]:
        """The sum of all measurements; nothing is measured any more. May be called twice."""
        self._stack.close()
        if self._use is not None:
            self._before = total([*([self._before] if self._before else []), self._use.as_dict()])
            self._use = None
        return dict(self._before or {})

    def _begin(self) -> None:
        self._stack = ExitStack()
        self._use = self._stack.enter_context(measure_energy(country=self._country))


def total(measurements: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Several measurements of one run as one; the last one names grid and hardware.

    Args:
        measurements: at least one, with the keys of `EnergyUse.as_dict()`.
    Returns: the same keys; a sum is null where a part of it is not known. "measured" only where all of it was.
    """
    summed = dict(measurements[-1])
    for key in SUMS:
        values = [m[key] for m in measurements]
        summed[key] = None if None in values else sum(values)
    parts = [m["parts_kwh"] for m in measurements]
    summed["parts_kwh"] = None if None in parts else {k: sum(p[k] for p in parts) for k in parts[-1]}
    summed["method"] = "measured" if all(m["method"] == "measured" for m in measurements) else "estimated"
    summed["reason"] = next((m["reason"] for m in measurements if m["reason"]), None)
    return summed
