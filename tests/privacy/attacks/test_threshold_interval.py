"""The interval of a threshold covers the true one, and says so where rows are too few."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from privacy.attacks.scores import threshold_interval


@pytest.mark.parametrize("fpr", [0.01, 0.1])
def test_it_covers_the_true_quantile_at_least_as_often_as_it_promises(fpr: float):
    random, truth = np.random.default_rng(0), norm.isf(fpr)
    covered = []
    for _ in range(2000):
        low, high = threshold_interval(random.normal(size=600), fpr, confidence=0.95)
        covered.append(low <= truth <= high)
    assert np.mean(covered) >= 0.945  # within simulation error of 0.95


def test_few_rows_bound_a_rare_threshold_from_below_alone():
    low, high = threshold_interval(np.arange(100.0), 0.01, confidence=0.95)
    assert np.isfinite(low) and high == np.inf
    assert threshold_interval(np.arange(3.0), 0.5, confidence=0.95) == (-np.inf, np.inf)
