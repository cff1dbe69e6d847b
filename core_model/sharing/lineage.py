"""Do these weights come from those? Distances tensor by tensor, against what shuffled weights would give by chance.

Fine-tuning moves weights little: the cosine between a matrix and the one that it was trained from stays near 1, that
between matrices of two models trained apart lies near 0, since nothing tells their hidden units which place to take.
How near to 0, with these very numbers, is seen by simulation: the other checkpoint's matrices with their rows and
columns in random order are models of the same architecture and the same distribution of weights that this one cannot
come from. A matrix is "near" when its cosine exceeds that of every shuffled one (its chance without lineage: one in
SHUFFLES + 1); a checkpoint is derived when at least half of its matrices are near. How often that rule is wrong is
counted on the shuffled models themselves, each held against the others.

Biases and norms say nothing (they are near 0 or 1 in any model), and positions may be a fixed formula: neither decides.

Source: matching neurons up to permutation, Ainsworth, Hayase and Srinivasa 2023 (Git Re-Basin), arXiv:2209.04836; exact
permutation p-values, Phipson and Smyth 2010, arXiv:1603.05766.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from core_model.sharing.weight_pairs import FEWEST, INTEGERS, Pair, blocks, coarser, reader, rounded

SHUFFLES = 99
PLACES = 4_096  # numbers of a matrix that the simulation looks at: chance moves a cosine of so many by 0.016
ENOUGH = 0.5  # of the matrices
SMALLEST_SIDE = 8  # of a matrix; with two rows (kinds of segments), the order of rows is no chance
FIXED = re.compile(r"position|(^|\.)wpe\.|rotary|relative_attention|embed_positions")


class Lineage(StrEnum):
    """What the weights say."""

    SAME = "the same weights"
    DERIVED = "derived from it"
    PARTLY = "some matrices come from it"
    UNRELATED = "unrelated"
    NOT_COMPARABLE = "not comparable"


@dataclass(frozen=True)
class Distance:
    """Numbers against their partners: of one tensor, or of several together.

    Attributes:
        size: how many numbers; unchanged: how many are the same, after rounding to the coarser of the two types.
        dot, ours, theirs: the product of the two sides, and their squared norms.
        squared: squared norm of the difference; infinite where one side is integers, whose scales lie elsewhere.
    """

    size: int
    unchanged: int
    dot: float
    ours: float
    theirs: float
    squared: float

    @property
    def same(self) -> bool:
        """Whether every number is the same."""
        return self.unchanged == self.size

    @property
    def cosine(self) -> float | None:
        """In [-1, 1]; None where one side is all zeros."""
        size = math.sqrt(self.ours * self.theirs)
        return min(1.0, max(-1.0, self.dot / size)) if size > 0 else None

    @property
    def relative(self) -> float | None:
        """Norm of the difference in norms of the partner; None where that is all zeros, or where scales are missing."""
        return math.sqrt(self.squared / self.theirs) if self.theirs > 0 and math.isfinite(self.squared) else None

    def __add__(self, other: Distance) -> Distance:
        return Distance(
            self.size + other.size, self.unchanged + other.unchanged, self.dot + other.dot, self.ours + other.ours,
            self.theirs + other.theirs, self.squared + other.squared,
        )  # fmt: skip


NOTHING = Distance(0, 0, 0.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Trial:
    """The matrices against chance.

    Attributes:
        observed: (matrices,) cosine at the sampled places. shuffled: (matrices, SHUFFLES) of the shuffled partners.
    """

    observed: np.ndarray
    shuffled: np.ndarray

    @property
    def near(self) -> np.ndarray:
        """(matrices,) bool: nearer than every shuffled one."""
        result: np.ndarray = self.observed > self.shuffled.max(axis=1, initial=-1.0)
        return result

    @property
    def wrongly_derived(self) -> int:
        """How many of the SHUFFLES unrelated models the rule would call derived, each held against the others."""
        if not len(self.observed):
            return 0
        ordered = np.sort(self.shuffled, axis=1)
        largest, second = ordered[:, -1:], ordered[:, -2:-1]
        others = np.where(self.shuffled == largest, second, largest)  # the largest of the other ones
        return int(((self.shuffled > others).mean(axis=0) >= ENOUGH).sum())


def distance(pair: Pair) -> Distance:
    """One tensor against its partner, block by block."""
    kind = coarser(pair)
    whole_numbers = not {pair.ours.dtype, pair.theirs.dtype}.isdisjoint(INTEGERS)
    mixed = pair.ours.dtype != pair.theirs.dtype
    total = NOTHING
    for a, b in blocks(pair):
        x, y = a.astype(np.float64), b.astype(np.float64)
        squared = math.inf if whole_numbers else float((x - y) @ (x - y))
        unchanged = (rounded(a, kind) == rounded(b, kind)) if mixed else a == b
        total += Distance(len(x), int(unchanged.sum()), float(x @ y), float(x @ x), float(y @ y), squared)
    return total


def matrices_of(pairs: Sequence[Pair]) -> list[Pair]:
    """Those that can decide: two-dimensional, learned, with numbers enough."""
    return [
        pair
        for pair in pairs
        if len(pair.ours.shape) == 2 and min(pair.ours.shape) >= SMALLEST_SIDE and pair.size >= FEWEST
        and not FIXED.search(pair.name)
    ]  # fmt: skip


def against_chance(matrices: Sequence[Pair], random: np.random.Generator) -> Trial:
    """Each matrix's cosine with its partner, and with its partner's rows and columns in random order."""
    observed, shuffled = np.empty(len(matrices)), np.empty((len(matrices), SHUFFLES))
    for place, pair in enumerate(matrices):
        rows, columns = pair.ours.shape
        chosen = np.sort(random.choice(pair.size, size=min(PLACES, pair.size), replace=False, shuffle=False))
        i, j = np.divmod(chosen, columns)
        ours, read = reader(pair.ours)(chosen), reader(pair.theirs)
        observed[place] = _cosine(ours, read(chosen))
        for draw in range(SHUFFLES):
            moved = random.permutation(rows)[i] * columns + random.permutation(columns)[j]
            shuffled[place, draw] = _cosine(ours, read(moved))
    return Trial(observed, shuffled)


def _cosine(a: np.ndarray, b: np.ndarray) -> float:
    """0 where one of the two is all zeros: it points nowhere."""
    size = float(np.linalg.norm(a)) * float(np.linalg.norm(b))
    return float(a @ b) / size if size > 0 else 0.0


def lineage(whole: Distance, trial: Trial, *, parameters: int) -> Lineage:
    """What the weights say.

    Args:
        whole: of all pairs together. trial: of the matrices among them.
        parameters: numbers of ours, those without a partner included.
    """
    if not len(trial.observed) or whole.size < ENOUGH * parameters:
        return Lineage.NOT_COMPARABLE
    if whole.size == parameters and whole.same:
        return Lineage.SAME
    near = int(trial.near.sum())
    if near >= ENOUGH * len(trial.observed):
        return Lineage.DERIVED
    return Lineage.UNRELATED if near <= _by_chance(len(trial.observed)) else Lineage.PARTLY


def _by_chance(matrices: int) -> int:
    """How many matrices may be near without lineage, but for one case in a thousand."""
    from scipy.stats import binom

    return int(binom.ppf(0.999, matrices, 1 / (SHUFFLES + 1)))
