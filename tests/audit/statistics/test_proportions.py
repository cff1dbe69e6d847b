"""Promises of rates, gaps and ratios: they match published examples and other libraries, and cover the truth."""

import numpy as np
import pytest
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

from audit.statistics import (
    difference_of_proportions,
    paired_difference_of_proportions,
    proportion,
    ratio_of_proportions,
)
from tests.audit.statistics.coverage import share_covered

approx = pytest.approx


@pytest.mark.parametrize("successes,n", [(0, 20), (1, 20), (20, 20), (56, 70), (3, 1000), (999, 1000)])
@pytest.mark.parametrize(("ours", "theirs"), [("wilson", "wilson"), ("clopper-pearson", "beta")])
@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.99])
def test_a_rate_has_the_interval_that_statsmodels_gives(successes, n, ours, theirs, confidence):
    estimate = proportion(successes, n, confidence=confidence, method=ours)
    expected = proportion_confint(successes, n, alpha=1 - confidence, method=theirs)
    assert estimate.interval == approx(expected, abs=1e-12)
    assert (estimate.value, estimate.n, estimate.confidence) == (successes / n, n, confidence)


def test_a_rate_of_no_rows_is_absent_and_says_why():
    estimate = proportion(0, 0)
    assert estimate.value is None
    assert "no rows" in estimate.reason


@pytest.mark.parametrize("bad", [(-1, 5), (6, 5)])
def test_counts_that_cannot_be_are_refused(bad):
    with pytest.raises(ValueError, match=f"{bad[0]} successes of {bad[1]}"):
        proportion(*bad)


def test_an_unknown_method_is_refused():
    with pytest.raises(ValueError, match="wald"):
        proportion(1, 2, method="wald")


# Newcombe 1998, Statistics in Medicine 17:873, Table II, method 10.
@pytest.mark.parametrize(
    ("counts", "low", "high"),
    [
        ((56, 70, 48, 80), 0.0524, 0.3339),
        ((9, 10, 3, 10), 0.1705, 0.8090),
        ((10, 10, 0, 20), 0.6791, 1.0),
        ((10, 10, 0, 10), 0.6075, 1.0),
    ],
)
def test_a_gap_matches_newcombes_published_examples(counts, low, high):
    assert difference_of_proportions(*counts).interval == approx((low, high), abs=1e-4)


@pytest.mark.parametrize("counts", [(0, 60, 50, 100), (5, 9, 4, 400), (60, 60, 40, 40)])
def test_a_gap_matches_statsmodels(counts):
    expected = confint_proportions_2indep(*counts, method="newcomb", compare="diff")
    assert difference_of_proportions(*counts).interval == approx(expected, abs=1e-9)


def test_a_gap_has_an_interval_where_nobody_is_selected():
    estimate = difference_of_proportions(0, 60, 50, 100)
    assert estimate.high < 0
    assert estimate.n == 160


def test_a_paired_gap_matches_newcombes_published_example():
    # Newcombe 1998, Statistics in Medicine 17:2635, method 10, cells 36, 12, 2, 0.
    estimate = paired_difference_of_proportions(36, 12, 2, 0)
    assert estimate.value == approx(0.2)
    assert estimate.interval == approx((0.0569, 0.3404), abs=1e-4)


def test_a_paired_gap_has_an_interval_where_both_agree_on_every_row():
    low, high = paired_difference_of_proportions(50, 0, 0, 50).interval
    assert low < 0 < high


def test_pairing_sharpens_a_gap_between_models_that_agree():
    paired = paired_difference_of_proportions(380, 40, 20, 60)
    unpaired = difference_of_proportions(420, 500, 400, 500)
    assert paired.high - paired.low < 0.8 * (unpaired.high - unpaired.low)


@pytest.mark.parametrize("counts", [(30, 100, 60, 120), (400, 1000, 380, 900), (90, 100, 80, 100)])
def test_a_ratio_lies_near_the_score_interval_of_statsmodels(counts):
    expected = confint_proportions_2indep(*counts, method="score", compare="ratio", correction=False)
    assert ratio_of_proportions(*counts).interval == approx(expected, rel=0.02)


def test_a_ratio_exists_where_the_upper_rate_is_0_and_where_both_are_1():
    nobody = ratio_of_proportions(0, 60, 50, 100)
    assert nobody.value == nobody.low == 0
    assert 0 < nobody.high < 0.3
    everybody = ratio_of_proportions(60, 60, 100, 100)
    assert everybody.low < 1 < everybody.high


def test_a_ratio_to_nothing_is_absent():
    assert "0 of 50" in ratio_of_proportions(3, 50, 0, 50).reason


RATES = [(0.5, 0.5, 100), (0.02, 0.06, 400), (0.97, 0.93, 300), (0.3, 0.35, 200)]


@pytest.mark.parametrize(("rate", "n"), [(0.5, 100), (0.3, 50), (0.02, 500), (0.98, 500), (0.005, 2000), (0.995, 2000)])
def test_a_rates_interval_covers_the_truth_in_93_to_97_percent(rate, n):
    assert 0.93 <= share_covered(lambda random: proportion(int(random.binomial(n, rate)), n), rate) <= 0.97


@pytest.mark.parametrize(("rate", "n"), [(0.5, 30), (0.02, 100), (0.995, 200)])
def test_the_exact_interval_never_covers_less_than_it_says(rate, n):
    covered = share_covered(lambda random: proportion(int(random.binomial(n, rate)), n, method="clopper-pearson"), rate)
    assert covered >= 0.94  # 0.95 less the noise of 2,000 data sets


@pytest.mark.parametrize(("a", "b", "n"), RATES)
def test_a_gaps_interval_covers_the_truth_in_93_to_97_percent(a, b, n):
    def measure(random):
        return difference_of_proportions(int(random.binomial(n, a)), n, int(random.binomial(2 * n, b)), 2 * n)

    assert 0.93 <= share_covered(measure, a - b) <= 0.97


@pytest.mark.parametrize(("a", "b", "n"), RATES)
def test_a_ratios_interval_covers_the_truth_in_93_to_97_percent(a, b, n):
    def measure(random):
        return ratio_of_proportions(int(random.binomial(n, a)), n, int(random.binomial(2 * n, b)), 2 * n)

    assert 0.93 <= share_covered(measure, a / b) <= 0.97


@pytest.mark.parametrize("cells", [(0.7, 0.1, 0.06, 0.14), (0.93, 0.03, 0.02, 0.02), (0.02, 0.03, 0.05, 0.9)])
def test_a_paired_gaps_interval_covers_the_truth_in_93_to_97_percent(cells):
    def measure(random):
        return paired_difference_of_proportions(*map(int, random.multinomial(500, cells)))

    assert 0.93 <= share_covered(measure, cells[1] - cells[2]) <= 0.97


def test_a_method_without_room_for_the_edge_would_be_caught():
    """The Wald interval is the planted fault: near 0 it misses far more often than it says."""
    n, rate = 200, 0.01

    def wald(random):
        x = int(random.binomial(n, rate))
        return 1.96 * np.sqrt(x / n * (1 - x / n) / n) >= abs(x / n - rate)

    assert np.mean([wald(child) for child in np.random.default_rng(0).spawn(2000)]) < 0.9
