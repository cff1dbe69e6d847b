"""A clipping norm that follows the rows' own norms, without looking at them for free.

In each step the share of units whose gradient is within the norm is counted with noise, and the norm is moved until
half of them are. The count is a second release of the same step: its noise and the gradient's are chosen so that both
together cost what the gradient alone would have cost with the noise multiplier that was calibrated.

Source: Andrew, Thakkar, McMahan and Ramaswamy 2021, arXiv:1905.03871, theorem 1 and algorithm 1.
"""

from __future__ import annotations

from math import exp, sqrt

from core_model.errors import OptionUnfit

TARGET = 0.5  # share of units that should not be clipped: the median
RATE = 0.2  # of the geometric steps of the norm, as in the paper
COUNT_NOISE_SHARE = 1 / 20  # standard deviation of the count's noise over the expected units, as in the paper


class AdaptiveClipping:
    """The norm, and how noise is shared between gradient and count.

    Args:
        noise_multiplier: of both together.
        expected_units: in a step.
        norm: to begin with.
    Attributes:
        gradient_noise_multiplier: what the gradient gets.
        count_noise: standard deviation of the noise on the count of unclipped units (centred by a half).
    Raises: OptionUnfit when a step is so small that the count alone would spend more than both may.
    """

    def __init__(self, *, noise_multiplier: float, expected_units: float, norm: float) -> None:
        self.norm, self.expected_units = norm, expected_units
        self.count_noise = expected_units * COUNT_NOISE_SHARE
        left = noise_multiplier**-2 - (2 * self.count_noise) ** -2
        if left <= 0:
            raise OptionUnfit(
                f"with {expected_units:g} rows in a step and a noise multiplier of {noise_multiplier:.3g} nothing is "
                "left to count clipped rows with",
                mend=f"--batch-size of more than {10 * noise_multiplier:.0f}, or --clipping flat",
            )
        self.gradient_noise_multiplier = 1 / sqrt(left)

    def follow(self, unclipped: int, *, units: int, noise: float) -> None:
        """Move the norm after a step.

        Args:
            unclipped: units of the step whose gradient was within the norm. units: units of the step.
            noise: a draw of N(0, 1).
        """
        # Centred by a half, so that one unit more or less changes the sum by at most a half.
        centred = unclipped - units / 2 + noise * self.count_noise
        share = centred / self.expected_units + 0.5
        self.norm *= exp(-RATE * (min(max(share, 0.0), 1.0) - TARGET))
