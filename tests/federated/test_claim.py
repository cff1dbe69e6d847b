"""Promises of a federation's claim: it is what the record bears out, and the accounting linter is asked first."""

from __future__ import annotations

from typing import Any

import pytest

from core_model.errors import OptionUnfit
from federated.claim import claim_of, faults_of
from federated.record import FederatedRecord
from privacy.accounting import Ledger, Phase

COINS = Phase(1.0, 0.1, 3, "poisson")


def record(*phases: Phase, rounds: int = 3, **changed: Any) -> FederatedRecord:
    said = {
        "mechanism": "DP-FedAvg", "unit": "client", "unit_column": None, "units": 100, "expected_units": 10.0,
        "sampler": "poisson", "gradient_divisor": "public", "clipping_norm": 1.0, "delta": 1e-3,
        "ledger": Ledger(phases or (COINS,)).to_json(), "search": "none on this data", "noise_seed_published": False,
        **changed,
    }  # fmt: skip
    return FederatedRecord(
        tool={"name": "aboveboard", "version": "0"}, engine="in-process", options={}, base={"name": "b", "sha256": "c"},
        data={"sha256": "d"}, partition={}, rounds=[{}] * rounds, bytes_down=0, bytes_up=0, evaluation=None,
        clients_evaluation=None, ended="the last round", seconds=1.0, sessions=1, energy={}, versions={}, identity={},
        notes=[], privacy=said,
    )  # fmt: skip


def test_the_claim_is_the_composition_of_the_ledger_and_names_its_unit():
    claim = claim_of(record())
    assert claim is not None
    assert (claim.unit, claim.steps, claim.sampling, claim.sampling_rate) == ("client", 3, "poisson", 0.1)
    assert claim.epsilon == Ledger((COINS,)).epsilon(1e-3)
    assert claim.public["base_sha256"] == "c"


def test_a_healthy_record_has_no_fault_whoever_takes_part():
    turns = Phase(1.0, 0.25, 2, "none")
    assert faults_of(record()) == []
    assert faults_of(record(turns, rounds=8, sampler="fixed", units=20, expected_units=5.0)) == []
    assert claim_of(record().model_copy(update={"privacy": {}})) is None


@pytest.mark.parametrize(
    ("planted", "rule"),
    [
        (lambda: record(rounds=4), "steps-forgotten"),
        (lambda: record(sampler="fixed"), "poisson-assumed"),
        (lambda: record(Phase(1.0, 0.05, 3)), "rate-too-small"),
        (lambda: record(gradient_divisor="batch"), "private-divisor"),
        (lambda: record(Phase(0, 0.1, 3)), "no-noise"),
    ],
)
def test_a_record_that_does_not_bear_out_an_epsilon_makes_no_claim(planted: Any, rule: str):
    with pytest.raises(OptionUnfit, match=rule):
        claim_of(planted())


def test_a_published_seed_is_a_reservation_and_no_refusal():
    told = record(noise_seed_published=True)
    assert [fault.id for fault in faults_of(told)] == ["noise-repeatable"]
    assert claim_of(told) is not None
