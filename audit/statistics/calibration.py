"""Calibration: when the model says 0.8, is it right in 80 of 100?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from audit.statistics.bootstrap import bootstrap_mean, interval_of_draws, weight_blocks
from audit.statistics.estimate import Estimate
from audit.statistics.proportions import proportion


@dataclass(frozen=True)
class Bin:
    """One dot of the reliability diagram."""

    confidence: float
    accuracy: Estimate
    n: int


@dataclass(frozen=True)
class RiskAtCoverage:
    """One dot of the risk-coverage curve."""

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
    """Debiased expected calibration error and the bins behind it."""
    p, hit = np.asarray(confidence, dtype=np.float64), np.asarray(correct, dtype=bool)
    if len(p) == 0:
        return Estimate.absent("no rows"), []
    order = np.argsort(p, kind="stable")
    parts = [part for part in np.array_split(order, bins) if len(part)] if equal_mass else [
        part for b in range(bins) if len(part := np.flatnonzero(np.minimum((p * bins).astype(int), bins - 1) == b))
    ]
    table = [Bin(float(p[i].mean()), proportion(int(hit[i].sum()), len(i), confidence=level), len(i)) for i in parts]
    n = np.array([b.n for b in table])
    gap = np.array([b.accuracy.value - b.confidence for b in table])  # type: ignore[operator]
    error = np.sqrt(np.array([max(hit[i].var(), (p[i] * (1 - p[i])).mean()) for i in parts]) / n)
    draws = np.abs(gap + error * random.standard_normal((2000, len(gap)))) @ (n / n.sum())
    plug_in = float(np.abs(gap) @ (n / n.sum()))
    value = max(0.0, 2 * plug_in - float(draws.mean()))
    return interval_of_draws(value, draws - draws.mean() + value, n=len(p), method="first version", confidence=level), table


def brier_score(
    probabilities: np.ndarray, targets: np.ndarray, random: np.random.Generator, *, confidence: float = 0.95
) -> Estimate:
    """Mean squared distance of probabilities (rows, classes) from the truth, targets (rows,)."""
    probabilities, targets = np.asarray(probabilities, dtype=np.float64), np.asarray(targets)
    if len(targets) == 0:
        return Estimate.absent("no rows")
    loss = ((probabilities - np.eye(probabilities.shape[1])[targets]) ** 2).sum(axis=1)
    if probabilities.shape[1] == 2:
        loss = loss / 2
    return bootstrap_mean(loss, random, confidence=confidence, bounds=(0, 1 if probabilities.shape[1] == 2 else 2))


def risk_coverage(
    confidence: np.ndarray,
    correct: np.ndarray,
    random: np.random.Generator,
    *,
    coverages: tuple[float, ...] = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0),
    resamples: int = 2000,
    level: float = 0.95,
) -> tuple[Estimate, list[RiskAtCoverage]]:
    """Area under the risk-coverage curve, and the curve at fixed coverages."""
    p, wrong = np.asarray(confidence, dtype=np.float64), ~np.asarray(correct, dtype=bool)
    n = len(p)
    if n == 0:
        return Estimate.absent("no rows"), []
    order = np.argsort(-p, kind="stable")
    sorted_wrong = wrong[order].astype(np.float64)

    def area(weights: np.ndarray) -> np.ndarray:
        risk = np.cumsum(weights * sorted_wrong, axis=1) / np.cumsum(weights, axis=1)
        return (weights * risk).sum(axis=1) / weights.sum(axis=1)

    value = float(area(np.ones((1, n)))[0])
    draws = np.concatenate([area(w) for w in weight_blocks(n, random, resamples)])
    curve = []
    for coverage in coverages:
        rows = max(1, round(coverage * n))
        risk = proportion(int(sorted_wrong[:rows].sum()), rows, confidence=level)
        curve.append(RiskAtCoverage(coverage, risk, float(p[order[rows - 1]])))
    return interval_of_draws(value, draws, n=n, method="Bayesian bootstrap (Rubin 1981)", confidence=level), curve
