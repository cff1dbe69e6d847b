"""Canary exposure: by how many bits does training lower a canary's rank among canaries that were held back?

Source: Carlini et al. 2019, arXiv:1802.08232, definition 5, with held-out canaries of the same make as the space.
"""

from __future__ import annotations

import numpy as np


def exposures(losses: np.ndarray, included: np.ndarray) -> np.ndarray:
    """Exposure of each included canary in bits, (included canaries,): log2 |R| - log2 rank.

    R is the canary and all that were held back; rank 1 is the lowest loss of them. Ties count half, so that a model
    that cannot tell canaries apart exposes none. The most that h held-out canaries can show is log2(h + 1) bits.

    Args:
        losses: (canaries,). included: (canaries,) bool, with canaries on both sides.
    """
    held_out = np.sort(losses[~included])
    chosen = losses[included]
    below = np.searchsorted(held_out, chosen, side="left")
    ties = np.searchsorted(held_out, chosen, side="right") - below
    return np.asarray(np.log2(len(held_out) + 1) - np.log2(1 + below + ties / 2))


def expected_exposure(held_out: int) -> float:
    """Mean exposure of a canary that was never trained on: every rank is equally probable; about 1.44 bits for many."""
    ranks = np.arange(1, held_out + 2)
    return float(np.log2(held_out + 1) - np.log2(ranks).mean())
