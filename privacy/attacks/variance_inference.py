"""BaVarIA: the likelihood ratio of LiRA, with each row's variance inferred instead of switched on or off.

With few reference models a row's own variance is noise, and one variance for all rows is wrong for most of them. Here
mean and variance of a row's confidence have a conjugate prior (normal-inverse-gamma), on each side of the question, so
that few models lean on all rows and many on the row itself. What a new model would say then has Student's t
distribution, and the score is the ratio of the two.

Source: Brännvall 2026, arXiv:2603.11799 (BaVarIA-t), as far as its abstract goes: its settings of the prior are not
known to us. Ours is fitted to the rows on trial, so that nothing is to be set: the variance's by the moments of log
variances (Smyth 2004, Statistical Applications in Genetics and Molecular Biology 3(1):3, section 6.2), the mean's by
the variance between rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

LEAST_VARIANCE = 1e-12
CERTAIN = 1e6  # degrees of freedom from which on Student's t is taken for normal


@dataclass(frozen=True)
class Prior:
    """What is known of a row before it is looked at: variance ~ scaled inverse chi-squared, mean ~ normal given it.

    Attributes:
        mean, weight: the mean, and how many observations it counts for.
        variance, degrees: the variance, and how many degrees of freedom it counts for.
    """

    mean: float
    weight: float
    variance: float
    degrees: float


def bavaria(target: np.ndarray, references: np.ndarray, included: np.ndarray) -> np.ndarray:
    """log p(target | models with the row) - log p(target | models without it), (rows,); higher: "was in training".

    Args:
        target: (rows,) confidence of the model that is attacked (`privacy.attacks.signals`).
        references: (models, rows) confidence of the reference models.
        included: (models, rows) bool. Each row needs both kinds of models, and each kind two of them somewhere.
    Raises: ValueError where that does not hold.
    """
    ratio = np.zeros(len(target))
    for side, sign in ((included, 1.0), (~included, -1.0)):
        counts = side.sum(axis=0)
        if (counts == 0).any() or (counts < 2).all():
            raise ValueError("BaVarIA needs models with and without each row, and two of each kind for a variance")
        means = np.where(side, references, 0.0).sum(axis=0) / counts
        squares = (np.where(side, references - means, 0.0) ** 2).sum(axis=0)
        ratio += sign * log_predictive(target, means, squares, counts, fitted_prior(means, squares, counts))
    return ratio


def fitted_prior(means: np.ndarray, squares: np.ndarray, counts: np.ndarray) -> Prior:
    """The prior under which rows such as these are drawn, by the method of moments.

    Args:
        means: (rows,) of each row's observations. squares: (rows,) sums of squared residuals around them.
        counts: (rows,) observations; some rows have two or more.
    """
    from scipy.special import digamma, polygamma

    several = counts > 1
    own = (counts[several] - 1) / 2  # half the degrees of freedom
    logs = np.log(np.maximum(squares[several] / (2 * own), LEAST_VARIANCE)) - digamma(own) + np.log(own)
    excess = (logs.var(ddof=1) if len(logs) > 1 else 0.0) - float(np.mean(polygamma(1, own)))
    half = _inverse_trigamma(excess) if excess > 0 else CERTAIN / 2  # rows whose variances differ by chance alone
    variance = float(np.exp(logs.mean() + digamma(half) - np.log(half)))
    between = (means.var(ddof=1) if len(means) > 1 else 0.0) - variance * float(np.mean(1 / counts))
    weight = variance / between if between > 0 else CERTAIN
    return Prior(float(means.mean()), min(weight, CERTAIN), variance, 2 * half)


def log_predictive(
    values: np.ndarray, means: np.ndarray, squares: np.ndarray, counts: np.ndarray, prior: Prior
) -> np.ndarray:
    """log density of one more observation of each row, (rows,): Student's t of the conjugate posterior.

    Source: Gelman et al. 2013, Bayesian Data Analysis, 3rd edition, section 3.3.
    """
    from scipy.stats import t

    weight, degrees = prior.weight + counts, prior.degrees + counts
    centre = (prior.weight * prior.mean + counts * means) / weight
    apart = prior.weight * counts / weight * (means - prior.mean) ** 2
    variance = (prior.degrees * prior.variance + squares + apart) / degrees
    return np.asarray(t.logpdf(values, degrees, centre, np.sqrt(variance * (1 + 1 / weight))))


def _inverse_trigamma(value: float) -> float:
    """x with trigamma(x) = value, at most half of `CERTAIN`; trigamma falls from infinity to 0."""
    from scipy.optimize import brentq
    from scipy.special import polygamma

    low, high = 1e-3, CERTAIN / 2
    if value >= polygamma(1, low):
        return low
    if value <= polygamma(1, high):
        return high
    return float(brentq(lambda x: polygamma(1, x) - value, low, high))
