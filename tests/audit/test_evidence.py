"""A verdict comes from the interval, never from the point."""

from __future__ import annotations

import pytest

from audit.evidence import Limit, judge, metric, rows_needed
from audit.statistics.estimate import Estimate
from reports.record import Verdict


def estimate(value, low, high, n=100):
    return Estimate(value, low, high, n, "planted")


@pytest.mark.parametrize(
    ("low", "high", "better", "verdict"),
    [
        (0.01, 0.09, "lower", Verdict.PASS),
        (0.01, 0.10, "lower", Verdict.PASS),
        (0.08, 0.12, "lower", Verdict.INCONCLUSIVE),
        (0.11, 0.20, "lower", Verdict.FAIL),
        (0.11, 0.20, "higher", Verdict.PASS),
        (0.08, 0.12, "higher", Verdict.INCONCLUSIVE),
        (0.01, 0.09, "higher", Verdict.FAIL),
    ],
)
def test_the_whole_interval_decides(low, high, better, verdict):
    middle = estimate((low + high) / 2, low, high)
    assert judge(middle, better=better, limit=Limit(0.1, "test")) is verdict


def test_a_point_within_the_limit_is_not_enough():
    assert judge(estimate(0.09, 0.02, 0.2), better="lower", limit=Limit(0.1, "test")) is Verdict.INCONCLUSIVE


def test_without_a_limit_a_number_is_informative():
    assert metric("x", estimate(0.5, 0.4, 0.6), unit="share").verdict is Verdict.INFORMATIVE


def test_a_number_that_could_not_be_measured_is_never_a_pass():
    absent = metric("x", Estimate.absent("no rows"), unit="share", better="lower", limit=Limit(0.1, "test"))
    assert absent.verdict is Verdict.INCONCLUSIVE
    assert (absent.value, absent.interval, absent.reason) == (None, None, "no rows")


def test_nan_becomes_absent_with_a_reason():
    assert metric("x", estimate(float("nan"), 0.0, 1.0), unit="share").value is None


def test_a_limit_needs_a_direction():
    with pytest.raises(ValueError, match="direction"):
        metric("x", estimate(0.5, 0.4, 0.6), unit="share", limit=Limit(0.1, "test"))


def test_the_rows_that_would_decide_shrink_the_arm_to_the_distance():
    # The arm toward the limit is 0.06 at 100 rows; 0.03 away needs half of it: four times the rows.
    assert rows_needed(estimate(0.07, 0.01, 0.13), Limit(0.1, "test")) == 400


def test_no_number_of_rows_decides_a_value_on_the_limit():
    assert rows_needed(estimate(0.1, 0.05, 0.15), Limit(0.1, "test")) is None


def test_no_number_of_rows_decides_for_a_value_on_its_limit_to_within_rounding():
    on_it = metric("bleu", Estimate(1e-17, -1.0, 1.0, 48, "planted"), unit="u", better="higher", limit=Limit(0.0, "x"))
    assert on_it.verdict is Verdict.INCONCLUSIVE and on_it.rows_needed is None
