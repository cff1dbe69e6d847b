"""Integrated gradients where the model jumps: halve the part of the way that does not add up, again and again.

A confident model goes from one answer to the other within a thousandth of the way, between any two of twenty even
steps. But every stretch of the way has a check of its own: what its gradients sum to must be what the score changes
along it. So only the stretch that fails it is halved, until the whole adds up.

Source: adaptive quadrature by bisection (Piessens et al. 1983, QUADPACK), with completeness (Sundararajan et al. 2017,
arXiv:1703.01365, proposition 1) as the exact error of each stretch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from core_model.attribution_path import EmbeddingPath

NODES = 8  # gradients on a stretch
MOST_STEPS = 400  # gradients of one text, those of stretches that were halved included


@dataclass(frozen=True, eq=False)
class Stretch:
    """A part of the way.

    Attributes:
        start, end: shares of the way.
        before, after: scores there.
        added: (tokens,) what the gradients on it sum to.
    """

    start: float
    end: float
    before: float
    after: float
    added: np.ndarray

    @property
    def error(self) -> float:
        """What its gradients miss of the change of the score along it."""
        return abs(float(self.added.sum()) - (self.after - self.before))


@dataclass
class Way:
    """The stretches of one text, in order."""

    stretches: list[Stretch] = field(default_factory=list)
    steps: int = 0

    @property
    def added(self) -> np.ndarray:
        """(tokens,) over the whole way."""
        return np.asarray(np.sum([one.added for one in self.stretches], axis=0))

    @property
    def error(self) -> float:
        """Errors of all stretches, which are not let cancel: at least the completeness error of the whole."""
        return sum(one.error for one in self.stretches)

    def worst(self) -> list[int]:
        """Places of the stretches that miss most: those with at least half of the largest error."""
        errors = [one.error for one in self.stretches]
        return [place for place, error in enumerate(errors) if error >= max(errors) / 2]


def by_halves(
    path: EmbeddingPath,
    known: Mapping[int, tuple[np.ndarray, int]],
    targets: np.ndarray,
    before: np.ndarray,
    after: np.ndarray,
    *,
    tolerance: float,
    noise: Sequence[np.ndarray] | None,
    most: int = MOST_STEPS,
) -> dict[int, Way]:
    """The way of each text, halved until its scores add up within the tolerance, or `most` gradients are spent.

    Args:
        known: of each text that is asked for, what the gradients on the whole way sum to, and how many they are.
        targets, before, after: (all texts,) the class, and its scores at the baseline and the text.
        noise: (all texts,) of (tokens, hidden), added to the texts' embeddings.
    """
    ways = {
        row: Way([Stretch(0.0, 1.0, float(before[row]), float(after[row]), added)], steps)
        for row, (added, steps) in known.items()
    }
    while True:
        halved = [
            (row, place)
            for row, way in ways.items()
            if way.error > tolerance
            for place in way.worst()
            if way.steps + 2 * NODES * len(way.worst()) <= most
        ]
        if not halved:
            return ways
        middles = np.array([(ways[row].stretches[p].start + ways[row].stretches[p].end) / 2 for row, p in halved])
        where = np.array([row for row, _ in halved])
        around = None if noise is None else [noise[row] for row in where]
        scores, _ = path.ask(where, middles, targets[where], gradients=False, noise=around)
        parts = []
        for (row, place), middle, score in zip(halved, middles, scores, strict=True):
            one = ways[row].stretches[place]
            parts += [(row, one.start, float(middle), one.before, float(score)),
                      (row, float(middle), one.end, float(score), one.after)]  # fmt: skip
        for row in {row for row, _ in halved}:
            gone = {place for of, place in halved if of == row}
            ways[row].stretches = [one for place, one in enumerate(ways[row].stretches) if place not in gone]
        for row, stretch in _stretches(path, parts, targets, noise):
            ways[row].stretches.append(stretch)
            ways[row].steps += NODES
        for row in {row for row, _ in halved}:
            ways[row].stretches.sort(key=lambda one: one.start)


def _stretches(
    path: EmbeddingPath,
    parts: Sequence[tuple[int, float, float, float, float]],
    targets: np.ndarray,
    noise: Sequence[np.ndarray] | None,
) -> list[tuple[int, Stretch]]:
    """Gradients on each (row, start, end, score at the start, score at the end), in one request."""
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    rows = np.repeat([part[0] for part in parts], NODES)
    shares = np.concatenate([start + (end - start) * (nodes + 1) / 2 for _, start, end, _, _ in parts])
    around = None if noise is None else [noise[row] for row in rows]
    _, added = path.ask(rows, shares, targets[rows], gradients=True, noise=around)
    return [
        (row, Stretch(start, end, before, after,
                      np.stack(added[place * NODES : (place + 1) * NODES]).T @ (weights * (end - start) / 2)))
        for place, (row, start, end, before, after) in enumerate(parts)
    ]  # fmt: skip
