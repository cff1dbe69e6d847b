"""Which things belong together, when all that is known are pairs: connected components, grown or computed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


class Clusters:
    """Things that are joined two by two.

    Attributes:
        labels: (things,) int64; equal for things of one cluster.
    """

    def __init__(self, things: int) -> None:
        self.labels = np.arange(things)
        self._members: dict[int, list[int]] = {}  # of clusters of two and more

    def join(self, a: int, b: int) -> None:
        """Make one cluster of those of a and b; the smaller takes the larger one's label."""
        one, other = int(self.labels[a]), int(self.labels[b])
        if one == other:
            return
        smaller, larger = sorted((one, other), key=lambda label: len(self._members.get(label, "1")))
        moved = self._members.pop(smaller, [smaller])
        self._members.setdefault(larger, [larger]).extend(moved)
        self.labels[moved] = larger

    def apart(self, thing: int, others: np.ndarray) -> np.ndarray:
        """Which of the others stand in another cluster: (others,) bool."""
        return self.labels[others] != self.labels[thing]


def combined(labelings: Sequence[np.ndarray]) -> np.ndarray:
    """Rows that share a label in any of the labelings belong together, and so on from row to row.

    Args:
        labelings: each (rows,) of any labels.
    Returns: (rows,) int, numbers of clusters.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    rows = len(labelings[0])
    if len(labelings) == 1:
        return np.unique(labelings[0], return_inverse=True)[1]
    starts, nodes = [], rows
    for labels in labelings:
        codes = np.unique(labels, return_inverse=True)[1]
        starts.append(codes + nodes)  # one node for each label, joined to its rows
        nodes += int(codes.max(initial=-1)) + 1
    ends = np.concatenate(starts)
    edges = (np.ones(len(ends), bool), (np.tile(np.arange(rows), len(labelings)), ends))
    components: np.ndarray = connected_components(coo_array(edges, shape=(nodes, nodes)), directed=False)[1]
    return components[:rows]


def sizes(labels: np.ndarray) -> np.ndarray:
    """How many things each cluster has, largest first."""
    return np.sort(np.unique(labels, return_counts=True)[1])[::-1]
