"""Exposure is the paper's, by a slow count; a model that never saw canaries exposes as much as ranks by lot do."""

from __future__ import annotations

from math import log2

import numpy as np
from pytest import approx

from privacy.attacks.exposure import expected_exposure, exposures


def test_exposure_is_the_bits_that_a_rank_saves():
    losses = np.array([0.5, 3.0, 1.0, 2.0, 4.0, 2.0])
    included = np.array([True, True, False, False, False, False])
    # Below 0.5 stands nobody: rank 1 of 5. Below 3.0 stand three: rank 4 of 5.
    assert exposures(losses, included) == approx([log2(5) - log2(1), log2(5) - log2(4)])


def test_equal_losses_expose_nobody_more_than_the_middle():
    assert exposures(np.ones(9), np.arange(9) < 1) == approx([log2(9) - log2(5)])


def test_ranks_by_lot_give_the_expected_exposure():
    random = np.random.default_rng(0)
    means = [exposures(random.normal(size=64), np.arange(64) < 32).mean() for _ in range(500)]
    assert np.mean(means) == approx(expected_exposure(32), abs=0.02)
    assert expected_exposure(100_000) == approx(1 / np.log(2), abs=1e-3)
