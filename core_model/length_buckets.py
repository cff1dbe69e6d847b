"""Which rows share an inference batch: rows of like length, so that little or nothing is padded.

Lengths are cut into buckets so that the whole pass costs least, where a batch costs its padded tokens and a little
more for being a batch. With many rows nearly every length gets a bucket of its own, which needs no padding and no
attention mask; with few rows neighbouring lengths share one. The best cut is found by dynamic programming, as in
optimal one-dimensional segmentation (Bellman 1961): exact, and quick because there are few distinct lengths.

The plan follows from the lengths alone: the same rows give the same batches, whatever else is known of them.
"""

from __future__ import annotations

import numpy as np

BATCH_COST = 64  # tokens: what a batch costs beyond its tokens, fitted on a 22.7 M encoder on one CPU thread


def plan_batches(
    lengths: np.ndarray, token_budget: int, *, padding: bool = True, batch_cost: int = BATCH_COST
) -> list[np.ndarray]:
    """Batches for a pass without gradients, the most expensive first, so that memory runs out at once or never.

    Args:
        lengths: (rows,) tokens of each row, 1 or more.
        token_budget: tokens in a batch, padding included; a longer row gets a batch of its own.
        padding: False where a model cannot be padded: then only rows of equal length share a batch.
        batch_cost: what a batch costs beyond its tokens, in tokens.
    Returns: arrays of row indices; every row stands in exactly one. Within a batch rows keep their order.
    """
    lengths = np.asarray(lengths, dtype=np.int64)
    if not len(lengths):
        return []
    distinct, counts = np.unique(lengths, return_counts=True)
    edges = _cheapest_edges(distinct, counts, token_budget, batch_cost) if padding else np.arange(1, len(distinct) + 1)
    rows = np.argsort(lengths, kind="stable")
    ends = np.cumsum(counts)[edges - 1]  # bucket k holds rows[ends[k - 1]:ends[k]]
    batches = []
    for bucket, longest in zip(np.split(rows, ends[:-1]), distinct[edges - 1], strict=True):
        parts = _batches_of(len(bucket), int(longest), token_budget)
        batches += [np.sort(part) for part in np.array_split(bucket, parts)]
    batches.sort(key=lambda batch: -len(batch) * int(lengths[batch].max()))  # stable: ties stay in order of length
    return batches


def padded_tokens(lengths: np.ndarray, batches: list[np.ndarray]) -> int:
    """Tokens that the model sees, padding included."""
    return sum(len(batch) * int(lengths[batch].max()) for batch in batches)


def _batches_of(rows: int | np.ndarray, longest: int, token_budget: int) -> int | np.ndarray:
    """How many batches of equal size a bucket needs; shapes follow `rows`."""
    return -(-rows // max(1, token_budget // longest))


def _cheapest_edges(distinct: np.ndarray, counts: np.ndarray, token_budget: int, batch_cost: int) -> np.ndarray:
    """Where buckets end so that their cost is least: indices into `distinct`, exclusive, ascending.

    Args:
        distinct: (lengths,) ascending; counts: (lengths,) rows of each.
    """
    before = np.concatenate([[0], np.cumsum(counts)])  # rows shorter than distinct[i]
    best = np.zeros(len(distinct) + 1)  # least cost of the first i lengths
    cut = np.zeros(len(distinct) + 1, dtype=np.int64)  # where the last bucket of that solution begins
    for end in range(1, len(distinct) + 1):
        longest = int(distinct[end - 1])
        rows = before[end] - before[:end]
        costs = best[:end] + rows * longest + batch_cost * _batches_of(rows, longest, token_budget)
        cut[end] = len(costs) - 1 - int(np.argmin(costs[::-1]))  # of equal costs, the bucket with the fewest lengths
        best[end] = costs[cut[end]]
    edges = [len(distinct)]
    while cut[edges[-1]] > 0:
        edges.append(int(cut[edges[-1]]))
    return np.array(edges[::-1])
