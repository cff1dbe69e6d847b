"""Promises of calibration: a calibrated model's ECE reaches 0, a miscalibrated one's does not, and both are covered."""

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss

from audit.statistics import brier_score, expected_calibration_error, risk_coverage
from tests.audit.statistics.coverage import share_covered

approx = pytest.approx


def answers(random, n, sharpen=1.0):
    """Confidences and whether right; at sharpen = 1 the model is calibrated, below it is overconfident elsewhere."""
    confidence = 0.5 + 0.5 * random.beta(5, 1, n)
    return confidence, random.random(n) < confidence ** (1 / sharpen)


def test_equal_width_bins_are_scikit_learns():
    confidence, right = answers(np.random.default_rng(0), 2000)
    _, bins = expected_calibration_error(confidence, right, np.random.default_rng(0), bins=10, equal_mass=False)
    share_right, mean_confidence = calibration_curve(right, confidence, n_bins=10)
    assert [b.accuracy.value for b in bins] == approx(share_right)
    assert [b.confidence for b in bins] == approx(mean_confidence)


def test_equal_mass_bins_hold_equally_many_rows_in_order():
    confidence, right = answers(np.random.default_rng(0), 1000)
    _, bins = expected_calibration_error(confidence, right, np.random.default_rng(0), bins=10)
    assert [b.n for b in bins] == [100] * 10
    assert [b.confidence for b in bins] == sorted(b.confidence for b in bins)
    assert all(b.accuracy.interval for b in bins)


def test_the_value_is_kumars_debiased_one_from_a_slow_loop():
    confidence, right = answers(np.random.default_rng(0), 1500, sharpen=0.5)
    estimate, bins = expected_calibration_error(confidence, right, np.random.default_rng(0))
    plain = sum(b.n / 1500 * abs(b.accuracy.value - b.confidence) for b in bins)
    random, resampled = np.random.default_rng(1), []
    for _ in range(4000):
        noisy = (
            random.normal(b.accuracy.value, np.sqrt(b.accuracy.value * (1 - b.accuracy.value) / b.n)) for b in bins
        )
        resampled.append(sum(b.n / 1500 * abs(a - b.confidence) for a, b in zip(noisy, bins, strict=True)))
    assert estimate.value == approx(2 * plain - np.mean(resampled), abs=5e-4)
    assert estimate.value < plain


def test_debiasing_takes_much_of_the_noise_out():
    plain, debiased = [], []
    for child in np.random.default_rng(0).spawn(100):
        confidence, right = answers(child, 1000)
        estimate, bins = expected_calibration_error(confidence, right, child)
        plain.append(sum(b.n / 1000 * abs(b.accuracy.value - b.confidence) for b in bins))
        debiased.append(estimate.value)
    assert np.mean(debiased) < 0.65 * np.mean(plain)  # the truth is 0


@pytest.mark.parametrize("n", [300, 2000])
def test_a_calibrated_model_is_not_accused(n):
    covered = share_covered(
        lambda random: expected_calibration_error(*answers(random, n), random)[0], 0.0, data_sets=300
    )
    assert covered >= 0.95


@pytest.mark.parametrize("sharpen", [0.3, 0.7])
def test_a_miscalibrated_model_is_found_and_its_error_covered(sharpen):
    found, covered = 0, 0
    for child in np.random.default_rng(1).spawn(300):
        confidence, right = answers(child, 1000, sharpen)
        estimate, _ = expected_calibration_error(confidence, right, child)
        order = np.array_split(np.argsort(confidence), 15)
        gap = confidence ** (1 / sharpen) - confidence
        covered += estimate.covers(sum(abs(gap[i].mean()) * len(i) for i in order) / 1000)
        found += estimate.low > 0
    assert covered >= 0.93 * 300
    assert found >= (0.95 if sharpen == 0.3 else 0.3) * 300


def test_a_model_that_is_certain_and_right_has_an_ece_of_0():
    estimate, _ = expected_calibration_error(np.ones(100), np.ones(100, dtype=bool), np.random.default_rng(0))
    assert estimate.value == 0
    assert estimate.low == 0


def test_confidence_outside_0_to_1_is_refused():
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        expected_calibration_error(np.array([1.2]), np.array([True]), np.random.default_rng(0))


@pytest.mark.parametrize("classes", [2, 4])
def test_brier_is_scikit_learns(classes):
    random = np.random.default_rng(0)
    probabilities, targets = random.dirichlet(np.ones(classes), 500), random.integers(0, classes, 500)
    estimate = brier_score(probabilities, targets, random)
    assert estimate.value == approx(brier_score_loss(targets, probabilities, labels=list(range(classes))))
    assert estimate.low < estimate.value < estimate.high


def test_a_perfect_brier_score_still_leaves_doubt():
    estimate = brier_score(np.eye(2)[[0, 1] * 30], np.array([0, 1] * 30), np.random.default_rng(0))
    assert estimate.value == 0
    assert estimate.high > 0.01


def test_brier_covers_the_truth_of_a_good_classifier_in_93_to_97_percent():
    p = 0.98  # always says 0.98, and is right so often

    def measure(random):
        targets = (random.random(250) < p).astype(int)
        return brier_score(np.tile([1 - p, p], (250, 1)), targets, random, resamples=250)

    assert 0.93 <= share_covered(measure, p * (1 - p)) <= 0.97


def test_the_risk_coverage_area_is_that_of_a_slow_loop():
    confidence, right = answers(np.random.default_rng(0), 300)
    estimate, curve = risk_coverage(confidence, right, np.random.default_rng(0))
    order = np.argsort(-confidence)
    risks = [np.mean([not right[j] for j in order[: i + 1]]) for i in range(300)]
    assert estimate.value == approx(np.mean(risks))
    assert [dot.risk.value for dot in curve] == approx([risks[int(c * 300) - 1] for c in np.arange(1, 11) / 10])
    assert curve[0].risk.n == 30
    assert curve[0].threshold == approx(np.sort(confidence)[-30])


def test_ties_in_confidence_do_not_follow_the_order_of_rows():
    right = np.arange(1000) < 500  # right rows first, as a sorted file would have them
    estimate, _ = risk_coverage(np.ones(1000), right, np.random.default_rng(0))
    assert estimate.covers(0.5)
    assert estimate.value == approx(0.5, abs=0.06)


def test_no_error_at_all_still_leaves_doubt():
    estimate, _ = risk_coverage(np.linspace(0.5, 1, 100), np.ones(100, dtype=bool), np.random.default_rng(0))
    assert estimate.value == estimate.low == 0
    assert 0.005 < estimate.high < 0.1


def test_the_risk_coverage_area_covers_the_truth_in_93_to_97_percent():
    def chance(confidence):
        return 0.6 + 0.4 * confidence

    def sample(random, n):
        confidence = random.random(n)
        return confidence, random.random(n) < chance(confidence)

    # At coverage c the answered rows have confidence above 1 - c: risk 0.4 * (1 - mean) = 0.4 * c / 2.
    truth = 0.1
    covered = share_covered(lambda random: risk_coverage(*sample(random, 150), random, resamples=250)[0], truth)
    assert 0.93 <= covered <= 0.97


def test_no_rows_are_absent():
    random, empty = np.random.default_rng(0), np.array([])
    assert expected_calibration_error(empty, empty.astype(bool), random)[0].value is None
    assert risk_coverage(empty, empty.astype(bool), random)[0].value is None
    assert brier_score(np.empty((0, 2)), empty.astype(int), random).value is None
