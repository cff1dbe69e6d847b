"""Who shares secrets with whom: everybody with everybody, or in a large cohort each with its neighbours on a ring.

Source of the ring: Bell et al. 2020, doi:10.1145/3372297.3417885, section 3 (Harary graph over nodes in random order).
"""

from __future__ import annotations

import random
from collections.abc import Sequence


def neighbourhoods(nodes: Sequence[int], neighbours: int) -> dict[int, list[int]]:
    """Each node's neighbours, itself among them, in one order for all.

    Args:
        nodes: of the round. neighbours: of each node, an even number; everybody where it covers the cohort.
    """
    if neighbours >= len(nodes) - 1:
        return {node: sorted(nodes) for node in nodes}
    ring = list(nodes)
    random.SystemRandom().shuffle(ring)
    half = neighbours // 2
    return {
        node: sorted(ring[(place + offset) % len(ring)] for offset in range(-half, half + 1))
        for place, node in enumerate(ring)
    }


def chance_of_exposure(cohort: int, shares: int, threshold: int, colluding: int) -> float:
    """Bound on the chance that some honest client has `threshold` colluding neighbours in a random graph.

    Args:
        shares: of each secret, the client's own among them.
    Returns: at most 1; the union bound, over the honest clients, of the hypergeometric tail.
    """
    from scipy.stats import hypergeom

    tail = hypergeom.sf(threshold - 1, cohort - 1, colluding, shares - 1)
    return float(min(1.0, (cohort - colluding) * tail))
