"""Calibration: is the model as sure as it should be, and is it right where it is sure?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from audit.evidence import Limit, metric
from audit.statistics import (
    Bin,
    Estimate,
    RiskAtCoverage,
    brier_score,
    expected_calibration_error,
    risk_coverage,
)
from core_model.metrics import fit_temperature, negative_log_likelihood, softmax
from core_model.predictions import Predictions
from reports.record import Figure, Metric

COVERAGE = 0.8  # the share of rows that are answered where accuracy at coverage is told
FEWEST_ROWS = 40  # half of them fit a temperature, half say whether it helps
SHARE = "share of rows"
GUO = "Guo et al. 2017, arXiv:1706.04599"


@dataclass(frozen=True)
class Mended:
    """What one temperature does, on rows that did not choose it.

    Attributes:
        temperature: fitted on one half of the rows.
        before, after: expected calibration error on the other half.
    """

    temperature: Estimate
    before: Estimate
    after: Estimate


def calibration_metrics(
    predictions: Predictions, targets: np.ndarray, *, limit: Limit, random: np.random.Generator
) -> tuple[list[Metric], list[Bin]]:
    """Expected calibration error, its bins, and the Brier score."""
    correct = predictions.predicted == targets
    error, bins = expected_calibration_error(predictions.confidence, correct, random)
    classes = predictions.logits.shape[1]
    return [
        metric(
            "expected_calibration_error", error, unit="mean distance between confidence and accuracy", better="lower",
            limit=limit, source=f"Naeini et al. 2015; {GUO}",
            definition="Mean distance between the probability of the given label and how often it is right, debiased: "
            "a perfectly calibrated model has 0, in spite of the noise within bins.",
        ),
        metric(
            "brier_score", brier_score(predictions.probabilities, targets, random),
            unit="mean squared distance of probabilities", better="lower", source="Brier 1950",
            definition="Mean squared distance of the second label's probability from the truth."
            if classes == 2
            else "Mean squared distance of the probabilities from the truth, summed over labels.",
        ),
    ], bins  # fmt: skip


def selective_metrics(
    predictions: Predictions, targets: np.ndarray, random: np.random.Generator
) -> tuple[list[Metric], list[RiskAtCoverage]]:
    """How much accuracy is gained by answering only where the model is sure."""
    correct = predictions.predicted == targets
    area, curve = risk_coverage(predictions.confidence, correct, random)
    risk = next((point.risk for point in curve if abs(point.coverage - COVERAGE) < 1e-9), None)
    return [
        metric(
            "area_under_risk_coverage", area, unit="mean share of wrong rows", better="lower",
            source="Geifman and El-Yaniv 2017, arXiv:1705.08500",
            definition="Share of wrong answers among the surest rows, averaged over how many of them are answered.",
        ),
        metric(
            "accuracy_at_coverage", complement(risk) if risk else Estimate.absent("there are too few rows"),
            unit=SHARE, better="higher", slice={"coverage": f"{COVERAGE:g}"},
            definition=f"Accuracy on the {COVERAGE:.0%} of rows on which the model is surest.",
        ),
    ], curve  # fmt: skip


def complement(share: Estimate) -> Estimate:
    """1 - share: accuracy of a risk."""
    if share.value is None or share.low is None or share.high is None:
        return share
    return Estimate(1 - share.value, 1 - share.high, 1 - share.low, share.n, share.method, share.confidence)


def mend_by_temperature(predictions: Predictions, targets: np.ndarray, random: np.random.Generator) -> Mended | None:
    """Fit one temperature on half of the rows, and look at the other half with it and without.

    Args:
        predictions: of all rows. targets: (rows,). random: draws the halves.
    Returns: None where there are fewer than 40 rows.
    Source: Guo et al. 2017, arXiv:1706.04599, section 4.2.
    """
    n = len(targets)
    if n < FEWEST_ROWS:
        return None
    order = random.permutation(n)
    fitting, rest = order[: n // 2], order[n // 2 :]
    fitted = temperature_estimate(predictions.logits[fitting], targets[fitting])
    correct = predictions.predicted[rest] == targets[rest]  # one temperature changes no answer
    confidence = softmax(predictions.logits[rest], fitted.value or 1.0).max(axis=1)
    before, _ = expected_calibration_error(predictions.confidence[rest], correct, random)
    after, _ = expected_calibration_error(confidence, correct, random)
    return Mended(fitted, before, after)


def temperature_estimate(logits: np.ndarray, targets: np.ndarray) -> Estimate:
    """The most likely temperature with a sandwich interval on its logarithm.

    Source: Huber 1967; White 1982, Econometrica 50:1.
    """
    temperature, step = fit_temperature(logits, targets), 1e-3
    below, at, above = (negative_log_likelihood(logits, targets, temperature * np.exp(s)) for s in (-step, 0.0, step))
    slope, curvature = (above - below) / (2 * step), float(((above - 2 * at + below) / step**2).sum())
    if curvature <= 0:
        return Estimate(temperature, None, None, len(targets), "none", reason="the likelihood is flat in temperature")
    arm = 1.96 * float(np.sqrt((slope**2).sum())) / curvature
    low, high = temperature * np.exp(-arm), temperature * np.exp(arm)
    return Estimate(temperature, float(low), float(high), len(targets), "sandwich on the log scale (White 1982)")


def temperature_metrics(mended: Mended | None) -> list[Metric]:
    """The mend for calibration, tried out."""
    if mended is None:
        absent = Estimate.absent(f"fewer than {FEWEST_ROWS} rows: halves would be too small")
        mended = Mended(absent, absent, absent)
    unit = "mean distance between confidence and accuracy"
    return [
        metric(
            "fitted_temperature", mended.temperature, unit="ratio", source=GUO,
            definition="What the logits have to be divided by; above 1 where the model is too sure. Fitted on one half "
            "of the rows.",
        ),
        metric(
            "expected_calibration_error_before_temperature", mended.before, unit=unit, better="lower",
            definition="On the other half of the rows, as the model is.",
        ),
        metric(
            "expected_calibration_error_after_temperature", mended.after, unit=unit, better="lower", source=GUO,
            definition="On the same other half, with the logits divided by the fitted temperature.",
        ),
    ]  # fmt: skip


def reliability_figure(bins: Sequence[Bin]) -> Figure:
    """Confidence against accuracy, bin by bin."""
    rows = [
        {
            "confidence": b.confidence, "accuracy": b.accuracy.value,
            "low": b.accuracy.low, "high": b.accuracy.high, "n": b.n,
        }
        for b in bins
    ]  # fmt: skip
    n = sum(b.n for b in bins)
    sure = sum(b.confidence * b.n for b in bins) / max(n, 1)
    right = sum((b.accuracy.value or 0.0) * b.n for b in bins) / max(n, 1)
    return Figure(
        id="generalization-reliability", kind="reliability", title="How sure the model is, and how often it is right",
        caption=f"On average the model is {sure:.0%} sure and right in {right:.0%} of {n} rows.",
        x_label="confidence", y_label="accuracy", rows=rows,
    )  # fmt: skip


def risk_coverage_figure(curve: Sequence[RiskAtCoverage]) -> Figure:
    """Share of wrong answers when only the surest rows are answered."""
    rows = [
        {
            "x": p.coverage, "y": p.risk.value, "low": p.risk.low, "high": p.risk.high,
            "threshold": p.threshold, "n": p.risk.n,
        }
        for p in curve
    ]  # fmt: skip
    last, part = curve[-1], next((p for p in curve if abs(p.coverage - COVERAGE) < 1e-9), curve[-1])
    return Figure(
        id="generalization-risk-coverage", kind="lines", title="Wrong answers when only the surest rows are answered",
        caption=f"All rows: {last.risk.value:.1%} wrong; the surest {part.coverage:.0%}: {part.risk.value:.1%}.",
        x_label="share of rows answered", y_label="share of them wrong", rows=rows,
    )  # fmt: skip
