"""Calibration: which noise keeps a promise of (epsilon, delta), and how many steps does a budget still pay for?

Both search along a curve that falls or rises like a power of its argument, so that interpolation on logarithmic axes
needs a handful of accountings where halving needs twenty. The answer always lies on the safe side.
"""

from __future__ import annotations

from collections.abc import Callable
from math import exp, inf, log

from core_model.errors import OptionUnfit
from privacy.accountants import QUICK, guessed_prv_epsilon, rdp_epsilon
from privacy.accounting import Accountant, Budget, Ledger, Phase, Sampling

SMALLEST_NOISE, LARGEST_NOISE = 0.1, 1_000.0  # below, PRV overflows; above, no gradient is left
SLACK = 0.005  # share of epsilon that may stay unspent
MOST_STEPS = 10**7


def noise_multiplier_for(
    epsilon: float, *, delta: float, sampling_rate: float, steps: int, sampling: Sampling = "poisson",
    accountant: Accountant = "prv", spent: Ledger | None = None,
) -> float:  # fmt: skip
    """The least noise with which `steps` more steps keep within (epsilon, delta), to about 0.5% of epsilon.

    Args:
        epsilon, delta: the promise, over everything in `spent` and these steps together.
        sampling_rate, steps, sampling: of the steps to come, as in `Phase`.
        spent: what was spent before.
    Returns: noise multiplier; its epsilon is at most `epsilon`. Never below 0.1, even for a generous epsilon.
    Raises: OptionUnfit when even a noise multiplier of 1,000 is too little, or a value cannot be.
    """
    Budget(epsilon, delta)  # refuses what cannot be
    ledger = spent or Ledger()

    def spent_with(noise: float) -> Ledger:
        return ledger.spend(Phase(noise, sampling_rate, steps, sampling))

    def epsilon_of(noise: float) -> float:
        return spent_with(noise).epsilon(delta, accountant=accountant)

    def roughly(noise: float) -> float:
        return rdp_epsilon(spent_with(noise).releases(), delta, orders=QUICK)

    def closely(noise: float) -> float:
        return guessed_prv_epsilon(spent_with(noise).releases(), delta)

    if ledger.epsilon(delta, accountant=accountant) >= epsilon:
        raise OptionUnfit(
            f"the budget of epsilon {epsilon:g} at delta {delta:g} is spent already",
            mend="--epsilon with a larger number, or no further steps",
        )
    start = _by_doubling(roughly, epsilon, first=SMALLEST_NOISE)
    if start is not None:  # the quick bound goes most of the way
        start = _meet(roughly, epsilon, safe=start, limit=SMALLEST_NOISE, slope=-1.5)
        if accountant == "prv" and _or_infinite(closely, start) <= epsilon:  # and a coarse grid nearly all the rest
            start = _meet(closely, epsilon, safe=start, limit=SMALLEST_NOISE, slope=-1.5)
    # PRV may reach what the quick bound cannot, and for a tiny epsilon its rounding may need a little more.
    start = _by_doubling(epsilon_of, epsilon, first=start or LARGEST_NOISE)
    if start is None:
        raise OptionUnfit(
            f"epsilon {epsilon:g} at delta {delta:g} cannot be reached in {steps:,} steps at sampling rate "
            f"{sampling_rate:.3g}: with a noise multiplier of {LARGEST_NOISE:,.0f} it is still "
            f"{epsilon_of(LARGEST_NOISE):.3g}",
            mend="--epsilon with a larger number, fewer --epochs, or more rows",
        )
    return _meet(epsilon_of, epsilon, safe=start, limit=SMALLEST_NOISE, slope=-1.5)


def steps_left(
    ledger: Ledger, budget: Budget, *, noise_multiplier: float, sampling_rate: float, sampling: Sampling = "poisson",
    accountant: Accountant = "prv",
) -> int:  # fmt: skip
    """How many more steps of this kind the budget pays for: to the step, or to 0.5% of its epsilon.

    Returns: 0 where not even one fits; at most ten million.
    """
    one = Phase(noise_multiplier, sampling_rate, 1, sampling)
    if noise_multiplier == 0 or ledger.would_exceed(budget, after=one, accountant=accountant):
        return 0

    def epsilon_of(steps: float) -> float:
        phase = Phase(noise_multiplier, sampling_rate, round(steps), sampling)
        return ledger.spend(phase).epsilon(budget.delta, accountant=accountant)

    return round(_meet(epsilon_of, budget.epsilon, safe=1.0, limit=float(MOST_STEPS), slope=0.6, whole=True))


def _by_doubling(epsilon_of: Callable[[float], float], target: float, *, first: float) -> float | None:
    """The first noise of `first`, twice that, four times ... 1,000 that keeps the promise; None where none does."""
    noise = first
    while epsilon_of(noise) > target:
        if noise >= LARGEST_NOISE:
            return None
        noise = min(2 * noise, LARGEST_NOISE)
    return noise


def _meet(
    epsilon_of: Callable[[float], float], target: float, *, safe: float, limit: float, slope: float,
    whole: bool = False,
) -> float:  # fmt: skip
    """Walk from a safe argument towards `limit` until epsilon is at most the target and at least all but SLACK of it.

    Secants on logarithmic axes, halving where they leave the bracket. Every argument that is returned was itself
    accounted for, so that rounding in the accountant cannot break the promise.

    Args:
        slope: a first guess of d log(epsilon) / d log(argument).
    """
    below, above = epsilon_of(safe), inf  # epsilon at the safe end, and at the unsafe one, once there is one
    unsafe, last = limit, (safe, below)
    for _ in range(60):
        if below >= target * (1 - SLACK) or safe == limit or (whole and above < inf and abs(unsafe - safe) <= 1):
            return safe
        aim = log(target * (1 - SLACK / 2))
        guess = exp(log(last[0]) + (aim - log(max(last[1], 1e-9))) / slope)
        if guess <= min(safe, unsafe) or guess >= max(safe, unsafe):
            guess = exp((log(safe) + log(unsafe)) / 2) if above < inf else limit
        if whole:
            guess = min(max(float(round(guess)), safe + 1), unsafe if above == inf else unsafe - 1)
        epsilon = _or_infinite(epsilon_of, guess)
        if epsilon < inf and epsilon != last[1] and guess != last[0]:
            slope = (log(max(epsilon, 1e-9)) - log(max(last[1], 1e-9))) / (log(guess) - log(last[0])) or slope
            last = (guess, epsilon)
        if epsilon <= target:
            safe, below = guess, epsilon
        else:
            unsafe, above = guess, min(epsilon, 1e12)
    return safe


def _or_infinite(epsilon_of: Callable[[float], float], argument: float) -> float:
    """Epsilon, or infinite where the accountant cannot compute one: then that argument is not safe."""
    try:
        return epsilon_of(argument)
    except OptionUnfit:
        return inf
