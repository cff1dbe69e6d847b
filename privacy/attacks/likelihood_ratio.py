"""Attacks with reference models: what does the model say of a row, beside models that had it and models that had not?

Source: Carlini et al. 2022, arXiv:2112.03570 (LiRA); Zarifzadeh et al. 2024, arXiv:2312.03262 (RMIA).
"""

from __future__ import annotations

import numpy as np

LEAST_DEVIATION = 1e-6


def lira(target: np.ndarray, references: np.ndarray, included: np.ndarray) -> np.ndarray:
    """log N(target; models with the row) - log N(target; models without it), (rows,); higher: "was in training".

    A mean for each row and side, one variance for each side over all rows: with few reference models a row's own
    variance is noise (section VI.B). The variance here is that around the rows' own means, unbiased; the authors' code
    takes the variance of all values, rows' differences included.

    Args:
        target: (rows,) confidence of the model that is attacked (`privacy.attacks.signals`).
        references: (models, rows) confidence of the reference models.
        included: (models, rows) bool, whether the row was trained on. Each row needs both kinds of models, and one kind
            needs two of them somewhere, or there is no variance.
    Raises: ValueError where that does not hold.
    """
    log_ratio = np.zeros(len(target))
    for side, sign in ((included, 1.0), (~included, -1.0)):
        counts = side.sum(axis=0)
        if (counts == 0).any() or counts.sum() <= len(counts):
            raise ValueError("LiRA needs models with and without each row, and two of a kind for a variance")
        means = np.where(side, references, 0.0).sum(axis=0) / counts
        residuals = np.where(side, references - means, 0.0)
        variance = max((residuals**2).sum() / (counts.sum() - len(counts)), LEAST_DEVIATION**2)
        log_ratio += sign * -0.5 * ((target - means) ** 2 / variance + np.log(2 * np.pi * variance))
    return log_ratio


def rmia(
    target: np.ndarray, references: np.ndarray, included: np.ndarray, population: np.ndarray, *, gamma: float = 1.0
) -> np.ndarray:
    """Share of population rows that a row dominates: ratio(row) / ratio(z) >= gamma; higher: "was in training".

    ratio(x) = p(x | model) / p(x), where p(x) is half of what models with the row say and half of what models without
    it say. With one gamma for all rows the score rises with the ratio; population rows set its scale.

    Args:
        target: (rows,) log p of the truth under the model that is attacked; the negative loss.
        references: (models, rows) the same under reference models.
        included: (models, rows) bool; each row needs both kinds of models.
        population: (rows,) bool, held-out rows to compare with.
        gamma: at least 1; larger ones ask for more and tie more rows.
    Source: Zarifzadeh et al. 2024, arXiv:2312.03262, equations 2 to 8.
    """
    sides = [_log_mean(references, side) for side in (included, ~included)]
    log_ratio = target - (np.logaddexp(*sides) - np.log(2.0))
    ordered = np.sort(log_ratio[population])
    return np.searchsorted(ordered, log_ratio - np.log(gamma), side="right") / len(ordered)


def _log_mean(log_p: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """log of the mean of p over the chosen models, (rows,)."""
    from scipy.special import logsumexp

    return np.asarray(logsumexp(np.where(chosen, log_p, -np.inf), axis=0) - np.log(chosen.sum(axis=0)))
