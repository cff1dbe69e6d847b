"""Whose presence is protected: one row, all blocks of one text, or all rows of one user; and who enters a step.

Each unit enters each step by a coin of its own (Poisson sampling): only so does the accountant's amplification hold. A
unit with many rows sends at most `most` of them, drawn anew each time, and each is clipped to a `most`-th of the norm,
so that the whole unit moves a step by no more than the norm.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Units:
    """Rows by the unit that they belong to.

    Attributes:
        members: (rows,) row indices, those of a unit behind each other.
        starts: (units + 1,) where each unit's rows begin in `members`.
        most: rows of one unit that enter a step.
    """

    members: np.ndarray
    starts: np.ndarray
    most: int

    @classmethod
    def of(cls, unit_of_row: np.ndarray, *, most: int) -> Units:
        """From the unit of each row, (rows,), of any type that sorts.

        `most` is lowered to what the largest unit has.
        """
        _, unit = np.unique(unit_of_row, return_inverse=True)
        order = np.argsort(unit, kind="stable")
        sizes = np.bincount(unit)
        return cls(order, np.concatenate([[0], np.cumsum(sizes)]), min(most, int(sizes.max(initial=1))))

    def __len__(self) -> int:
        return len(self.starts) - 1

    def draw(self, random: np.random.Generator, rate: float) -> np.ndarray:
        """The rows of one step: each unit with probability `rate`, independently; maybe none."""
        drawn = np.flatnonzero(random.random(len(self)) < rate)
        if self.most == 1 and len(self) == len(self.members):
            return self.members[self.starts[drawn]]
        rows = [self._some(random, int(unit)) for unit in drawn]
        return np.concatenate(rows) if rows else np.zeros(0, dtype=np.int64)

    def _some(self, random: np.random.Generator, unit: int) -> np.ndarray:
        rows = self.members[self.starts[unit] : self.starts[unit + 1]]
        return rows if len(rows) <= self.most else random.choice(rows, self.most, replace=False)


def secret_seed(published: int | None) -> int:
    """A seed from the operating system's entropy that is kept nowhere; the published one where there is one."""
    return secrets.randbits(63) if published is None else published
