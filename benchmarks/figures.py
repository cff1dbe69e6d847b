"""What every benchmark prints: its figures, each beside its aim."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Figure:
    """One number of a benchmark.

    Attributes:
        name: in snake_case; value: the number; unit: with whatever it was measured on.
        aim: what it should be, as a sentence; None where it only stands for comparison.
    """

    name: str
    value: float | None
    unit: str
    aim: str | None = None


def print_figures(benchmark: str, figures: Sequence[Figure], as_json: bool) -> None:
    """The figures as one JSON object, or as lines for a reader."""
    if as_json:
        print(json.dumps({"benchmark": benchmark, "figures": [asdict(figure) for figure in figures]}))
        return
    for figure in figures:
        aim = f"   aim: {figure.aim}" if figure.aim else ""
        print(f"{figure.name:36} {figure.value if figure.value is not None else 'none':>12} {figure.unit}{aim}")
