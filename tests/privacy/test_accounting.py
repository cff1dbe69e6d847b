"""The accounting adds nothing up, forgets nothing, and agrees with two independent computations."""

from __future__ import annotations

import json
from math import exp, inf, log, sqrt

import numpy as np
import pytest
from pytest import approx
from scipy.optimize import brentq
from scipy.special import log_ndtr, ndtr

from core_model.errors import CheckpointDamaged, OptionUnfit
from privacy.accountants import ORDERS, prv_epsilon, rdp_epsilon
from privacy.accounting import Budget, Ledger, Phase, automatic_delta
from privacy.opacus_accountants import accountants
from tests.privacy.dp_accounting_grid import FILE, HISTORIES, epsilons

GRID = json.loads(FILE.read_text())["rows"]


def as_ledger(history) -> Ledger:
    return Ledger(tuple(Phase(noise, rate, steps) for noise, rate, steps in history))


def analytic_gaussian(noise: float, delta: float) -> float:
    """Balle and Wang 2018, arXiv:1805.06530, theorem 8: the exact epsilon of one Gaussian release, sensitivity 1."""

    def excess(epsilon: float) -> float:
        return ndtr(0.5 / noise - epsilon * noise) - exp(epsilon + log_ndtr(-0.5 / noise - epsilon * noise)) - delta

    return brentq(excess, 0, 600)


@pytest.mark.parametrize("row", GRID, ids=lambda row: str(row["history"]))
def test_prv_agrees_with_dp_accounting_within_one_percent(row):
    ours = as_ledger(row["history"]).epsilon(row["delta"])
    assert row["pld"] * 0.999 <= ours <= row["pld"] * 1.01  # dp-accounting's own figure is rounded up a little, too


@pytest.mark.parametrize("row", GRID, ids=lambda row: str(row["history"]))
def test_rdp_is_a_bound_and_no_looser_than_dp_accountings(row):
    # No looser only: at a few points dp-accounting drops orders whose series it does not finish.
    ours = as_ledger(row["history"]).epsilon(row["delta"], accountant="rdp")
    assert row["pld"] < ours <= row["rdp"] * 1.0001


def test_the_stored_epsilons_are_those_of_dp_accounting():
    pytest.importorskip("dp_accounting", reason="dp-accounting is not installed; its stored figures are used")
    for row, (history, delta) in list(zip(GRID, HISTORIES, strict=True))[:3]:
        assert epsilons(history, delta) == approx({"pld": row["pld"], "rdp": row["rdp"]}, rel=1e-6)


@pytest.mark.parametrize("order", [1.005, 1.1, 1.8, 7.8, 64, 1024])
def test_renyi_divergence_equals_its_integral(order):
    """The orders beyond Opacus' own, held against plain numerical integration of the definition."""
    from opacus.accountants.analysis.rdp import compute_rdp

    rate, noise = 0.1, 1.5
    assert order in ORDERS
    x = np.linspace(-60, 60 + 1.2 * order, 400_001)
    ratio = np.logaddexp(log(1 - rate), log(rate) + (2 * x - 1) / (2 * noise**2))
    integrand = -(x**2) / (2 * noise**2) - log(noise * sqrt(2 * np.pi)) + order * ratio
    peak = integrand.max()
    integral = (peak + log(np.trapezoid(np.exp(integrand - peak), x))) / (order - 1)
    assert compute_rdp(q=rate, noise_multiplier=noise, steps=1, orders=[order])[0] == approx(integral, rel=1e-4)


def test_twenty_rounds_compose_and_are_not_added():
    ledger, one_round = Ledger(), Phase(1.0, 0.02, 50)
    for _ in range(20):
        ledger = ledger.spend(one_round)
    assert ledger.steps == 1000 and len(ledger.phases) == 1
    assert ledger.epsilon(1e-5, accountant="rdp") == approx(4.324, abs=0.001)  # Opacus in one shot of 1,000 steps
    assert ledger.epsilon(1e-5) == approx(3.90, abs=0.02)
    assert 20 * Ledger((one_round,)).epsilon(1e-5, accountant="rdp") == approx(32.1, abs=0.1)


def test_the_order_of_phases_does_not_matter():
    loud, quiet = Phase(2.0, 0.05, 100), Phase(0.9, 0.01, 200)
    alternating = Ledger().spend(loud).spend(quiet).spend(loud).spend(quiet)
    sorted_out = Ledger().spend(loud).spend(loud).spend(quiet).spend(quiet)
    assert len(alternating.phases) == 4
    for accountant in ("prv", "rdp"):
        assert alternating.epsilon(1e-6, accountant=accountant) == sorted_out.epsilon(1e-6, accountant=accountant)


@pytest.mark.parametrize(("noise", "steps"), [(1.0, 1), (5.0, 10), (20.0, 1000), (0.7, 1)])
@pytest.mark.parametrize("delta", [1e-3, 1e-6])
def test_without_poisson_sampling_each_step_is_a_whole_gaussian_release(noise, steps, delta):
    shuffled = Ledger((Phase(noise, 0.01, steps, "none"),))
    truth = analytic_gaussian(noise / sqrt(steps), delta)
    assert truth <= shuffled.epsilon(delta) <= truth * 1.005
    assert shuffled.epsilon(delta, accountant="rdp") >= truth


def test_whole_releases_of_different_noise_compose_to_one_gaussian():
    ledger = Ledger((Phase(3.0, 1.0, 2), Phase(8.0, 0.1, 30, "none")))
    truth = analytic_gaussian(1 / sqrt(2 / 9 + 30 / 64), 1e-5)
    assert truth <= ledger.epsilon(1e-5) <= truth * 1.005


def test_shuffled_batches_get_no_amplification():
    poisson, shuffled = (Ledger((Phase(1.0, 0.01, 100, sampling),)) for sampling in ("poisson", "none"))
    assert shuffled.epsilon(1e-5) > 30 * poisson.epsilon(1e-5)
    assert shuffled.epsilon(1e-5) == Ledger((Phase(1.0, 1.0, 100),)).epsilon(1e-5)


def test_a_restart_forgets_nothing():
    ledger = Ledger()
    for step in range(30):  # thirds and tenths: no float here is a short decimal
        ledger = Ledger.from_json(ledger.spend(Phase(1 / 3 + step // 10 / 10, 7 / 2293, 1)).to_json())
    assert ledger == Ledger(tuple(Phase(1 / 3 + tenth / 10, 7 / 2293, 10) for tenth in range(3)))
    assert Ledger.from_json(Ledger().to_json()) == Ledger()


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[: len(text) // 2],
        lambda text: "{}",
        lambda text: "[]",
        lambda text: "[" * 100_000,
        lambda text: text.replace('"steps": 10', '"steps": 9', 1),
        lambda text: text.replace("1.5", '"a lot"'),
        lambda text: text.replace("1.5", "-1.5"),
        lambda text: text.replace("privacy ledger", "shopping list"),
        lambda text: text.replace('"version": 1', '"version": 2'),
    ],
)
def test_a_damaged_ledger_is_refused_and_never_begins_at_zero(damage):
    text = damage(Ledger((Phase(1.5, 0.1, 10),)).to_json())
    with pytest.raises(CheckpointDamaged, match="what was spent is not known") as refused:
        Ledger.from_json(text, name="run/ledger.json")
    assert "run/ledger.json" in str(refused.value)


def test_nothing_spent_is_zero_and_no_noise_is_infinite():
    assert Ledger().epsilon(1e-5) == Ledger().epsilon(1e-5, accountant="rdp") == 0
    assert Ledger((Phase(1.0, 0.1, 5), Phase(0.0, 0.1, 1))).epsilon(1e-5) == inf


def test_epsilon_is_never_negative():
    assert Ledger((Phase(1.0, 0.01, 100),)).epsilon(0.5) == 0
    assert Ledger((Phase(1.0, 0.01, 100),)).epsilon(0.5, accountant="rdp") == 0


def test_a_budget_is_exceeded_by_epsilon_at_its_own_delta():
    ledger = Ledger((Phase(1.0, 0.02, 900),))
    assert not ledger.would_exceed(Budget(4.0, 1e-5))
    assert ledger.would_exceed(Budget(4.0, 1e-7))  # the same steps cost more where less may fail
    assert not ledger.would_exceed(Budget(4.0, 1e-5), after=Phase(1.0, 0.02, 100))
    assert ledger.would_exceed(Budget(4.0, 1e-5), after=Phase(1.0, 0.02, 300))
    assert ledger.phases[0].steps == 900  # asking costs nothing


def test_a_budget_covers_another_only_in_both_numbers():
    budget = Budget(4.0, 1e-5)
    assert budget.covers(Budget(4.0, 1e-5)) and budget.covers(Budget(3.0, 1e-6))
    assert not budget.covers(Budget(3.0, 1e-4)) and not budget.covers(Budget(5.0, 1e-6))


def test_automatic_delta_is_a_tenth_of_one_row_and_stricter_than_the_other_custom():
    assert automatic_delta(10_000) == approx(1e-5)
    assert all(automatic_delta(n) < n**-1.1 < 1 / n for n in (100, 2293, 10**6))
    with pytest.raises(OptionUnfit, match="0 rows"):
        automatic_delta(0)


@pytest.mark.parametrize(
    "phase",
    [(-1.0, 0.1, 1), (1e-200, 0.1, 1), (float("nan"), 0.1, 1), (inf, 0.1, 1),
     (1.0, 0.0, 1), (1.0, 1.1, 1), (1.0, 0.1, 0), (1.0, 0.1, 1.5),
     (1.0, 0.1, 1, "weighted")],
)  # fmt: skip
def test_a_phase_that_cannot_be_is_refused(phase):
    with pytest.raises(OptionUnfit):
        Phase(*phase)


@pytest.mark.parametrize("budget", [(0.0, 1e-5), (-1.0, 1e-5), (inf, 1e-5), (1.0, 0.0), (1.0, 1.0), (1.0, -1e-5)])
def test_a_budget_that_cannot_be_is_refused(budget):
    with pytest.raises(OptionUnfit, match="Try: --"):
        Budget(*budget)


def test_what_prv_cannot_compute_is_refused_and_rdp_still_answers():
    for ledger, delta in (
        (Ledger((Phase(0.05, 0.5, 1000),)), 1e-5),  # epsilon in the hundred thousands
        (Ledger((Phase(1.0, 0.01, 1000),)), 1e-16),  # below what doubles resolve
    ):
        with pytest.raises(OptionUnfit, match='accountant="rdp"'):
            ledger.epsilon(delta)
        assert ledger.epsilon(delta, accountant="rdp") > 1


def test_a_prv_figure_above_the_second_opinion_is_not_printed(monkeypatch):
    monkeypatch.setattr(accountants().prv, "get_epsilon", lambda self, delta, **_: 99.0)
    with pytest.raises(OptionUnfit, match="RDP proves"):
        prv_epsilon([(1.0, 0.0201, 1000)], 1e-5)
    assert rdp_epsilon([(1.0, 0.0201, 1000)], 1e-5) < 5


def test_an_unknown_accountant_is_named_with_the_ones_there_are():
    with pytest.raises(OptionUnfit, match="prv, rdp"):
        Ledger((Phase(1.0, 0.1, 1),)).epsilon(1e-5, accountant="moments")
