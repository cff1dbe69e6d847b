"""Power: how small a difference could this many rows show?"""

from __future__ import annotations

from math import sqrt

from audit.statistics.estimate import Estimate
from audit.statistics.proportions import normal_quantile

PAIRED = "McNemar's test, normal power (Connor 1987; Card et al. 2020, arXiv:2010.06595)"
PAIRED_MEAN = "paired z-test, normal power (Card et al. 2020, arXiv:2010.06595)"
UNPAIRED = "two-proportion z-test, normal power (Card et al. 2020, arXiv:2010.06595)"


def minimum_detectable_effect(
    n: int, rate: float, *, power: float = 0.8, alpha: float = 0.05, paired_disagreement: float | None = None
) -> Estimate:
    """The smallest difference in a rate (accuracy, say) that n rows would show with this power.

    Args:
        n: rows; each of the two models is judged on n rows.
        rate: the rate that is compared, in [0, 1].
        power: chance to find a difference of this size.
        alpha: two-sided level of the test.
        paired_disagreement: share of rows on which exactly one of the two is right, when both judge the same rows
            (McNemar's test). None: two separate samples of n rows.
    Returns: an Estimate without an interval (it is a plan, not a measurement), in share of rows. Absent when no
        difference that is possible at all could be found.
    Raises: ValueError for arguments outside their range.
    Source: Card et al. 2020, "With Little Power Comes Great Responsibility"; Connor 1987, Biometrics 43:207.
    """
    if not (0 <= rate <= 1 and 0 < power < 1 and 0 < alpha < 1):
        raise ValueError(f"rate {rate}, power {power} or alpha {alpha} lies outside its range")
    if n < 1:
        return Estimate.absent("no rows")
    z_alpha, z_power = normal_quantile(1 - alpha / 2), normal_quantile(power)

    def shortfall(effect: float) -> float:
        """Standardized distance that is still missing; falls through 0 at the answer."""
        if paired_disagreement is not None:
            psi = paired_disagreement
            return z_alpha * sqrt(psi) + z_power * sqrt(max(0.0, psi - effect**2)) - effect * sqrt(n)
        other = rate - effect if rate >= 0.5 else rate + effect
        mean = (rate + other) / 2
        null, alternative = sqrt(2 * mean * (1 - mean)), sqrt(rate * (1 - rate) + other * (1 - other))
        return z_alpha * null + z_power * alternative - effect * sqrt(n)

    largest = paired_disagreement if paired_disagreement is not None else max(rate, 1 - rate)
    if not 0 <= largest <= 1:
        raise ValueError(f"paired_disagreement {paired_disagreement} lies outside [0, 1]")
    if shortfall(largest) > 0:
        return Estimate.absent(f"{n} rows cannot show any difference with power {power:g}", n=n)
    low, high = 0.0, largest
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if shortfall(middle) > 0 else (low, middle)
    method = PAIRED if paired_disagreement is not None else UNPAIRED
    return Estimate(high, None, None, n, method, reason="a planning figure: it follows from n, rate, power and alpha")


def minimum_detectable_difference(
    n: int, spread: float, *, correlation: float = 0.5, power: float = 0.8, alpha: float = 0.05
) -> Estimate:
    """The smallest difference in a mean over rows that n rows would show between two systems on the same rows.

    Args:
        n: rows.
        spread: standard deviation of what single rows contribute to one system's number, in its unit.
        correlation: of the two systems' rows; rows that are hard for both make it high, and the difference easier to
            see. A guess until the second system is there.
        power: chance to find a difference of this size.
        alpha: two-sided level of the test.
    Returns: an Estimate without an interval (it is a plan, not a measurement), in the unit of `spread`.
    Raises: ValueError for arguments outside their range.
    Source: Card et al. 2020, arXiv:2010.06595; paired z-test, normal power.
    """
    if not (-1 <= correlation <= 1 and 0 < power < 1 and 0 < alpha < 1 and spread >= 0):
        raise ValueError(f"correlation {correlation}, power {power}, alpha {alpha} or spread {spread} is out of range")
    if n < 2:
        return Estimate.absent("fewer than 2 rows")
    if spread == 0:
        return Estimate.absent("every row says the same: nothing is known of how rows differ", n=n)
    z = normal_quantile(1 - alpha / 2) + normal_quantile(power)
    value = z * spread * sqrt(2 * (1 - correlation)) / sqrt(n)
    return Estimate(
        value, None, None, n, PAIRED_MEAN, reason="a planning figure: it follows from n and the rows' spread"
    )
