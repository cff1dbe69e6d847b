"""What a model said of some rows: logits, and what follows from them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np


@dataclass(frozen=True)
class Predictions:
    """Outputs of a classifier.

    Attributes:
        logits: (rows, classes) float32, in the order of the rows asked for.
    """

    logits: np.ndarray

    def __len__(self) -> int:
        return len(self.logits)

    @cached_property
    def probabilities(self) -> np.ndarray:
        """Softmax of the logits, (rows, classes) float64; rows sum to 1."""
        shifted = self.logits.astype(np.float64) - self.logits.max(axis=1, keepdims=True, initial=-np.inf)
        exponentials = np.exp(shifted)
        return exponentials / exponentials.sum(axis=1, keepdims=True)

    @cached_property
    def predicted(self) -> np.ndarray:
        """Index of the most probable class, (rows,) int64; the first one wins a tie."""
        return self.logits.argmax(axis=1)

    @cached_property
    def confidence(self) -> np.ndarray:
        """Probability of the predicted class, (rows,) float64."""
        return self.probabilities.max(axis=1)
