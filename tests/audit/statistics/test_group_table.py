"""Promises of the group table: fairlearn's rates from one tensor, and resamples that follow the law of drawn rows."""

import numpy as np
import pytest
from fairlearn.metrics import MetricFrame, false_negative_rate, false_positive_rate, selection_rate, true_positive_rate
from sklearn.metrics import accuracy_score

from audit.statistics import group_counts, rates, resampled_counts

approx = pytest.approx


@pytest.fixture(scope="module")
def rows():
    random = np.random.default_rng(0)
    group, target = random.integers(0, 5, 800), random.integers(0, 2, 800)
    return group, target, (random.random(800) < 0.3 + 0.3 * target).astype(int)


def test_rates_are_fairlearns_to_the_last_digit(rows):
    group, target, predicted = rows
    frame = MetricFrame(
        metrics={
            "selection_rate": selection_rate,
            "true_positive_rate": true_positive_rate,
            "false_positive_rate": false_positive_rate,
            "false_negative_rate": false_negative_rate,
            "accuracy": accuracy_score,
        },
        y_true=target, y_pred=predicted, sensitive_features=group,
    )  # fmt: skip
    ours = rates(group_counts(*rows))
    for name, column in frame.by_group.items():
        assert ours[name] == approx(column.to_numpy(dtype=float), abs=1e-12)


def test_counts_are_those_of_a_slow_loop(rows):
    expected = np.zeros((7, 2, 2), dtype=int)
    for g, t, p in zip(*rows, strict=True):
        expected[g, t, p] += 1
    assert (group_counts(*rows, groups=7) == expected).all()
    assert np.isnan(rates(expected)["selection_rate"][5:]).all()


def test_a_third_label_or_a_group_outside_is_refused():
    with pytest.raises(ValueError, match="0 or 1"):
        group_counts(np.array([0, 1]), np.array([0, 2]), np.array([0, 1]))
    with pytest.raises(ValueError, match="0 to 1"):
        group_counts(np.array([0, 2]), np.array([0, 1]), np.array([0, 1]), groups=2)


def test_resamples_spread_as_rows_drawn_one_by_one_do(rows):
    counts, random = group_counts(*rows), np.random.default_rng(1)
    fast = rates(resampled_counts(counts, random, resamples=3000))
    slow = []
    for _ in range(3000):
        drawn = random.integers(0, 800, 800)
        slow.append(rates(group_counts(*(column[drawn] for column in rows), groups=5)))
    for name, values in fast.items():
        theirs = np.array([s[name] for s in slow])
        assert values.mean(axis=0) == approx(theirs.mean(axis=0), abs=0.005)
        assert values.std(axis=0) == approx(theirs.std(axis=0), rel=0.08)


def test_no_row_is_lost_in_a_resample(rows):
    drawn = resampled_counts(group_counts(*rows), np.random.default_rng(0), resamples=130)
    assert drawn.shape == (130, 5, 2, 2)
    assert (drawn.sum(axis=(1, 2, 3)) == 800).all()
