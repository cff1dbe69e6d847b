"""Promises of paired comparison: the same resamples serve both models, so what they share cancels."""

import numpy as np
import pytest

from audit.statistics import (
    bootstrap_table,
    paired_bootstrap_rows,
    paired_bootstrap_table,
    paired_difference_of_proportions,
)
from tests.audit.statistics.coverage import share_covered

approx = pytest.approx


def right_a(tables):  # cells: both right, only A, only B, neither
    return (tables[:, 0] + tables[:, 1]) / tables.sum(axis=1)


def right_b(tables):
    return (tables[:, 0] + tables[:, 2]) / tables.sum(axis=1)


def test_a_difference_in_accuracy_is_near_newcombes_paired_interval():
    cells = [380, 45, 20, 55]
    ours = paired_bootstrap_table(cells, right_a, right_b, np.random.default_rng(0), resamples=10_000)
    newcombe = paired_difference_of_proportions(*cells)
    assert ours.value == approx(newcombe.value)
    assert ours.interval == approx(newcombe.interval, abs=0.004)


def test_what_both_share_cancels():
    cells = [380, 45, 20, 55]
    both = paired_bootstrap_table(cells, right_a, right_b, np.random.default_rng(0))
    alone = bootstrap_table(cells, right_a, np.random.default_rng(0))
    assert both.high - both.low < 0.9 * np.sqrt(2) * (alone.high - alone.low)


def test_models_that_agree_on_every_row_still_leave_doubt():
    low, high = paired_bootstrap_table([80, 0, 0, 20], right_a, right_b, np.random.default_rng(0)).interval
    assert -0.1 < low < 0 < high < 0.1


@pytest.mark.parametrize("cells", [(0.7, 0.1, 0.06, 0.14), (0.94, 0.03, 0.02, 0.01)])
def test_a_paired_difference_covers_the_truth_in_93_to_97_percent(cells):
    def measure(random):
        return paired_bootstrap_table(random.multinomial(500, cells), right_a, right_b, random, resamples=400)

    assert 0.93 <= share_covered(measure, cells[1] - cells[2]) <= 0.97


def test_paired_rows_cover_the_truth_in_93_to_97_percent():
    def measure(random):
        hardness = random.exponential(1, 100)  # a hard row is hard for both
        a, b = hardness + random.exponential(0.3, 100), hardness + random.exponential(0.2, 100)
        return paired_bootstrap_rows(a, b, lambda m: m[:, 0], random, resamples=400)

    assert 0.93 <= share_covered(measure, 0.1) <= 0.97


def test_rows_of_different_data_are_refused():
    with pytest.raises(ValueError, match="same rows"):
        paired_bootstrap_rows(np.ones(5), np.ones(6), lambda m: m[:, 0], np.random.default_rng(0))


def test_rows_without_a_difference_have_no_interval_and_say_why():
    values = np.random.default_rng(0).random(50)
    estimate = paired_bootstrap_rows(values, values, lambda m: m[:, 0], np.random.default_rng(0))
    assert estimate.value == 0
    assert "no spread" in estimate.reason
