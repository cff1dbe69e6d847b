"""What an attacker wants of the model: here, any answer but the right one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np


class Goal(Protocol):
    """How near an answer is to what is wanted, and whether it is that."""

    @property
    def label(self) -> int:
        """The class whose probability the gradient is taken of."""
        ...

    def score(self, probabilities: np.ndarray) -> np.ndarray:
        """(rows, classes) to (rows,): higher is nearer."""
        ...

    def reached(self, probabilities: np.ndarray) -> np.ndarray:
        """(rows, classes) to (rows,) of bool."""
        ...


@dataclass(frozen=True)
class Untargeted:
    """Any class but `label` (an index); an answer is nearer the less probable `label` is."""

    label: int

    def score(self, probabilities: np.ndarray) -> np.ndarray:
        """See Goal: 1 minus the probability of the label."""
        return 1.0 - probabilities[:, self.label]

    def reached(self, probabilities: np.ndarray) -> np.ndarray:
        """See Goal."""
        return probabilities.argmax(axis=1) != self.label
