"""Promises of the federation's ledger: written before, composed over rounds and restarts, never exceeded."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from core_model.errors import CheckpointDamaged, OutputUnwritable
from federated.ledger import EVERY_CLIENT, NAME, BudgetSpent, FederatedLedger
from privacy.accounting import Budget, Phase

ROUND = Phase(1.0, 0.02, 50)  # the twenty rounds of Opacus' accountant: 32.1 added up, 4.324 composed
BUDGET = Budget(8.0, 1e-5)


def test_twenty_rounds_are_composed_and_not_added(tmp_path: Path):
    ledger = FederatedLedger(tmp_path / NAME)
    for _ in range(20):
        ledger.spend({EVERY_CLIENT: ROUND}, budget=BUDGET)
    # Opacus 1.6.0's RDP and PRV accountants in one shot of 1,000 steps; a round alone is 1.607.
    assert ledger.epsilon(EVERY_CLIENT, 1e-5, accountant="rdp") == pytest.approx(4.324, abs=0.001)
    assert ledger.epsilon(EVERY_CLIENT, 1e-5) == pytest.approx(3.909, rel=0.005)
    alone = FederatedLedger(tmp_path / "alone.json")
    alone.spend({EVERY_CLIENT: ROUND}, budget=BUDGET)
    assert 20 * alone.epsilon(EVERY_CLIENT, 1e-5, accountant="rdp") == pytest.approx(32.1, abs=0.1)


def test_a_restart_goes_on_where_the_ledger_stood(tmp_path: Path):
    FederatedLedger(tmp_path / NAME).spend({EVERY_CLIENT: ROUND}, budget=BUDGET, clipping_norm=0.5)
    again = FederatedLedger(tmp_path / NAME)
    assert (again[EVERY_CLIENT].steps, again.clipping_norm) == (50, 0.5)
    again.spend({EVERY_CLIENT: ROUND}, budget=BUDGET)
    assert FederatedLedger(tmp_path / NAME)[EVERY_CLIENT].steps == 100


def test_a_round_that_would_exceed_the_budget_is_refused_before_it_is_written(tmp_path: Path):
    ledger, tight = FederatedLedger(tmp_path / NAME), Budget(1.0, 1e-5)
    one = Phase(5.0, 1.0, 1, "none")  # epsilon 0.7255; two: 1.0608 (Balle and Wang 2018, equation 6)
    ledger.spend({"client 0": one, "client 1": one}, budget=tight)
    before = (tmp_path / NAME).read_text()
    with pytest.raises(BudgetSpent, match=r"client 0 to epsilon 1\.06"):
        ledger.spend({"client 2": one, "client 0": one}, budget=tight)
    assert (tmp_path / NAME).read_text() == before
    assert ledger["client 2"].steps == 0  # all pay or nobody does
    assert ledger.beyond({"client 2": one, "client 0": one}, budget=tight) == ["client 0"]


def test_each_unit_pays_for_its_own_rounds(tmp_path: Path):
    ledger, one = FederatedLedger(tmp_path / NAME), Phase(5.0, 1.0, 1, "none")
    for asked in (("client 0", "client 1"), ("client 1", "client 2"), ("client 1",)):
        ledger.spend(dict.fromkeys(asked, one), budget=BUDGET)
    worst = FederatedLedger(tmp_path / NAME).worst(1e-5)
    assert worst is not None and worst[0] == "client 1"
    assert [ledger[f"client {i}"].steps for i in range(4)] == [1, 3, 1, 0]


def test_a_server_killed_between_paying_and_the_model_has_paid(tmp_path: Path):
    code = (
        "import os, signal, sys; from pathlib import Path; from federated.ledger import *; "
        "from privacy.accounting import Budget, Phase\n"
        "ledger = FederatedLedger(Path(sys.argv[1]))\n"
        "for round in range(3):\n"
        "    ledger.spend({EVERY_CLIENT: Phase(5.0, 1.0, 1, 'none')}, budget=Budget(8.0, 1e-5))\n"
        "    if round == 1: os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(tmp_path / NAME)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert FederatedLedger(tmp_path / NAME)[EVERY_CLIENT].steps == 2
    assert [file.name for file in tmp_path.iterdir()] == [NAME]


@pytest.mark.parametrize("planted", ["", "{", "[]", '{"kind": "privacy ledger", "version": 1, "ledgers": {}}'])
def test_a_damaged_ledger_is_never_read_as_nothing_spent(tmp_path: Path, planted: str):
    (tmp_path / NAME).write_text(planted)
    with pytest.raises(CheckpointDamaged, match="what was spent is not known"):
        FederatedLedger(tmp_path / NAME)


def test_steps_that_were_taken_out_of_the_ledger_are_missed(tmp_path: Path):
    FederatedLedger(tmp_path / NAME).spend({EVERY_CLIENT: ROUND}, budget=BUDGET)
    state = json.loads((tmp_path / NAME).read_text())
    state["ledgers"][EVERY_CLIENT]["phases"][0]["steps"] = 1
    (tmp_path / NAME).write_text(json.dumps(state))
    with pytest.raises(CheckpointDamaged, match="every client"):
        FederatedLedger(tmp_path / NAME)


def test_a_ledger_that_cannot_be_written_spends_nothing(tmp_path: Path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    ledger = FederatedLedger(blocked / NAME)
    with pytest.raises(OutputUnwritable):
        ledger.spend({EVERY_CLIENT: ROUND}, budget=BUDGET)
    assert ledger[EVERY_CLIENT].steps == 0
