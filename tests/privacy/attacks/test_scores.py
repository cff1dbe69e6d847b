"""Attack statistics equal slow loops and scikit-learn, give chance on noise, and do not invent successes in ties."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pytest import approx
from sklearn.metrics import roc_auc_score, roc_curve

from core_model.errors import OptionUnfit
from privacy.attacks.scores import auc, found_above, roc, tpr_at_fpr

SCORES = st.lists(st.integers(-3, 3) | st.floats(-10, 10), min_size=1, max_size=30)  # integers make ties


def drawn(shift: float, m: int = 300, k: int = 1000, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    return random.normal(shift, 1, m), random.normal(0, 1, k)


@given(SCORES, SCORES)
@settings(max_examples=60, deadline=None)
def test_auc_counts_every_pair_and_half_of_each_tie(members, others):
    slow = np.mean([1.0 if m > o else 0.5 if m == o else 0.0 for m in members for o in others])
    assert auc(np.array(members), np.array(others)) == approx(slow)


@given(SCORES, SCORES)
@settings(max_examples=60, deadline=None)
def test_auc_and_curve_are_scikit_learns(members, others):
    truth, scores = [1] * len(members) + [0] * len(others), np.array([*members, *others], dtype=float)
    assert auc(np.array(members), np.array(others)) == approx(roc_auc_score(truth, scores))
    curve = roc(np.array(members), np.array(others))
    fpr, tpr, thresholds = roc_curve(truth, scores, drop_intermediate=False)
    assert curve.false_positives / curve.others == approx(fpr)
    assert curve.true_positives / curve.members == approx(tpr)
    assert curve.thresholds == approx(thresholds)


@given(SCORES, SCORES, st.sampled_from([0.05, 0.1, 0.3, 0.5, 0.9]))
@settings(max_examples=100, deadline=None)
def test_tpr_at_fpr_is_the_best_threshold_that_accuses_few_enough(members, others, fpr):
    point = tpr_at_fpr(np.array(members), np.array(others), fpr)
    if point.found is None:
        assert len(others) * fpr < 1
        return
    slow = 0
    for threshold in [-np.inf, *others, *members, np.inf]:
        if sum(o > threshold for o in others) <= len(others) * fpr + 1e-9:
            slow = max(slow, sum(m > threshold for m in members))
    # Between two scores of others lies no better threshold than the lower of them.
    assert point.found == slow
    assert point.accused <= len(others) * fpr + 1e-9


def test_null_scores_give_chance():
    members, others = drawn(0.0, m=20_000, k=20_000)
    assert auc(members, others) == approx(0.5, abs=0.01)
    assert tpr_at_fpr(members, others, 0.01).rate == approx(0.01, abs=0.003)
    assert tpr_at_fpr(members, others, 0.001).rate == approx(0.001, abs=0.001)


def test_the_threshold_from_the_same_rows_finds_as_many_by_chance_as_the_docstring_says():
    rates = [tpr_at_fpr(*drawn(0.0, m=50, k=100, seed=seed), 0.01).rate for seed in range(2000)]
    assert np.mean(rates) == approx((100 * 0.01 + 1) / 101, rel=0.1)


def test_a_leak_is_found_where_averages_hide_it():
    """Nine rows in a thousand are memorized; the AUC sees nothing, the low false-positive rate sees all nine."""
    random = np.random.default_rng(0)
    members, others = random.normal(size=1000), random.normal(size=10_000)
    members[:9] = 100.0
    assert auc(members, others) == approx(0.5, abs=0.03)
    assert tpr_at_fpr(members, others, 0.001).found >= 9
    assert tpr_at_fpr(random.normal(size=1000), others, 0.001).found < 9


def test_rows_that_all_score_the_same_are_never_told_apart():
    members, others = np.zeros(500), np.zeros(1000)
    assert auc(members, others) == 0.5
    assert tpr_at_fpr(members, others, 0.01).found == 0  # accusing one of them would accuse all
    assert [len(points) for points in (roc(members, others).thresholds, roc(members, others).on_log_axes())] == [2, 1]


def test_a_tie_at_the_threshold_is_not_counted_as_found():
    others = np.array([0.0] * 98 + [5.0, 5.0])
    members = np.array([5.0] * 10 + [6.0] * 3)
    assert tpr_at_fpr(members, others, 0.01).found == 3  # at 1 of 100 allowed, the tied 5.0 would accuse 2
    assert tpr_at_fpr(members, others, 0.02).found == 13


def test_too_few_held_out_rows_are_not_measured_with_the_number_that_is_needed():
    point = tpr_at_fpr(*drawn(1.0, k=412), 0.001)
    assert point.found is None and point.rate is None and point.accused is None
    assert point.because == "412 held-out rows; at 0.001 false positives, 1,000 are needed"
    assert tpr_at_fpr(*drawn(1.0, k=1000), 0.001).found is not None


def test_a_share_of_rows_is_a_whole_number_whatever_floats_say():
    assert 100 * 0.29 < 29
    assert tpr_at_fpr(*drawn(0.0, k=100), 0.29).accused == 29


def test_counts_are_those_an_interval_needs():
    members, others = drawn(1.0)
    point = tpr_at_fpr(members, others, 0.01)
    assert (point.members, point.others, point.accused) == (300, 1000, 10)
    again = found_above(members, others, point.threshold)
    assert again == point


def test_a_threshold_from_other_rows_is_honest_about_the_false_positives_here():
    members, others = drawn(1.0)
    point = found_above(members, others, 2.0)
    assert point.accused == int((others > 2).sum()) and point.found == int((members > 2).sum())


def test_the_curve_on_log_axes_starts_at_the_first_false_positive():
    members, others = drawn(2.0)
    points = roc(members, others).on_log_axes()
    assert min(x for x, _ in points) == 1 / 1000 and points[-1] == (1.0, 1.0)
    assert all(x > 0 and y > 0 for x, y in points)


def test_infinite_scores_are_scores():
    assert auc(np.array([np.inf, 0.0]), np.array([-np.inf, 0.0])) == approx(0.875)


@pytest.mark.parametrize("bad", [np.array([]), np.array([np.nan, 1.0]), np.ones((2, 2))])
def test_scores_that_are_none_are_refused(bad):
    for function in (auc, roc, lambda m, o: tpr_at_fpr(m, o, 0.1)):
        for members, others, whose in ((bad, np.ones(20), "training"), (np.ones(20), bad, "held-out")):
            with pytest.raises(OptionUnfit, match=whose):
                function(members, others)


@pytest.mark.parametrize("fpr", [0.0, 1.0, -0.1])
def test_a_rate_that_cannot_be_is_refused(fpr):
    with pytest.raises(OptionUnfit, match="false-positive rate"):
        tpr_at_fpr(np.ones(3), np.ones(3), fpr)
