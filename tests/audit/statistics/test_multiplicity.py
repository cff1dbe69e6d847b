"""Promises of adjusted p-values: statsmodels' and scipy's numbers, and no more false alarms than named."""

import numpy as np
import pytest
from scipy.stats import false_discovery_control, norm
from statsmodels.stats.multitest import multipletests

from audit.statistics import benjamini_hochberg, holm, p_value_against_limit, proportion

approx = pytest.approx
# The 15 p-values of Benjamini and Hochberg 1995, section 3.2.
PUBLISHED = [
    0.0001,
    0.0004,
    0.0019,
    0.0095,
    0.0201,
    0.0278,
    0.0298,
    0.0344,
    0.0459,
    0.3240,
    0.4262,
    0.5719,
    0.6528,
    0.7590,
    1.0,
]


def test_the_published_example_rejects_four_by_benjamini_hochberg_and_three_by_holm():
    assert (benjamini_hochberg(PUBLISHED) <= 0.05).sum() == 4
    assert (holm(PUBLISHED) <= 0.05).sum() == 3


@pytest.mark.parametrize("seed", range(5))
def test_adjusted_values_are_statsmodels_and_scipys(seed):
    p = np.random.default_rng(seed).beta(0.5, 2, 30)
    p[3] = p[7]
    assert holm(p) == approx(multipletests(p, method="holm")[1])
    assert benjamini_hochberg(p) == approx(multipletests(p, method="fdr_bh")[1])
    assert benjamini_hochberg(p) == approx(false_discovery_control(p))


def test_nothing_to_adjust_gives_nothing():
    assert len(holm([])) == len(benjamini_hochberg([])) == 0


@pytest.mark.parametrize("adjust", [holm, benjamini_hochberg])
def test_a_p_value_that_cannot_be_is_refused(adjust):
    with pytest.raises(ValueError, match="between 0 and 1"):
        adjust([0.2, 1.2])


def test_holm_keeps_false_alarms_rare():
    p = np.random.default_rng(0).random((2000, 20))
    assert np.mean([holm(row).min() <= 0.05 for row in p]) <= 0.06
    assert np.mean(p.min(axis=1) <= 0.05) > 0.5  # unadjusted


@pytest.mark.parametrize(
    ("limit", "better", "expected"), [(0.1, "lower", 0.025), (0.4, "higher", 0.025), (0.2, "lower", 0.5)]
)
def test_the_p_value_at_an_end_of_the_interval_is_the_tail(limit, better, expected):
    assert p_value_against_limit(0.2, 0.1, 0.4, limit, better) == approx(expected)


def test_a_held_limit_is_no_alarm_and_a_broken_one_is():
    assert p_value_against_limit(0.05, 0.02, 0.09, 0.2, "lower") > 0.99
    assert p_value_against_limit(0.35, 0.3, 0.4, 0.2, "lower") < 1e-6
    assert p_value_against_limit(0.35, 0.3, 0.4, 0.9, "higher") < 1e-6
    assert p_value_against_limit(0.3, 0.3, 0.3, 0.2, "lower") == 0


def test_the_p_value_is_near_the_score_tests():
    rate = proportion(130, 1000)
    z = (0.13 - 0.1) / np.sqrt(0.1 * 0.9 / 1000)
    assert p_value_against_limit(0.13, rate.low, rate.high, 0.1, "lower") == approx(norm.sf(z), abs=1e-3)


def test_a_value_outside_its_interval_is_refused():
    with pytest.raises(ValueError, match="outside its interval"):
        p_value_against_limit(0.5, 0.1, 0.4, 0.2, "lower")
