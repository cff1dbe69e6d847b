"""Nulls that are fitted in the run: how surprising is one word among many others of the same model?

No clean model is at hand, but every model has hundreds of honest words. Shares of rows are held against a beta-binomial
distribution fitted to other words; the best of many tokens against the spacings of those that follow it.

Sources: Kleinman 1973, JASA 68:46 (beta-binomial); Weissman 1978, JASA 73:812 (spacings of the largest values).
"""

from __future__ import annotations

import numpy as np


def beta_binomial(hits: np.ndarray, rows: np.ndarray) -> tuple[float, float]:
    """Maximum-likelihood parameters (a, b) of shares that differ from word to word.

    Args:
        hits: of each word, (words,) int. rows: that were looked at, (words,) int, 1 or more each.
    Returns: a, b > 0; the mean share is a / (a + b), kept between 0.0003 and 0.9997, and a + b between 0.1 and 400.
    """
    from scipy.optimize import minimize
    from scipy.special import betaln, expit

    def parameters(theta: np.ndarray) -> tuple[float, float]:
        mean, size = expit(theta[0]), np.exp(theta[1])
        return float(mean * size), float((1 - mean) * size)

    def loss(theta: np.ndarray) -> float:
        a, b = parameters(theta)
        return float((betaln(a, b) - betaln(a + hits, b + rows - hits)).sum())

    start = np.array([np.log((hits.sum() + 0.5) / ((rows - hits).sum() + 0.5)), np.log(10)])
    found = minimize(loss, start, method="L-BFGS-B", bounds=[(-8, 8), (np.log(0.1), np.log(400))])
    return parameters(found.x)


def share_p_value(hits: int, rows: int, other_hits: np.ndarray, other_rows: np.ndarray) -> float:
    """Chance that a word drawn like the others has so many hits or more, in [0, 1].

    Args:
        hits, rows: of the word in question.
        other_hits, other_rows: of the words that it is held against, (words,); it is not among them.
    """
    from scipy.stats import betabinom

    return float(betabinom.sf(hits - 1, rows, *beta_binomial(np.asarray(other_hits), np.asarray(other_rows))))


def largest_p_value(values: np.ndarray) -> float:
    """Chance that the largest of many values leads by so much, in [0, 1].

    In the tail of a smooth distribution the spacings between the k largest values, each times its rank, are alike and
    exponential. The first over the mean of the others is then F distributed; no multiplicity is left, because it is the
    largest that is asked about.

    Args:
        values: the k largest of many, in any order; 3 or more.
    """
    from scipy.stats import f

    largest = -np.sort(-np.asarray(values, dtype=np.float64))
    spacings = np.arange(1, len(largest)) * -np.diff(largest)
    if not spacings[1:].any():
        return 1.0  # all others are one value: nothing is known of their spread
    return float(f.sf(spacings[0] / spacings[1:].mean(), 2, 2 * (len(spacings) - 1)))
