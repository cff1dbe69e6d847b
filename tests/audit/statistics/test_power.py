"""Promises of the minimum detectable effect: an effect of that size is found in 80 of 100 trials."""

import numpy as np
import pytest
from statsmodels.stats.proportion import power_proportions_2indep

from audit.statistics import minimum_detectable_effect


@pytest.mark.parametrize(
    ("n", "rate", "power"), [(1000, 0.8, 0.8), (300, 0.5, 0.9), (5000, 0.95, 0.8), (400, 0.1, 0.8)]
)
def test_statsmodels_gives_that_effect_that_power(n, rate, power):
    effect = minimum_detectable_effect(n, rate, power=power).value
    signed = -effect if rate >= 0.5 else effect
    result = power_proportions_2indep(signed, rate, n, ratio=1, alpha=0.05, return_results=True)
    assert result.power == pytest.approx(power, abs=0.005)


def test_mcnemars_test_finds_that_effect_in_80_of_100_trials():
    n, disagreement = 2000, 0.12
    effect = minimum_detectable_effect(n, 0.8, paired_disagreement=disagreement).value
    only_a, only_b = (disagreement + effect) / 2, (disagreement - effect) / 2
    draws = np.random.default_rng(0).multinomial(n, [only_a, only_b, 1 - disagreement], 4000)
    z = (draws[:, 0] - draws[:, 1]) / np.sqrt(draws[:, 0] + draws[:, 1])
    assert np.mean(np.abs(z) > 1.96) == pytest.approx(0.8, abs=0.03)


def test_pairing_and_more_rows_show_smaller_effects():
    alone = minimum_detectable_effect(1000, 0.8)
    assert minimum_detectable_effect(4000, 0.8).value < 0.6 * alone.value
    assert minimum_detectable_effect(1000, 0.8, paired_disagreement=0.05).value < alone.value


def test_too_few_rows_for_any_effect_are_absent():
    assert "cannot show" in minimum_detectable_effect(3, 0.5).reason
    assert minimum_detectable_effect(0, 0.5).value is None


@pytest.mark.parametrize(
    "bad", [{"rate": 1.2}, {"rate": 0.5, "power": 1.0}, {"rate": 0.5, "paired_disagreement": -0.1}]
)
def test_arguments_outside_their_range_are_refused(bad):
    with pytest.raises(ValueError, match="outside"):
        minimum_detectable_effect(100, **bad)
