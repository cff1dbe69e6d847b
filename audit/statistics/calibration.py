"""Calibration: when the model says 0.8, is it right in 80 of 100, and does it know which rows it gets wrong?

`expected_calibration_error` gives the debiased ECE with the bins of its reliability diagram, `brier_score` the mean
squared distance of the probabilities from the truth, `risk_coverage` the error rate among the rows of which the model
is surest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import erf, pi, sqrt

import numpy as np

from audit.statistics.bootstrap import bootstrap_mean, equal_tailed, exponential_weights
from audit.statistics.estimate import Estimate
from audit.statistics.proportions import proportion, two_sided_z

ECE = "resampled labels of each bin, test inversion; value debiased as in Kumar et al. 2019 (arXiv:1909.10155)"
AURC = "Bayesian bootstrap, half a wrong and half a right row of prior at random ranks, equal tails (Rubin 1981)"
DRAWS = 1000  # of the labels' noise; moves the tail of 0.025 by about 0.005
COVERAGES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


@dataclass(frozen=True)
class Bin:
    """One dot of the reliability diagram.

    Attributes:
        confidence: mean confidence of the bin's rows.
        accuracy: share of them that is right, with its Wilson interval.
        n: rows in the bin.
    """

    confidence: float
    accuracy: Estimate
    n: int


@dataclass(frozen=True)
class RiskAtCoverage:
    """One dot of the risk-coverage curve.

    Attributes:
        coverage: share of rows that are answered, surest first.
        risk: share of them that is wrong, with its Wilson interval.
        threshold: confidence of the least sure row that is answered.
    """

    coverage: float
    risk: Estimate
    threshold: float


def expected_calibration_error(
    confidence: np.ndarray,
    correct: np.ndarray,
    random: np.random.Generator,
    *,
    bins: int = 15,
    equal_mass: bool = True,
    level: float = 0.95,
) -> tuple[Estimate, list[Bin]]:
    """Debiased expected calibration error, and the bins behind it. 0 is calibrated; unit: share of rows.

    ECE = sum over bins of n_b / n * |accuracy_b - confidence_b|. Noise alone makes each term positive, so the plain
    value of a calibrated model is not 0. The value here has the bias removed that resampled labels show (about 40% of
    it where the model is calibrated, nearly all of it where it is not), as Kumar, Liang and Ma do for p = 1, save that
    it stops at 0.

    The interval asks which true gaps would make an ECE as large, or as small, as the one seen: a calibrated model's
    interval starts at 0. It is conservative there (98 to 100% by simulation). What happens inside a bin stays unseen,
    so any binned ECE is at most the true one.

    Args:
        confidence: (rows,) probability of the predicted class, in [0, 1].
        correct: (rows,) bool, whether the prediction is right.
        random: draws the labels' noise.
        bins: how many.
        equal_mass: bins of equally many rows (ties in confidence stay in row order); otherwise of equal width.
        level: nominal coverage.
    Returns: the estimate and the bins, least confident first; absent without rows.
    Raises: ValueError when a confidence lies outside [0, 1].
    Source: Naeini et al. 2015; Kumar, Liang and Ma 2019, arXiv:1909.10155; Nixon et al. 2019 for equal mass.
    """
    p, hit = np.asarray(confidence, dtype=np.float64), np.asarray(correct, dtype=bool)
    if len(p) == 0:
        return Estimate.absent("no rows"), []
    if not (p.min() >= 0 and p.max() <= 1):
        raise ValueError("confidences lie in [0, 1]")
    parts = _parts(p, bins, equal_mass=equal_mass)
    table = [Bin(float(p[i].mean()), proportion(int(hit[i].sum()), len(i), confidence=level), len(i)) for i in parts]
    share = np.array([b.n for b in table]) / len(p)
    accuracy = np.array([hit[i].mean() for i in parts])
    gap = accuracy - np.array([b.confidence for b in table])
    seen = float(np.abs(gap) @ share)
    noise = random.standard_normal((DRAWS, len(gap)))
    counts = share * len(p)
    resampled = _mean_of_folded_normal(gap, np.sqrt(accuracy * (1 - accuracy) / counts)) @ share
    value = max(0.0, 2 * seen - float(resampled))
    # A bin without a single error shows no spread of its own; what its confidence promises stands in.
    promised = np.array([(p[i] * (1 - p[i])).mean() for i in parts])
    error = np.sqrt(np.maximum(accuracy * (1 - accuracy), promised) / counts)
    low, high = _inverted(gap, error, share, seen, noise, tail=(1 - level) / 2)
    return Estimate(value, min(low, value), min(1.0, max(high, value)), len(p), ECE, level), table


def brier_score(
    probabilities: np.ndarray,
    targets: np.ndarray,
    random: np.random.Generator,
    *,
    resamples: int = 2000,
    confidence: float = 0.95,
) -> Estimate:
    """Mean squared distance of the probabilities from the truth; lower is better.

    Two classes: mean of (p - y)^2, in [0, 1]. More: summed over classes, in [0, 2] (Brier's own scale). These are
    scikit-learn's defaults.

    Args:
        probabilities: (rows, classes), rows sum to 1.
        targets: (rows,) class index.
        random: seeds the resamples.
        resamples: draws behind the interval.
        confidence: nominal coverage.
    Source: Brier 1950, Monthly Weather Review 78:1.
    """
    probabilities, targets = np.asarray(probabilities, dtype=np.float64), np.asarray(targets)
    if len(targets) == 0:
        return Estimate.absent("no rows")
    classes = probabilities.shape[1]
    loss = ((probabilities - np.eye(classes)[targets]) ** 2).sum(axis=1)
    top = 2.0
    if classes == 2:
        loss, top = loss / 2, 1.0
    bounds = (0.0, top)
    return bootstrap_mean(np.minimum(loss, top), random, resamples=resamples, confidence=confidence, bounds=bounds)


def risk_coverage(
    confidence: np.ndarray,
    correct: np.ndarray,
    random: np.random.Generator,
    *,
    coverages: Sequence[float] = COVERAGES,
    resamples: int = 2000,
    level: float = 0.95,
) -> tuple[Estimate, list[RiskAtCoverage]]:
    """Area under the risk-coverage curve (lower is better), and the curve at fixed coverages.

    The area is the error rate among the i surest rows, averaged over i. Rows of equal confidence are taken in a random
    order.

    Args:
        confidence: (rows,) higher is surer.
        correct: (rows,) bool.
        random: orders ties and seeds the resamples.
        coverages: shares of rows at which the curve is read, in (0, 1].
        resamples: draws behind the area's interval.
        level: nominal coverage of the intervals.
    Source: Geifman and El-Yaniv 2017, arXiv:1705.08500; Geifman et al. 2019, arXiv:1805.08206.
    """
    p, wrong = np.asarray(confidence, dtype=np.float64), ~np.asarray(correct, dtype=bool)
    n = len(p)
    if n == 0:
        return Estimate.absent("no rows"), []
    [tie_breaker] = random.spawn(1)
    order = np.lexsort((tie_breaker.random(n), -p))
    ordered = wrong[order].astype(np.float64)
    value = float((np.cumsum(ordered) / np.arange(1, n + 1)).mean())
    draws = []
    for child, weights in exponential_weights(n, random, resamples):
        wrong_weights = weights * ordered
        each = np.arange(len(weights))
        for target in ((weights, wrong_weights), (weights,)):  # half a wrong row, then half a right one
            rank, extra = child.integers(0, n, len(weights)), child.standard_gamma(0.5, len(weights))
            for matrix in target:
                matrix[each, rank] += extra
        risk = np.cumsum(wrong_weights, axis=1) / np.cumsum(weights, axis=1)
        draws.append((weights * risk).sum(axis=1) / weights.sum(axis=1))
    curve = []
    for coverage in coverages:
        rows = min(n, max(1, round(coverage * n)))
        risk_here = proportion(int(ordered[:rows].sum()), rows, confidence=level)
        curve.append(RiskAtCoverage(coverage, risk_here, float(p[order[rows - 1]])))
    return equal_tailed(value, np.concatenate(draws), n=n, method=AURC, confidence=level), curve


def _parts(p: np.ndarray, bins: int, *, equal_mass: bool) -> list[np.ndarray]:
    """Row indices of each bin that has rows, least confident first."""
    if equal_mass:
        return [part for part in np.array_split(np.argsort(p, kind="stable"), bins) if len(part)]
    place = np.minimum((p * bins).astype(int), bins - 1)
    return [part for b in range(bins) if len(part := np.flatnonzero(place == b))]


def _mean_of_folded_normal(mean: np.ndarray, deviation: np.ndarray) -> np.ndarray:
    """E|N(mean, deviation)| of each bin, (bins,)."""
    ratio = np.abs(mean) / np.where(deviation > 0, deviation, 1)
    folded = deviation * sqrt(2 / pi) * np.exp(-(ratio**2) / 2) + np.abs(mean) * np.vectorize(erf)(ratio / sqrt(2))
    return np.where(deviation > 0, folded, np.abs(mean))


def _inverted(
    gap: np.ndarray, error: np.ndarray, share: np.ndarray, seen: float, noise: np.ndarray, *, tail: float
) -> tuple[float, float]:
    """The smallest and the largest ECE under which the ECE seen is no surprise, by bisection over sizes of the gaps."""
    two_sided_z(1 - 2 * tail)  # refuses what is not a confidence

    def quantile_of_ece(gaps: np.ndarray, quantile: float) -> float:
        return float(np.quantile(np.abs(gaps + error * noise) @ share, quantile))

    def crossing(direction: np.ndarray, quantile: float) -> float:
        """The ECE of gaps along a direction at which this quantile of the ECE equals the one seen, or 0."""
        unit = float(np.abs(direction) @ share)
        if unit == 0 or quantile_of_ece(0 * direction, quantile) >= seen:
            return 0.0
        low, high = 0.0, (seen + 10 * float(error @ share)) / unit
        for _ in range(16):
            middle = (low + high) / 2
            below = quantile_of_ece(middle * direction, quantile) < seen
            low, high = (middle, high) if below else (low, middle)
        return high * unit

    # Noise adds least to an ECE whose gaps are spread over all bins, so the upper end, to be cautious, takes them so;
    # the lower end takes them as they are seen, and so in the few bins that stand out.
    return crossing(gap, 1 - tail), crossing(error, tail)
