"""Promises to the rows of a client: one account over all rounds, paid before a step; an end before it is exceeded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core_model.errors import CheckpointDamaged
from federated.arrays import Update, norm
from federated.departure import depart
from federated.environment import quiet_flower
from federated.ledger import BudgetSpent
from federated.local_training import LocalResult
from federated.options import LocalOptions, RecordPrivacy
from federated.proof import RecordProof, check
from federated.record_privacy import ClientLedger, coarse, train_rows_privately, worst_client
from federated.workbench import Workbench, workbench
from privacy.accounting import Ledger, Phase
from privacy.write_ahead import NAME
from tests.federated.world import settings

quiet_flower()

from flwr.app import ConfigRecord, RecordDict  # noqa: E402

ROUND = Phase(1.0, 0.02, 50)


def bench() -> Workbench:
    return workbench(settings(local_steps=3, batch_size=4))


def asked(number: int = 1, *, rounds: int = 2, epsilon: float = 8.0, **changed: Any) -> LocalOptions:
    private = RecordPrivacy(epsilon=epsilon, clipping_norm=1.0, rounds=rounds, noise_seed=3)
    fields: dict[str, Any] = {"steps": 3, "batch_size": 4, "learning_rate": 1e-3, **changed}
    return LocalOptions(round=number, record_privacy=private, **fields)


def train(local: LocalOptions, home: RecordDict, folder: Path | None = None) -> tuple[LocalResult, RecordProof]:
    made = bench()
    return train_rows_privately(made, 1, made.shared, local, home=home, folder=folder)


def flat(update: Update) -> np.ndarray:
    return np.concatenate([array.ravel() for array in update.values()])


# The account ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("on_disk", [True, False])
def test_twenty_rounds_are_composed_and_not_added(tmp_path: Path, on_disk: bool):
    home, folder = RecordDict(), tmp_path if on_disk else None
    for _ in range(20):  # a new process in each round
        ClientLedger(home, folder).pay_round(ROUND, clipping_norm=1.0)
    ledger = ClientLedger(home, folder).ledger
    # Opacus 1.6.0, RDP: 1.607 after one round, 4.324 after twenty; twenty times one is 32.1.
    assert ledger.epsilon(1e-5, accountant="rdp") == pytest.approx(4.324, abs=0.001)
    assert 20 * Ledger((ROUND,)).epsilon(1e-5, accountant="rdp") == pytest.approx(32.1, abs=0.1)


def test_whichever_of_state_and_file_knows_more_counts(tmp_path: Path):
    home = RecordDict()
    for _ in range(2):
        ClientLedger(home, tmp_path).pay_round(ROUND, clipping_norm=1.0)
    assert ClientLedger(RecordDict(), tmp_path).ledger.steps == 100  # the state was lost
    assert ClientLedger(home, tmp_path / "new").ledger.steps == 100  # the file was lost
    assert ClientLedger(RecordDict(), tmp_path).is_new and not ClientLedger(home, tmp_path).is_new


def test_a_damaged_account_is_never_read_as_nothing_spent(tmp_path: Path):
    with pytest.raises(CheckpointDamaged):
        ClientLedger(RecordDict({"ledger": ConfigRecord({"json": "{}"})}), None)
    (tmp_path / NAME).write_text("{")
    with pytest.raises(CheckpointDamaged):
        ClientLedger(RecordDict(), tmp_path)


@pytest.mark.parametrize(
    "step", [Phase(1.0, 0.02, 51), Phase(0.9, 0.02, 1), Phase(1.0, 0.03, 1)], ids=["more", "less noise", "more rows"]
)
def test_a_step_that_was_not_paid_for_is_not_done(step: Phase):
    ledger = ClientLedger(RecordDict(), None)
    with pytest.raises(BudgetSpent):
        ledger.spend(Phase(1.0, 0.02, 1), clipping_norm=1.0)  # nothing was paid yet
    ledger.pay_round(ROUND, clipping_norm=1.0)
    with pytest.raises(BudgetSpent):
        ledger.spend(step, clipping_norm=1.0)
    ledger.spend(Phase(1.0, 0.02, 50), clipping_norm=1.0)
    with pytest.raises(BudgetSpent):
        ledger.spend(Phase(1.0, 0.02, 1), clipping_norm=1.0)


# A client's rounds ---------------------------------------------------------------------------------------------------


def test_a_client_takes_part_until_a_round_more_would_exceed_its_budget(tmp_path: Path):
    home, noises, epsilons = RecordDict(), [], []
    for number in (1, 2):
        local = asked(number)
        result, proof = train(local, home, tmp_path)
        leaving = depart(result.update, local, home=home, client=1, record_privacy=proof)
        assert check(local, leaving.proof, update=leaving.update) is None
        noises.append(proof.noise_multiplier)
        epsilons.append(proof.epsilon)
    assert noises[0] == noises[1]
    assert epsilons[0] < epsilons[1] <= 8.0
    assert epsilons[1] > 0.99 * 8.0  # calibrated for these two rounds
    before = (tmp_path / NAME).read_bytes()
    with pytest.raises(BudgetSpent, match="client 1 has spent"):
        train(asked(3), home, tmp_path)
    assert (tmp_path / NAME).read_bytes() == before
    assert Ledger.from_json(str(home.config_records["ledger"]["json"])).steps == 6


def test_a_client_killed_in_a_round_has_paid_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from federated.record_privacy import RoundStep

    def killed(*_: Any, **__: Any) -> None:
        assert ClientLedger(RecordDict(), tmp_path).ledger.steps == 3  # before the first step
        raise KeyboardInterrupt

    monkeypatch.setattr(RoundStep, "gradients", killed)
    with pytest.raises(KeyboardInterrupt):
        train(asked(), RecordDict(), tmp_path)
    assert ClientLedger(RecordDict(), tmp_path).ledger.steps == 3


def test_the_model_is_left_without_hooks_for_the_next_client():
    model = bench().task.model
    before = sum(len(m._forward_hooks) + len(m._backward_hooks) + len(m._forward_pre_hooks) for m in model.modules())
    train(asked(), RecordDict())
    after = sum(len(m._forward_hooks) + len(m._backward_hooks) + len(m._forward_pre_hooks) for m in model.modules())
    assert after == before


def test_fedprox_is_added_behind_the_noise_in_every_step_and_pulls_back():
    free, _ = train(asked(optimizer="sgd", learning_rate=0.1), RecordDict())
    held, _ = train(asked(optimizer="sgd", learning_rate=0.1, proximal_mu=5.0), RecordDict())
    assert (free.proximal_mu, held.proximal_mu) == (0.0, 5.0)
    assert norm(held.update) < 0.9 * norm(free.update)


def test_each_round_has_noise_of_its_own_even_where_its_seed_is_published():
    one, _ = train(asked(1), RecordDict())
    again, _ = train(asked(1), RecordDict())
    other, _ = train(asked(2), RecordDict())
    assert np.array_equal(flat(one.update), flat(again.update))
    assert not np.array_equal(flat(one.update), flat(other.update))


def test_under_a_mask_neither_rate_nor_delta_tells_how_many_rows_there_are():
    _, proof = train(asked(secure=True), RecordDict())
    [phase] = Ledger.from_json(proof.ledger).phases
    rows = len(bench().view(1)[1].training)
    assert phase.sampling_rate == coarse(4 / rows) >= 4 / rows
    assert np.log2(phase.sampling_rate) == round(np.log2(phase.sampling_rate))
    assert proof.delta <= 1 / (10 * rows)


def test_the_worst_clients_epsilon_holds_for_every_row():
    def proof(steps: int, delta: float) -> RecordProof:
        ledger = Ledger((Phase(2.0, 0.1, steps),))
        return RecordProof(
            noise_multiplier=2.0, clipping_norm=1.0, steps=steps, epsilon=0.0, delta=delta, ledger=ledger.to_json()
        )

    worst = worst_client({0: proof(10, 1e-3), 4: proof(90, 1e-4), 7: proof(20, 1e-5)})
    assert worst is not None
    client, epsilon, delta = worst
    assert (client, delta) == (4, 1e-3)
    assert epsilon == Ledger((Phase(2.0, 0.1, 90),)).epsilon(1e-3)
    assert worst_client({}) is None
