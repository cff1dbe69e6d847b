"""Two accountants, one question: what is the epsilon of this history of noisy releases?

The arithmetic is Opacus'. PRV is the answer: it composes the privacy loss itself, numerically, and rounds up. RDP is
the second opinion: a looser bound by other mathematics, from which PRV may only differ downwards. A PRV figure above
RDP's, or one that is not a number, is a numerical accident and is refused, not printed.

Source: PRV: Gopi, Lee and Wutschitz 2021, arXiv:2106.02848. RDP: Mironov 2017, arXiv:1702.07476, and Mironov, Talwar
and Zhang 2019, arXiv:1908.10530.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import lru_cache
from math import isfinite, log, sqrt

import numpy as np

from core_model.errors import OptionUnfit
from privacy.opacus_accountants import accountants

Release = tuple[float, float, int]  # noise multiplier, sampling rate, times

# Opacus' orders reach from 1.1 to 63; the ends are needed for very large and very small epsilons. Above 1,024 its
# binomial coefficients overflow.
ORDERS = [1.005, 1.01, 1.02, 1.05, *(1 + i / 10 for i in range(1, 100)), *range(11, 64), 64, 80, 96, 128, 192, 256, 512,
          1024]  # fmt: skip
# Fewer orders give a looser bound, twenty times as fast: where to begin a search, how fine a grid to take.
QUICK = [1.02, 1.1, 1.25, 1.5, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32, 48, 64, 128, 256, 1024]
ROUNDING = 0.002  # PRV rounds epsilon up by about this share of it,
FINEST = 5e-4  # and by at least this much,
LARGEST_PRV = 500.0  # its e^epsilon leaves the range of a float soon after
GRID = 2**22  # and by more where its grid would have more points than this: seconds, and hundreds of megabytes
COARSEST = 0.1  # but never by more than this share
GUESSED = 20  # a guess of the answer rounds this much more coarsely, and costs about so much less


def rdp_epsilon(history: Sequence[Release], delta: float, *, orders: Sequence[float] = ORDERS) -> float:
    """Epsilon by Renyi differential privacy, over Opacus' orders and a few more at both ends.

    Args:
        history: noise multiplier, sampling rate of a Poisson sample (1: everybody), times. Noise above 0.
        delta: in (0, 1).
        orders: Renyi orders to choose the best of; every choice gives a valid bound.
    Returns: epsilon >= 0 of the whole history.
    """
    if not history:
        return 0.0
    accountant = accountants().rdp()
    accountant.history = list(history)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "optimal order is the largest": there is none larger that can be computed
        epsilon = float(accountant.get_epsilon(delta, alphas=list(orders)))
    return max(epsilon, 0.0)  # (negative, delta) implies (0, delta)


def prv_epsilon(history: Sequence[Release], delta: float) -> float:
    """Epsilon by numerical composition: an upper bound, above the exact value by about 0.2%, and by 0.0005 at least.

    Args: as `rdp_epsilon`.
    Returns: epsilon >= 0 of the whole history.
    Raises: OptionUnfit when the figure cannot be computed in double precision (epsilon above 500, delta below 1e-14,
        or a grid that does not fit in memory).
    """
    return _prv_epsilon(tuple(history), delta) if history else 0.0


def guessed_prv_epsilon(history: Sequence[Release], delta: float) -> float:
    """About what `prv_epsilon` will say, on a grid twenty times as coarse: to search with, never to promise with.

    Args, raises: as `prv_epsilon`.
    """
    if not history:
        return 0.0
    fine = _rounding(history, delta, rdp_epsilon(history, delta, orders=QUICK))
    return max(_prv_epsilon(tuple(history), delta, GUESSED) - (GUESSED - 1) * fine, 0.0)


@lru_cache(maxsize=256)  # calibration, display and record ask for the same history; each answer takes a good while
def _prv_epsilon(history: tuple[Release, ...], delta: float, coarser: float = 1.0) -> float:
    second_opinion = rdp_epsilon(history, delta, orders=QUICK)
    error = coarser * _rounding(history, delta, second_opinion)
    if second_opinion > LARGEST_PRV:
        why = f"epsilon is about {second_opinion:.3g}, and above {LARGEST_PRV:g} e^epsilon leaves the range of a float"
    elif error > coarser * COARSEST * max(second_opinion, 0.05):
        why = f"{sum(times for _, _, times in history):,} steps need a finer grid than fits in memory"
    else:
        accountant = accountants().prv()
        accountant.history = list(history)
        try:
            with np.errstate(all="ignore"), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                epsilon = float(accountant.get_epsilon(delta, eps_error=error))
        except (RuntimeError, ValueError, ArithmeticError) as failed:
            why = str(failed)
        else:
            if isfinite(epsilon) and epsilon <= second_opinion + 2 * error:
                return max(epsilon, 0.0)
            why = f"it gives {epsilon:g} where RDP proves {second_opinion:.4g}"
    raise OptionUnfit(
        f"the PRV accountant cannot compute epsilon at delta {delta:g}: {why}",
        mend='accountant="rdp", a looser bound that is always there',
    )


def _rounding(history: Sequence[Release], delta: float, epsilon: float) -> float:
    """The rounding (and so the grid) that this history can afford; `epsilon` is roughly what comes out."""
    error = max(FINEST, ROUNDING * epsilon)
    releases = sum(times for _, _, times in history)
    mesh = error / sqrt(releases * log(12_000 / delta) / 2)  # as Opacus chooses it, with delta_error = delta / 1,000
    points = 2 * (1.7 * epsilon + 4) / mesh  # its grid reaches to epsilon at delta / 4,000, and 3 further
    return error * max(1.0, points / GRID)
