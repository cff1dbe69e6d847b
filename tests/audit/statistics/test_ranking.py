"""Promises of AUROC: scikit-learn's value, a slow loop's interval, and one that exists at 1."""

from math import log, sqrt

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from audit.statistics import auroc
from tests.audit.statistics.coverage import share_covered

approx = pytest.approx


def scores(random, area, positives, negatives, decimals=None):
    """Normal scores whose true area is known: Phi(shift / sqrt 2)."""
    shift = norm.ppf(area) * sqrt(2)
    drawn = np.r_[random.normal(shift, 1, positives), random.normal(0, 1, negatives)]
    return (drawn if decimals is None else drawn.round(decimals)), np.arange(positives + negatives) < positives


@pytest.mark.parametrize("decimals", [None, 1, 0])
def test_the_area_is_scikit_learns_with_ties_too(decimals):
    s, positive = scores(np.random.default_rng(0), 0.8, 70, 230, decimals)
    assert auroc(s, positive).value == approx(roc_auc_score(positive, s), abs=1e-12)


@pytest.mark.parametrize("decimals", [None, 1])
def test_the_interval_is_that_of_delongs_slow_double_loop(decimals):
    s, positive = scores(np.random.default_rng(1), 0.75, 40, 60, decimals)
    wins = np.array([[(p > q) + 0.5 * (p == q) for q in s[~positive]] for p in s[positive]])
    area = wins.mean()
    error = sqrt(wins.mean(axis=1).var(ddof=1) / 40 + wins.mean(axis=0).var(ddof=1) / 60) / (area * (1 - area))
    ends = [1 / (1 + np.exp(-(log(area / (1 - area)) + z * error))) for z in (-1.959964, 1.959964)]
    assert auroc(s, positive).interval == approx(ends, abs=1e-6)


def test_a_perfect_ranking_still_leaves_doubt():
    estimate = auroc(np.arange(40.0), np.arange(40) >= 20)
    assert estimate.value == estimate.high == 1
    assert 0.75 < estimate.low < 0.95


def test_newcombes_limits_solve_his_equation():
    estimate = auroc(np.r_[3.0, 4, 5, 6, 7, 8], np.array([0, 0, 1, 0, 1, 1], dtype=bool))
    assert "Newcombe" in estimate.method
    for t in estimate.interval:
        variance = t * (1 - t) / 9 * (1 + (3 - 1) * ((1 - t) / (2 - t) + t / (1 + t)))
        assert abs(estimate.value - t) == approx(1.959964 * sqrt(variance), rel=1e-4)


def test_one_class_alone_is_absent():
    assert "both" in auroc(np.arange(5.0), np.ones(5, dtype=bool)).reason


def test_a_score_that_is_no_number_is_refused():
    with pytest.raises(ValueError, match="NaN"):
        auroc(np.array([1.0, np.nan]), np.array([True, False]))


@pytest.mark.parametrize(
    ("area", "positives", "negatives"), [(0.5, 100, 100), (0.76, 50, 50), (0.64, 60, 400), (0.985, 150, 150)]
)
def test_the_interval_covers_the_truth_in_93_to_97_percent(area, positives, negatives):
    assert 0.93 <= share_covered(lambda random: auroc(*scores(random, area, positives, negatives)), area) <= 0.97


def test_the_interval_near_1_on_few_rows_is_conservative_at_worst():
    assert share_covered(lambda random: auroc(*scores(random, 0.995, 40, 40)), 0.995) >= 0.93
