"""Each known way to a false epsilon is found where it was planted, and its healthy twin passes."""

from __future__ import annotations

from dataclasses import replace
from math import inf

import pytest

from core_model.errors import OptionUnfit
from privacy.accounting import Ledger, Phase
from privacy.linter import RULES, Fault, TrainingFacts, lint, refuse, unchecked
from tests.privacy.factories import claim, record

ROUND = Phase(1.0, 0.02, 50)
LEDGER = Ledger((Phase(1.0, 0.02, 1000),))
EPSILON = LEDGER.epsilon(1e-5)
HEALTHY = TrainingFacts(
    ledger=LEDGER, clipping_norm=1.0, sampler="poisson", gradient_divisor="public", rows=10_000, batch_size=200,
    delta=1e-5, steps_done=1000, search_trials=1, round_epsilons=(1.15,) * 20, epsilon_reported=EPSILON,
    noise_seed_published=False, claim=claim(), record=record(),
)  # fmt: skip


def found(**planted) -> list[Fault]:
    return lint(replace(HEALTHY, **planted))


def only(**planted) -> Fault:
    [fault] = found(**planted)
    return fault


def test_a_healthy_training_has_no_fault_and_every_rule_has_looked():
    assert lint(HEALTHY) == [] and unchecked(HEALTHY) == {}


@pytest.mark.parametrize("sampler", ["shuffled", "fixed"])
def test_shuffled_batches_accounted_as_poisson_are_found(sampler):
    fault = only(sampler=sampler)
    assert (fault.id, fault.severity) == ("poisson-assumed", "refuse") and "opacus#830" in fault.source
    honest = Ledger((Phase(20.0, 0.02, 1000, "none"),))
    assert found(sampler=sampler, ledger=honest, epsilon_reported=honest.epsilon(1e-5)) == []


def test_a_weighted_sampler_is_found():
    fault = only(sampler="weighted")
    assert (fault.id, fault.severity) == ("weighted-sampler", "refuse") and "opacus#813" in fault.source


def test_a_sampling_rate_below_the_true_one_is_found():
    fault = only(batch_size=400)
    assert (fault.id, fault.severity) == ("rate-too-small", "refuse")
    assert "0.04" in fault.statement and "0.02" in fault.statement
    assert found(batch_size=100) == []  # accounted for more than was done: safe


@pytest.mark.parametrize("divisor", ["batch", "rows"])
def test_a_gradient_divided_by_a_private_number_is_found(divisor):
    fault = only(gradient_divisor=divisor)
    assert (fault.id, fault.severity) == ("private-divisor", "refuse")
    assert "opacus#819" in fault.source and "opacus#571" in fault.source


@pytest.mark.parametrize("norm", [inf, 0.0])
def test_noise_without_clipping_is_found(norm):
    fault = only(clipping_norm=norm)
    assert (fault.id, fault.severity) == ("noise-without-clipping", "refuse")


def test_steps_without_noise_are_found():
    silent = LEDGER.spend(Phase(0.0, 0.02, 3))
    faults = {fault.id: fault for fault in found(ledger=silent, epsilon_reported=None)}
    assert faults["no-noise"].severity == "refuse" and "3 of 1,003 steps" in faults["no-noise"].statement


def test_an_accountant_that_forgot_on_resume_is_found():
    since_resume = Ledger((Phase(1.0, 0.02, 400),))
    fault = only(ledger=since_resume, epsilon_reported=since_resume.epsilon(1e-5))
    assert (fault.id, fault.severity) == ("steps-forgotten", "refuse") and "opacus#688" in fault.source
    assert "1,000 steps, and 400 were accounted" in fault.statement
    assert found(steps_done=990) == []  # killed between accounting and stepping: too much accounted, and safe


def test_epsilons_that_were_added_up_are_found():
    one = Ledger((ROUND,)).epsilon(1e-5, accountant="rdp")
    fault = only(round_epsilons=(one,) * 20, epsilon_reported=20 * one)
    assert (fault.id, fault.severity) == ("epsilons-added", "warn")
    assert "32.1" in fault.statement and "4.32" in fault.statement
    assert found(round_epsilons=(one,) * 20) == []  # the same rounds, composed


def test_an_epsilon_of_one_round_for_all_of_them_is_found():
    fault = only(epsilon_reported=Ledger((ROUND,)).epsilon(1e-5))
    assert (fault.id, fault.severity) == ("epsilon-understated", "refuse")


def test_a_search_that_was_not_counted_is_found():
    fault = only(search_trials=40)
    assert (fault.id, fault.severity) == ("search-not-counted", "warn") and "LeakPro#438" in fault.source
    assert found(search_trials=40, search_counted=True) == []


def test_a_delta_above_one_row_is_found():
    [fault] = [fault for fault in found(delta=2e-4) if fault.id == "large-delta"]
    assert fault.severity == "warn" and "1/10,000" in fault.statement


def test_noise_from_a_published_seed_is_found():
    fault = only(noise_seed_published=True)
    assert (fault.id, fault.severity) == ("noise-repeatable", "warn")


def test_a_claim_that_its_record_contradicts_is_found():
    fault = only(claim=claim(epsilon=1.0))
    assert (fault.id, fault.severity) == ("claim-contradicted", "refuse")
    assert "claimed to be 1;" in fault.statement and "3.9" in fault.statement


def test_what_is_not_known_is_not_judged_but_named():
    facts = TrainingFacts(ledger=LEDGER)
    assert lint(facts) == []
    assert unchecked(facts)["poisson-assumed"] == ["sampler"]
    assert unchecked(facts)["rate-too-small"] == ["rows", "batch_size"]
    assert "no-noise" not in unchecked(facts)


def test_a_refused_training_gets_a_letter_and_a_warned_one_goes_on():
    with pytest.raises(OptionUnfit, match="opacus#813") as refused:
        refuse(found(sampler="weighted"))
    assert refused.value.exit_code == 2 and "same probability" in refused.value.mend
    refuse(found(search_trials=40))


def test_every_rule_says_where_it_was_met_and_what_to_do():
    assert len({rule.id for rule in RULES}) == len(RULES) == 13
    assert all(rule.source and rule.mend and rule.severity in ("refuse", "warn") for rule in RULES)
