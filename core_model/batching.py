"""Which rows share a batch, and in which order: little padding, yet as random as training needs.

Rows are shuffled and cut into megabatches of some fifty batches; within a megabatch rows of like length share a
batch; then the batches are shuffled. A batch is padded to its own longest row only, so that short comments do not pay
for long ones. The order follows from (seed, epoch) alone: a resumed run recomputes it instead of storing it.

Where texts are written, rows differ so much in length that a number of rows is a poor measure of work: there a batch is
bounded by its padded tokens, many short rows or a few long ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain

import numpy as np

MEGABATCH = 50  # batches; larger saves more padding and mixes lengths less
GRAIN = 4  # tokens: rows whose lengths round up to the same multiple count as equally long, and are shuffled


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

    @cached_property
    def lengths(self) -> np.ndarray:
        """Tokens of each row, (rows,) int64."""
        return np.diff(self.starts)

    def row(self, number: int) -> np.ndarray:
        """One sequence, (its tokens,) int32, without copying it."""
        return self.values[self.starts[number] : self.starts[number + 1]]

    def taken(self, rows: Sequence[int] | np.ndarray) -> Ragged:
        """Some rows, in this order."""
        lengths = self.lengths[rows]
        starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        # Position of every token in the old array: its row's old start plus its place within the row.
        within = np.arange(starts[-1]) - np.repeat(starts[:-1], lengths)
        return Ragged(self.values[np.repeat(self.starts[:-1][rows], lengths) + within], starts)

    def padded(self, rows: np.ndarray, fill: int) -> np.ndarray:
        """Some rows as one matrix, (len(rows), longest of them) int64, filled on the right with `fill`."""
        begins = self.starts[rows]
        lengths = self.starts[rows + 1] - begins
        places = np.arange(int(lengths.max(initial=0)))
        inside = places < lengths[:, None]
        matrix = np.full(inside.shape, fill, dtype=np.int64)
        matrix[inside] = self.values[(begins[:, None] + places)[inside]]
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


def token_order(sides: np.ndarray, tokens: int, *, seed: int, epoch: int) -> list[np.ndarray]:
    """The batches of one epoch where a batch holds at most so many padded tokens.

    Rows are sorted by length over the whole data, rows of like length in random order, then cut; so every epoch has the
    same number of batches, cut at the same places, with other rows in them.

    Args:
        sides: (rows,), or (rows, 2) where a row has two sequences (source and target), each padded for itself.
        tokens: the budget; both sides count. A single row beyond it is a batch of its own.
        seed, epoch: the same pair gives the same order.
    Returns: arrays of row indices; each row stands in one of them.
    Source: batches "by approximate sequence length", Vaswani et al. 2017, arXiv:1706.03762, section 5.1; cut after
        sorting and then shuffled, as fairseq does, Ott et al. 2019, arXiv:1904.01038.
    """
    random = np.random.default_rng([seed, epoch])
    grains = -(-sides.reshape(len(sides), -1) // GRAIN) * GRAIN
    rows = np.lexsort((random.permutation(len(grains)), *grains.T))
    batches = np.split(rows, budget_cuts(grains[rows], tokens))
    return [batches[i] for i in random.permutation(len(batches))]


def budget_cuts(sides: np.ndarray, tokens: int) -> list[int]:
    """Where to cut rows that stand in order so that no part has more than `tokens` padded tokens.

    Args:
        sides: (rows, k) lengths; the k sequences of a row are padded each to the longest of its part.
    Returns: the rows at which a new part begins, without 0.
    """
    cuts: list[int] = []
    count, longest = 0, [0] * sides.shape[1]
    for row, lengths in enumerate(sides.tolist()):
        wider = [max(pair) for pair in zip(longest, lengths, strict=True)]
        if count and (count + 1) * sum(wider) > tokens:
            cuts.append(row)
            count, wider = 0, lengths
        count, longest = count + 1, wider
    return cuts


def evaluation_order(lengths: np.ndarray, batch_size: int) -> list[np.ndarray]:
    """Batches for a pass without gradients: sorted by length over all rows, the longest first.

    The longest batch comes first so that memory runs out at once or never.
    """
    rows = np.argsort(-lengths, kind="stable")
    return [rows[i : i + batch_size] for i in range(0, len(rows), batch_size)]


def evaluation_order_by_tokens(sides: np.ndarray, tokens: int) -> list[np.ndarray]:
    """The same where a batch is bounded by its padded tokens; `sides` as in `token_order`."""
    sides = sides.reshape(len(sides), -1)
    rows = np.lexsort(tuple(-sides.T))
    return list(np.split(rows, budget_cuts(sides[rows], tokens)))


def padding_share(lengths: np.ndarray, batches: Sequence[np.ndarray]) -> float:
    """Share of the padded matrices' cells that hold padding, in [0, 1)."""
    cells = sum(len(batch) * int(lengths[batch].max()) for batch in batches)
    return 1 - float(lengths.sum()) / cells if cells else 0.0
