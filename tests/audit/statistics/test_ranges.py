"""Promises of a largest-minus-smallest: it covers the truth where bootstraps do not, and is narrower than max-T."""

import numpy as np
import pytest
from fairlearn.metrics import demographic_parity_difference, demographic_parity_ratio, equalized_odds_difference

from audit.statistics import (
    difference_of_proportions,
    group_counts,
    largest_minus_smallest,
    largest_of_ranges,
    rate_parts,
    smallest_over_largest,
)
from benchmarks.coverage import SCENES, three_intervals
from tests.audit.statistics.coverage import share_covered

approx = pytest.approx


@pytest.fixture(scope="module")
def rows():
    """Group, target, predicted of 3,000 rows of 6 groups; synthetic."""
    random = np.random.default_rng(0)
    group, target = random.integers(0, 6, 3000), random.integers(0, 2, 3000)
    return group, target, (random.random(3000) < 0.2 + 0.4 * target + 0.05 * group).astype(int)


def test_values_are_fairlearns(rows):
    group, target, predicted = rows
    parts, random = rate_parts(group_counts(*rows)), np.random.default_rng(0)
    features = {"y_true": target, "y_pred": predicted, "sensitive_features": group}
    selected = parts["selection_rate"]
    assert largest_minus_smallest(*selected, random).value == approx(demographic_parity_difference(**features))
    assert smallest_over_largest(*selected, random).value == approx(demographic_parity_ratio(**features))
    odds = largest_of_ranges([parts["true_positive_rate"], parts["false_positive_rate"]], random)
    assert odds.value == approx(equalized_odds_difference(**features))
    assert odds.n == 3000


def test_two_groups_far_apart_have_nearly_newcombes_interval():
    ours = largest_minus_smallest([200, 350], [500, 500], np.random.default_rng(0))
    assert ours.interval == approx(difference_of_proportions(350, 500, 200, 500).interval, abs=0.005)


def test_a_group_of_which_nobody_is_selected_is_found():
    gap = largest_minus_smallest([0, 40, 45], [100, 100, 100], np.random.default_rng(0))
    assert gap.low > 0.2
    ratio = smallest_over_largest([0, 40, 45], [100, 100, 100], np.random.default_rng(0))
    assert ratio.value == ratio.low == 0
    assert ratio.high < 0.3


def test_groups_that_are_all_selected_still_leave_doubt():
    gap = largest_minus_smallest([30, 30, 30], [30, 30, 30], np.random.default_rng(0))
    assert gap.value == gap.low == 0
    assert gap.high > 0.05


def test_an_empty_group_is_left_out_and_one_group_alone_is_absent():
    random = np.random.default_rng(0)
    assert largest_minus_smallest([5, 0, 9], [10, 0, 10], random).value == approx(0.4)
    assert largest_minus_smallest([5, 0], [10, 0], random).value is None
    assert largest_of_ranges([([5], [10]), ([], [])], random).value is None


def test_a_ratio_to_nothing_is_absent():
    assert "does not exist" in smallest_over_largest([0, 0], [10, 20], np.random.default_rng(0)).reason


def test_the_same_seed_gives_the_same_interval():
    first, again = (largest_minus_smallest([20, 40, 70], [100, 120, 130], np.random.default_rng(1)) for _ in "ab")
    assert first == again


def test_counts_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match="cannot be"):
        largest_minus_smallest([5, 11], [10, 10], np.random.default_rng(0))


def gap_of(rate, n):
    rate, n = np.asarray(rate), np.broadcast_to(n, len(rate))
    return lambda random: largest_minus_smallest(random.binomial(n, rate), n, random)


SMALL_SCENES = {
    "2 equal": ([0.3] * 2, 500),
    "2, gap 0.1": ([0.3, 0.4], 500),
    "5 equal": ([0.3] * 5, 500),
    "5 spread": (np.linspace(0.2, 0.4, 5), 500),
    "5 equal groups of 30": ([0.3] * 5, 30),
    "near 0": ([0.01, 0.02, 0.02, 0.03, 0.06], 200),
    "near 1": ([0.99, 0.98, 0.98, 0.97, 0.94], 200),
    "unequal sizes, small ones low": (np.linspace(0.2, 0.4, 6), [30, 60, 200, 500, 1000, 3000]),
    "unequal sizes, small ones high": (np.linspace(0.4, 0.2, 6), [30, 60, 200, 500, 1000, 3000]),
}


@pytest.mark.parametrize("name", SMALL_SCENES)
def test_a_range_covers_the_truth_in_at_least_93_percent(name):
    rate, n = SMALL_SCENES[name]
    data_sets = 1000 if "unequal" in name else 2000
    assert share_covered(gap_of(rate, n), float(np.ptp(rate)), data_sets=data_sets) >= 0.93


LARGE_SCENES = {
    "20 equal": ([0.3] * 20, 500),
    "20, one lower by 0.1": ([0.3] * 19 + [0.2], 500),
    "20 spread": (np.linspace(0.1, 0.5, 20), 500),
    "20 in two halves": ([0.2] * 10 + [0.5] * 10, 500),
    "20 spread, groups of 30": (np.linspace(0.1, 0.5, 20), 30),
    "20 equal near 0, groups of 100": ([0.02] * 20, 100),
}


@pytest.mark.parametrize("name", LARGE_SCENES)
def test_a_range_over_20_groups_covers_the_truth_in_at_least_93_percent(name):
    rate, n = LARGE_SCENES[name]
    assert share_covered(gap_of(rate, n), float(np.ptp(rate)), data_sets=300) >= 0.93


@pytest.mark.parametrize("name", ["20_equal", "5_equal", "20_spread_0.1_to_0.5", "5_of_30_rows"])
def test_a_range_is_narrower_than_max_t(name):
    rate, rows = SCENES[name]
    random = np.random.default_rng(0)
    widths = np.diff([three_intervals(np.asarray(rate), rows, random, 300) for _ in range(60)], axis=2)[..., 0]
    _, max_t, ours = widths.mean(axis=0)
    assert ours < 0.88 * max_t


def test_the_percentile_bootstrap_of_a_range_would_be_caught():
    rate, rows = SCENES["20_equal"]
    random = np.random.default_rng(0)
    lows = [three_intervals(np.asarray(rate), rows, random, 200)[0][0] for _ in range(50)]
    assert min(lows) > 0  # the truth


RATIO_SCENES = {
    "2 equal": ([0.3] * 2, 500),
    "5 equal": ([0.3] * 5, 500),
    "5 spread": (np.linspace(0.2, 0.4, 5), 500),
    "near 0": ([0.02, 0.04, 0.05], 300),
    "one small low group": ([0.3] * 4 + [0.15], [500] * 4 + [60]),
}


@pytest.mark.parametrize("name", RATIO_SCENES)
def test_a_smallest_over_largest_covers_the_truth_in_at_least_93_percent(name):
    rate, n = RATIO_SCENES[name]
    n = np.broadcast_to(n, len(rate))
    truth = min(rate) / max(rate)
    measure = lambda random: smallest_over_largest(random.binomial(n, rate), n, random)  # noqa: E731
    assert share_covered(measure, truth, data_sets=1000) >= 0.93


@pytest.mark.parametrize("false_positive_rates", [[0.3] * 4, [0.2, 0.3, 0.3, 0.32]])
def test_equalized_odds_covers_the_truth_in_at_least_93_percent(false_positive_rates):
    true_positive_rates = [0.7, 0.72, 0.75, 0.78]
    n = np.full(4, 250)

    def measure(random):
        families = [(random.binomial(n, rate), n) for rate in (true_positive_rates, false_positive_rates)]
        return largest_of_ranges(families, random)

    truth = max(0.08, float(np.ptp(false_positive_rates)))
    assert share_covered(measure, truth, data_sets=1000) >= 0.93
