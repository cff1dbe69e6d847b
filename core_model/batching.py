"""Which rows share a batch, and in which order: little padding, yet as random as training needs.

Rows are shuffled and cut into megabatches of some fifty batches; within a megabatch rows of like length share a
batch; then the batches are shuffled. A batch is padded to its own longest row only, so that short comments do not pay
for long ones. The order follows from (seed, epoch) alone: a resumed run recomputes it instead of storing it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np

MEGABATCH = 50  # batches; larger saves more padding and mixes lengths less


@dataclass(frozen=True)
class Ragged:
    """Sequences of token ids, one behind the other, so that a million rows are two arrays.

    Attributes:
        values: (tokens,) int32.
        starts: (rows + 1,) int64; row i is `values[starts[i]:starts[i + 1]]`.
    """

    values: np.ndarray
    starts: np.ndarray

    @classmethod
    def of(cls, sequences: Sequence[Sequence[int]]) -> Ragged:
        """From lists of ids."""
        lengths = np.fromiter((len(s) for s in sequences), dtype=np.int64, count=len(sequences))
        starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        values = np.fromiter(chain.from_iterable(sequences), dtype=np.int32, count=int(starts[-1]))
        return cls(values, starts)

    @classmethod
    def joined(cls, parts: Sequence[Ragged]) -> Ragged:
        """Several, one behind the other."""
        lengths = np.concatenate([part.lengths for part in parts]) if parts else np.zeros(0, dtype=np.int64)
        values = np.concatenate([part.values for part in parts]) if parts else np.zeros(0, dtype=np.int32)
        return cls(values, np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64))

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each row, (rows,) int64."""
        return np.diff(self.starts)

    def padded(self, rows: np.ndarray, fill: int) -> np.ndarray:
        """Some rows as one matrix, (len(rows), longest of them) int64, filled on the right with `fill`."""
        lengths = self.lengths[rows]
        matrix = np.full((len(rows), int(lengths.max(initial=0))), fill, dtype=np.int64)
        for line, (row, length) in enumerate(zip(rows, lengths, strict=True)):
            matrix[line, :length] = self.values[self.starts[row] : self.starts[row] + length]
        return matrix


def training_order(
    lengths: np.ndarray, batch_size: int, *, seed: int, epoch: int, megabatch: int = MEGABATCH
) -> list[np.ndarray]:
    """The batches of one epoch: every row once, rows of like length together.

    Args:
        lengths: (rows,) tokens of each row.
        batch_size: rows in a batch; the last one of the epoch's rows may be smaller.
        seed, epoch: the same pair gives the same order.
        megabatch: batches among which rows are sorted by length.
    Returns: ceil(rows / batch_size) arrays of row indices.
    """
    random = np.random.default_rng([seed, epoch])
    shuffled = random.permutation(len(lengths))
    batches: list[np.ndarray] = []
    for start in range(0, len(shuffled), batch_size * megabatch):
        rows = shuffled[start : start + batch_size * megabatch]
        # A stable sort keeps the shuffled order among rows of equal length.
        rows = rows[np.argsort(lengths[rows], kind="stable")]
        batches += [rows[i : i + batch_size] for i in range(0, len(rows), batch_size)]
    return [batches[i] for i in random.permutation(len(batches))]


def evaluation_order(lengths: np.ndarray, batch_size: int) -> list[np.ndarray]:
    """Batches for a pass without gradients: sorted by length over all rows, the longest first.

    The longest batch comes first so that memory runs out at once or never.
    """
    rows = np.argsort(-lengths, kind="stable")
    return [rows[i : i + batch_size] for i in range(0, len(rows), batch_size)]


def padding_share(lengths: np.ndarray, batches: Sequence[np.ndarray]) -> float:
    """Share of the padded matrices' cells that hold padding, in [0, 1)."""
    cells = sum(len(batch) * int(lengths[batch].max()) for batch in batches)
    return 1 - float(lengths.sum()) / cells if cells else 0.0
