"""Multiplicity: of many limits, some break by chance; adjusted p-values keep that chance in hand.

Holm keeps the chance of even one false alarm below alpha; Benjamini-Hochberg keeps the expected share of false alarms
among the alarms below it.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist
from typing import Literal

import numpy as np

from audit.statistics.proportions import two_sided_z


def holm(p_values: Sequence[float] | np.ndarray) -> np.ndarray:
    """Adjusted p-values, (tests,), in the order given; reject where adjusted <= alpha.

    Controls the family-wise error rate under any dependence.
    Raises: ValueError when a p-value lies outside [0, 1].
    Source: Holm 1979, Scandinavian Journal of Statistics 6:65.
    """
    p = _checked(p_values)
    order = np.argsort(p, kind="stable")
    adjusted = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    return _back(np.minimum(adjusted, 1), order)


def benjamini_hochberg(p_values: Sequence[float] | np.ndarray) -> np.ndarray:
    """Adjusted p-values (q-values), (tests,), in the order given; reject where adjusted <= alpha.

    Controls the false discovery rate under independence or positive dependence.
    Raises: ValueError when a p-value lies outside [0, 1].
    Source: Benjamini and Hochberg 1995, JRSS B 57:289.
    """
    p = _checked(p_values)
    order = np.argsort(p, kind="stable")
    scaled = p[order] * len(p) / np.arange(1, len(p) + 1)
    adjusted = np.minimum.accumulate(scaled[::-1])[::-1]
    return _back(np.minimum(adjusted, 1), order)


def p_value_against_limit(
    value: float, low: float, high: float, limit: float, better: Literal["lower", "higher"], confidence: float = 0.95
) -> float:
    """One-sided p-value of "the limit holds", read off an interval: small means that the limit is broken.

    The arm of the interval that points at the limit is taken as so many standard errors of a normal distribution (1.96
    of them at 95%). At the interval's own end this is exact: there p is (1 - confidence) / 2; elsewhere it is a normal
    approximation. With an arm of length 0 the p-value is 0 or 1.

    Args:
        value, low, high: estimate and interval.
        limit: bound to hold; a value on it holds it.
        better: "lower" when values above the limit break it, "higher" when values below do.
        confidence: of the interval.
    Returns: p in [0, 1]; 0.5 where the value lies on the limit.
    """
    if not low <= value <= high:
        raise ValueError(f"value {value} lies outside its interval [{low}, {high}]")
    excess = value - limit if better == "lower" else limit - value
    toward_limit = (
        (value - low if excess > 0 else high - value)
        if better == "lower"
        else (high - value if excess > 0 else value - low)
    )
    if toward_limit == 0:
        return 0.0 if excess > 0 else 1.0
    return 1 - NormalDist().cdf(excess / toward_limit * two_sided_z(confidence))


def _checked(p_values: Sequence[float] | np.ndarray) -> np.ndarray:
    p = np.asarray(p_values, dtype=np.float64)
    if p.ndim != 1 or not ((p >= 0) & (p <= 1)).all():
        raise ValueError("p-values are one list of numbers between 0 and 1")
    return p


def _back(sorted_values: np.ndarray, order: np.ndarray) -> np.ndarray:
    result = np.empty_like(sorted_values)
    result[order] = sorted_values
    return result
