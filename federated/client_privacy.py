"""What one client may move a round by: its update cut to a public length, and noise on the sum.

mean = (sum_k clip(u_k, C) + N(0, (z C)^2 I)) / m,   clip(u, C) = u min(1, C / |u|)

m, the number of clients that are expected, is public and fixed: dividing by how many answered would let a client move
the others' weight by staying away. For the same reason every client weighs the same, whatever rows it has.

The noise is drawn by numpy in double precision and is no defence against an adversary who reads the last bits of a
floating-point number (Mironov 2012).
Source: McMahan et al. 2018, arXiv:1710.06963, algorithm 1 (flat clipping, fixed-denominator estimator).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import isfinite, sqrt

import numpy as np

from federated.arrays import Update, norm

ROUNDING = 1e-6  # float32 may round a clipped update up by this share of its length, at most


def clip_update(update: Mapping[str, np.ndarray], clipping_norm: float) -> tuple[Update, float]:
    """Cut an update to a length.

    Args:
        update: of one client, all arrays together.
        clipping_norm: L2; above 0.
    Returns: the update, float32, shortened where it was longer; and its length now, at most `clipping_norm`.
    Raises: ValueError when a number in it is not finite: nothing bounds what it would move.
    """
    length = norm(update)
    if not isfinite(length):
        raise ValueError("the update holds a number that is not finite")
    if length <= clipping_norm:
        return dict(update), length
    factor = np.float32(clipping_norm / length * (1 - ROUNDING))
    clipped = {name: np.asarray(array * factor, dtype=np.float32) for name, array in update.items()}
    return clipped, norm(clipped)


def private_mean(
    updates: Iterable[Mapping[str, np.ndarray]], *, like: Mapping[str, np.ndarray], clipping_norm: float,
    noise_multiplier: float, expected_clients: float, generator: np.random.Generator,
) -> Update:  # fmt: skip
    """The noisy mean of a round; every update is clipped once more, so that it rests on no client's word.

    Args:
        updates: of the clients that answered, one held at a time; none is noise alone.
        like: names and shapes of the model's shared parameters.
        noise_multiplier: standard deviation of the noise on the sum, over the clipping norm.
        expected_clients: the public divisor.
    Returns: the step of the global model, float32.
    """
    deviation = noise_multiplier * clipping_norm
    totals = {name: generator.normal(0.0, deviation, array.shape) for name, array in like.items()}
    add_clipped(totals, updates, clipping_norm=clipping_norm)
    return {name: (total / expected_clients).astype(np.float32) for name, total in totals.items()}


def add_clipped(
    totals: Mapping[str, np.ndarray], updates: Iterable[Mapping[str, np.ndarray]], *, clipping_norm: float
) -> None:
    """Add clipped updates to a sum, in place.

    Args:
        totals: float64, by name.
    """
    for update in updates:
        clipped, _ = clip_update(update, clipping_norm)
        for name, total in totals.items():
            np.add(total, clipped[name], out=total)


def noise_share(
    update: Mapping[str, np.ndarray], *, clipping_norm: float, noise_multiplier: float, shares: int,
    generator: np.random.Generator,
) -> Update:  # fmt: skip
    """A clipped update and this client's share of the noise, N(0, (z C)^2 / shares) in each coordinate.

    The sum over exactly `shares` clients has the noise of `private_mean`; over fewer it has too little and must not be
    released, over n more it has (n / shares) times the variance: more than was promised, never less.

    Args:
        update: clipped to `clipping_norm`.
        shares: clients whose shares make the noise whole: the fewest whose sum is ever released.
    """
    deviation = noise_multiplier * clipping_norm / sqrt(shares)
    return {
        name: (array + generator.normal(0.0, deviation, array.shape)).astype(np.float32)
        for name, array in update.items()
    }


def noise_against(noise_multiplier: float, *, shares: int, colluding: int) -> float:
    """The noise multiplier that is left against clients who tell each other, or the server, their own shares.

    Args:
        colluding: of the `shares` clients in the smallest sum that is released.
    Returns: z sqrt((shares - colluding) / shares); 0 where nobody else is left.
    Source: Kairouz, Liu and Steinke 2021, arXiv:2102.06387, section 1 (distributed noise; there in integers).
    """
    return noise_multiplier * sqrt(max(shares - colluding, 0) / shares)
