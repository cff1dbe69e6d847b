"""Calibrated noise keeps the promise, and wastes little of it."""

from __future__ import annotations

from math import sqrt

import pytest
from pytest import approx

from core_model.errors import OptionUnfit
from privacy.accounting import Budget, Ledger, Phase
from privacy.calibration import LARGEST_NOISE, SMALLEST_NOISE, noise_multiplier_for, steps_left
from tests.privacy.test_accounting import analytic_gaussian


@pytest.mark.parametrize("accountant", ["prv", "rdp"])
@pytest.mark.parametrize(
    ("epsilon", "delta", "rate", "steps"),
    [(8.0, 1e-5, 0.0032, 938), (1.0, 1e-5, 0.2233, 45), (0.2, 1e-6, 0.01, 100), (50.0, 1e-5, 0.02, 100)],
)
def test_calibrated_noise_spends_almost_all_of_epsilon_and_no_more(epsilon, delta, rate, steps, accountant):
    noise = noise_multiplier_for(epsilon, delta=delta, sampling_rate=rate, steps=steps, accountant=accountant)
    spent = Ledger((Phase(noise, rate, steps),)).epsilon(delta, accountant=accountant)
    assert 0.99 * epsilon <= spent <= epsilon


def test_calibration_without_sampling_is_the_analytic_gaussian():
    noise = noise_multiplier_for(3.0, delta=1e-6, sampling_rate=0.1, steps=25, sampling="none")
    assert analytic_gaussian(noise / sqrt(25), 1e-6) == approx(3.0, rel=0.01)


@pytest.mark.filterwarnings("ignore:Optimal order")
def test_noise_agrees_with_opacus_own_search():
    from opacus.accountants.utils import get_noise_multiplier

    theirs = get_noise_multiplier(target_epsilon=3.0, target_delta=1e-5, sample_rate=0.01, steps=500, accountant="rdp")
    ours = noise_multiplier_for(3.0, delta=1e-5, sampling_rate=0.01, steps=500, accountant="rdp")
    assert ours == approx(theirs, rel=0.01)


def test_what_was_spent_before_is_part_of_the_promise():
    spent = Ledger((Phase(20.0, 1.0, 50),))
    alone = noise_multiplier_for(2.0, delta=1e-5, sampling_rate=1.0, steps=50)
    after = noise_multiplier_for(2.0, delta=1e-5, sampling_rate=1.0, steps=50, spent=spent)
    assert after > alone
    assert 1.98 <= spent.spend(Phase(after, 1.0, 50)).epsilon(1e-5) <= 2.0
    with pytest.raises(OptionUnfit, match="spent already"):
        noise_multiplier_for(0.5, delta=1e-5, sampling_rate=1.0, steps=1, spent=spent)


def test_a_promise_that_no_noise_keeps_is_refused_with_what_could_be_had():
    with pytest.raises(OptionUnfit, match="cannot be reached in 1,000,000 steps") as refused:
        noise_multiplier_for(0.01, delta=1e-7, sampling_rate=1.0, steps=10**6)
    assert f"{LARGEST_NOISE:,.0f} it is still" in str(refused.value)
    assert "--epsilon with a larger number" in refused.value.mend


def test_a_generous_epsilon_does_not_switch_the_noise_off():
    assert noise_multiplier_for(400.0, delta=1e-5, sampling_rate=0.01, steps=10) == SMALLEST_NOISE


@pytest.mark.parametrize("epsilon", [0.0, -1.0, float("nan")])
def test_an_epsilon_that_cannot_be_is_refused(epsilon):
    with pytest.raises(OptionUnfit, match="epsilon is"):
        noise_multiplier_for(epsilon, delta=1e-5, sampling_rate=0.1, steps=10)


@pytest.mark.parametrize("accountant", ["prv", "rdp"])
def test_the_steps_left_fit_the_budget_and_few_more_do(accountant):
    budget, spent = Budget(3.0, 1e-5), Ledger((Phase(100.0, 1.0, 200),))
    left = steps_left(spent, budget, noise_multiplier=100.0, sampling_rate=1.0, accountant=accountant)
    assert left > 1000
    assert not spent.would_exceed(budget, after=Phase(100.0, 1.0, left), accountant=accountant)
    assert spent.would_exceed(budget, after=Phase(100.0, 1.0, round(left * 1.03) + 1), accountant=accountant)


def test_no_steps_are_left_where_one_would_be_too_many():
    assert steps_left(Ledger(), Budget(1.0, 1e-5), noise_multiplier=0.5, sampling_rate=1.0) == 0
    assert steps_left(Ledger(), Budget(1.0, 1e-5), noise_multiplier=0.0, sampling_rate=0.1) == 0


def test_few_steps_left_are_counted_to_the_step():
    budget, ledger = Budget(10.0, 1e-5), Ledger()
    left = steps_left(ledger, budget, noise_multiplier=1.0, sampling_rate=1.0)
    assert not ledger.would_exceed(budget, after=Phase(1.0, 1.0, left))
    assert ledger.would_exceed(budget, after=Phase(1.0, 1.0, left + 1))
