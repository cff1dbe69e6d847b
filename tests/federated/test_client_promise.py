"""Promises kept to clients over rounds: who is asked, what is accounted, and when it ends."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import binomtest

from core_model.errors import OptionUnfit
from federated.arrays import Update
from federated.client_promise import ClientPromise, refuse_unfit
from federated.ledger import EVERY_CLIENT, NAME, BudgetSpent, FederatedLedger
from federated.options import FederationOptions, PrivacyPromise
from privacy.accounting import Ledger, Phase
from privacy.calibration import noise_multiplier_for

LIKE: Update = {"w": np.zeros(50, dtype=np.float32)}


def options(*, epsilon: float = 8.0, private: dict[str, Any] | None = None, **changed: Any) -> FederationOptions:
    fields: dict[str, Any] = {"clients": 20, "rounds": 4, "strategy": "fedavg", **changed}
    promise = PrivacyPromise(**{"epsilon": epsilon, "noise_seed": 1, **(private or {})})
    return FederationOptions(private=promise, **fields)


def promise(folder: Path, *, shares: int | None = None, rounds_done: int = 0, **changed: Any) -> ClientPromise:
    made = ClientPromise(options(**changed), ledger=FederatedLedger(folder / NAME), shares=shares)
    made.begin(rounds_done)
    return made


def test_all_rounds_together_stay_within_the_budget_and_the_next_one_is_refused(tmp_path: Path):
    kept = promise(tmp_path)
    for number in range(1, 5):
        kept.pay(kept.choose(number, range(20)))
    assert 0.99 * 8.0 < kept.epsilon() <= 8.0
    assert kept.budget.delta == 1 / 200
    with pytest.raises(BudgetSpent, match="the budget is 8"):
        kept.pay(kept.choose(5, range(20)))
    assert kept.ledger[EVERY_CLIENT].steps == 4


def test_only_secret_coins_amplify(tmp_path: Path):
    drawn = promise(tmp_path / "coins", participation=0.2)
    everybody = promise(tmp_path / "all")
    assert (drawn.sampling, everybody.sampling) == ("poisson", "none")
    alone = noise_multiplier_for(8.0, delta=1 / 200, sampling_rate=0.2, steps=4)
    assert drawn.noise_multiplier == pytest.approx(alone, rel=1e-6)
    assert everybody.noise_multiplier == pytest.approx(
        noise_multiplier_for(8.0, delta=1 / 200, sampling_rate=1, steps=4, sampling="none"), rel=1e-6
    )
    drawn.pay(drawn.choose(1, range(20)))
    assert drawn.ledger[EVERY_CLIENT].phases == (Phase(drawn.noise_multiplier or 0, 0.2, 1, "poisson"),)


def test_coins_are_independent_and_nobody_is_asked_twice_as_often(tmp_path: Path):
    drawn = promise(tmp_path, participation=0.2)
    rounds = [drawn.choose(number, range(20)) for number in range(1, 501)]
    sizes = [len(asked) for asked in rounds]
    assert binomtest(sum(sizes), 500 * 20, 0.2).pvalue > 0.001
    assert np.var(sizes) == pytest.approx(20 * 0.2 * 0.8, rel=0.25)
    assert 0 in sizes  # and a round without clients is noise alone
    assert norm_of(drawn.mean(1, [], [], like=LIKE)) > 0


def test_coins_without_a_published_seed_cannot_be_repeated(tmp_path: Path):
    drawn = promise(tmp_path, participation=0.5, private={"noise_seed": None})
    assert len({tuple(drawn.choose(1, range(20))) for _ in range(8)}) > 1
    assert not np.array_equal(drawn.mean(1, [], [], like=LIKE)["w"], drawn.mean(1, [], [], like=LIKE)["w"])


def test_under_secure_aggregation_clients_take_turns_and_each_pays_for_its_own(tmp_path: Path):
    taken = promise(tmp_path, secure=True, participation=0.25, shares=4, rounds=8, min_clients=4)
    assert taken.sampling == "none"
    asked: Counter[int] = Counter()
    for number in range(1, 9):
        chosen = taken.choose(number, range(20))
        taken.pay(chosen)
        asked.update(chosen)
    assert set(asked.values()) == {2}  # 8 rounds of 5 clients, 20 clients
    assert all(taken.ledger[f"client {client}"].steps == 2 for client in range(20))
    assert taken.epsilon() <= 8.0
    assert taken.choose(9, range(20)) == []  # their budget is spent: they are asked no more


def test_a_sum_of_too_few_shares_is_never_used(tmp_path: Path):
    taken = promise(tmp_path, secure=True, shares=4, min_clients=4)
    total = {"w": np.full(50, 20.0, dtype=np.float32)}
    assert taken.of_sum(1, total, 4)["w"] == pytest.approx(np.ones(50))  # 20 clients are expected
    with pytest.raises(OptionUnfit, match="3 clients' shares"):
        taken.of_sum(1, total, 3)
    assert taken.noise_shares is not None and taken.noise_shares.shares == 4
    assert any("server" in line and line.startswith("Holds") for line in taken.adversary())


def test_a_lost_round_is_paid_for_and_the_rounds_left_get_more_noise(tmp_path: Path):
    first = promise(tmp_path)
    first.pay(range(20))  # and the server is killed before it has a model
    second = promise(tmp_path)
    assert (second.noise_multiplier or 0) > (first.noise_multiplier or 0)
    for _ in range(4):
        second.pay(range(20))
    assert 0.99 * 8.0 < second.epsilon() <= 8.0


def test_a_resumed_run_goes_on_with_the_same_noise(tmp_path: Path):
    first = promise(tmp_path)
    first.pay(range(20))
    again = promise(tmp_path, rounds_done=1)
    assert again.noise_multiplier == first.noise_multiplier
    one, other = first.mean(2, [], [], like=LIKE), again.mean(2, [], [], like=LIKE)
    assert np.array_equal(one["w"], other["w"])


def adapt(kept: ClientPromise, rounds: range, lengths: np.ndarray) -> None:
    for number in rounds:
        updates = [{"w": np.full(50, length / np.sqrt(50), dtype=np.float32)} for length in lengths]
        kept.mean(number, updates, [bool(length <= kept.norm) for length in lengths], like=LIKE)


def test_the_norm_finds_the_median_of_the_clients_and_is_not_forgotten(tmp_path: Path):
    settings: dict[str, Any] = {"epsilon": 50.0, "clients": 100, "rounds": 60}
    private = {"clipping": "adaptive", "clipping_norm": 50.0}
    kept = promise(tmp_path, private=private, **settings)
    adapt(kept, range(1, 51), np.linspace(1.0, 3.0, 100))
    assert kept.norm == pytest.approx(2.0, rel=0.15)
    again = ClientPromise(options(private=private, **settings), ledger=FederatedLedger(tmp_path / "other.json"))
    again.begin(50, **kept.notes())
    assert again.norm == kept.norm
    # Count and sum together cost what was calibrated: a sum alone with that noise would have had less.
    assert kept.adaptive is not None
    assert kept.adaptive.gradient_noise_multiplier > (kept.noise_multiplier or 0)


def test_the_record_bears_out_what_was_spent(tmp_path: Path):
    kept = promise(tmp_path, participation=0.5)
    kept.pay(kept.choose(1, range(20)))
    said = kept.record()
    assert Ledger.from_json(said["ledger"]).epsilon(said["delta"]) == pytest.approx(kept.epsilon())
    assert (said["unit"], said["units"], said["expected_units"], said["sampler"]) == ("client", 20, 10.0, "poisson")
    assert any("server" in line and "not" in line for line in said["adversary"])


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"private": {"clipping": "adaptive"}, "secure": True}, "masked clients do not tell"),
        ({"private": {"clipping": "adaptive", "unit": "example"}}, "a norm of its own"),
        ({"min_clients": 3, "participation": 0.5}, "a secret of the promise"),
        ({"private": {"unit": "example"}, "secure": True}, "--local-steps"),
    ],
)
def test_what_does_not_go_with_a_promise_is_refused_with_the_reason(changed: dict[str, Any], why: str):
    with pytest.raises(OptionUnfit) as refused:
        refuse_unfit(options(**changed))
    assert why in str(refused.value)


def test_too_few_clients_to_adapt_by_are_told_how_many_it_takes(tmp_path: Path):
    with pytest.raises(OptionUnfit, match="nothing is left to count clipped updates"):
        promise(tmp_path, epsilon=0.5, private={"clipping": "adaptive"})


def norm_of(update: Update) -> float:
    return float(np.linalg.norm(update["w"]))
