"""The gradient noise scale: how large a batch is before a larger one says little more.

With b rows a batch and G batches, the mean of |g_i|^2 and |G|^2 of the mean gradient are |true gradient|^2 plus
tr(Sigma) / b and tr(Sigma) / (b G); two equations give both without bias. B_simple = tr(Sigma) / |true gradient|^2.
Source: McCandlish et al. 2018, arXiv:1812.06162, section 2.2 and appendix A.1; jackknife: Efron and Stein 1981,
Annals of Statistics 9:586.
"""

from __future__ import annotations

import numpy as np

from audit.statistics import Estimate

JACKKNIFE = "jackknife over batches, Student's t"
LOGARITHMIC = "jackknife over batches of the logarithm, Student's t"
FEWEST = 3  # batches


def left_out(squares: np.ndarray, dots: np.ndarray) -> np.ndarray:
    """|mean gradient|^2 with each batch left out, (batches, ...), from |g_i|^2 and g_i . G."""
    batches = len(squares)
    mean = dots.mean(axis=0)
    without: np.ndarray = (batches**2 * mean - 2 * batches * dots + squares) / (batches - 1) ** 2
    return np.maximum(without, 0)


def signal_and_noise(
    mean_square: np.ndarray, square_of_mean: np.ndarray, rows: int, batches: int
) -> tuple[np.ndarray, np.ndarray]:
    """(|true gradient|^2, tr(Sigma) of one row's gradient), both without bias.

    Args:
        mean_square: mean of |g_i|^2 over batches of `rows`. square_of_mean: |G|^2 of their mean.
    Source: arXiv:1812.06162, appendix A.1, with B_small = rows and B_big = rows * batches.
    """
    small, big = rows, rows * batches
    signal = (big * square_of_mean - small * mean_square) / (big - small)
    noise = (mean_square - square_of_mean) / (1 / small - 1 / big)
    return signal, noise


def noise_scale(squares: np.ndarray, dots: np.ndarray, rows: int) -> Estimate:
    """B_simple, in rows, with its interval; absent where the true gradient cannot be told from none.

    Args:
        squares: (batches,) |g_i|^2; dots: (batches,) g_i . G, of all parameters together.
        rows: of a batch.
    """
    batches = len(squares)
    if batches < FEWEST:
        return Estimate.absent(f"fewer than {FEWEST} batches of gradients cannot tell how much they differ", n=batches)
    signal, noise = signal_and_noise(squares.mean(), dots.mean(), rows, batches)
    others = (squares.sum() - squares) / (batches - 1)
    signals, noises = signal_and_noise(others, left_out(squares, dots), rows, batches - 1)
    arm = student(batches) * jackknife_error(signals)
    if signal - arm <= 0 or (signals <= 0).any() or noise <= 0 or (noises <= 0).any():
        return Estimate.absent(
            f"the mean gradient of {batches * rows:,} rows cannot be told from none: more batches would tell",
            n=batches,
        )
    return logarithmic(float(noise / signal), noises / signals)


def logarithmic(value: float, without: np.ndarray) -> Estimate:
    """A positive number, its interval by the jackknife of its logarithm.

    Args:
        without: (batches,) the number with each batch left out, all above 0.
    """
    arm = student(len(without)) * jackknife_error(np.log(without))
    return Estimate(value, value * float(np.exp(-arm)), value * float(np.exp(arm)), len(without), LOGARITHMIC)


def jackknife_error(without: np.ndarray) -> float:
    """Standard error of a statistic from its values with one batch left out each, (batches,)."""
    n = len(without)
    return float(np.sqrt((n - 1) / n * np.sum((without - without.mean()) ** 2)))


def student(batches: int) -> float:
    """Half of a 95% interval, in standard errors."""
    from scipy.stats import t

    return float(t.ppf(0.975, batches - 1))
