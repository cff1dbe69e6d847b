"""Promises of contributions: what Shapley's axioms and a slow loop over all orders say, and intervals that hold."""

from __future__ import annotations

from itertools import permutations
from math import factorial

import numpy as np
import pytest

from federated.contribution import Coalition, coalition_update, merged, most_coalitions, shapley


def game(seed: int) -> dict[Coalition, float]:
    """Any game of five players."""
    random = np.random.default_rng(seed)
    return {frozenset(p for p in range(5) if mask >> p & 1): float(random.normal()) for mask in range(32)}


def slowly(clients: int, utility: dict[Coalition, float]) -> np.ndarray:
    """The definition: marginal gains over all orders."""
    values = np.zeros(clients)
    for order in permutations(range(clients)):
        for place, client in enumerate(order):
            values[client] += utility[frozenset(order[: place + 1])] - utility[frozenset(order[:place])]
    return values / factorial(clients)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_exact_values_are_those_of_a_loop_over_all_orders_and_each_coalition_is_asked_once(seed: int):
    worth, asked = game(seed), []

    def utility(coalition: Coalition) -> float:
        asked.append(coalition)
        return worth[coalition]

    found = shapley(5, utility, np.random.default_rng(0))
    assert found.values == pytest.approx(slowly(5, worth), abs=1e-12)
    assert len(asked) == len(set(asked)) == found.coalitions == 32
    assert found.values.sum() == pytest.approx(worth[frozenset(range(5))] - worth[frozenset()])
    assert found.low is None and found.orders is None


@pytest.mark.parametrize("clients", [3, 8, 12])
def test_an_additive_game_gives_each_client_its_own(clients: int):
    own = np.arange(clients) - 1.0
    found = shapley(clients, lambda c: 7 + sum(own[p] for p in c), np.random.default_rng(0), orders=5)
    assert found.values == pytest.approx(own)


def test_equal_clients_get_equal_shares_and_a_dummy_nothing():
    found = shapley(6, lambda c: float(len(c - {5}) ** 2), np.random.default_rng(0))
    assert found.values == pytest.approx([5, 5, 5, 5, 5, 0])


def test_sampled_intervals_hold_the_known_value_about_as_often_as_they_say():
    # A majority of ten wins: all are equal, so that each is worth a tenth.
    held = [
        ((s.low <= 0.1) & (s.high >= 0.1)).mean()
        for seed in range(40)
        if (s := shapley(10, lambda c: float(len(c) > 5), np.random.default_rng(seed), orders=200)).low is not None
        and s.high is not None
    ]
    assert len(held) == 40 and 0.9 < np.mean(held) < 0.99


def test_a_coalition_moves_the_model_by_its_own_weighted_mean_round_by_round():
    one, two = np.float32([1.0, 0.0]), np.float32([0.0, 4.0])
    rounds = [{0: (1.0, {"w": one}), 1: (3.0, {"w": two})}, {1: (2.0, {"w": two})}]
    both, alone = coalition_update(rounds, frozenset({0, 1})), coalition_update(rounds, frozenset({0}))
    assert both is not None and both["w"].tolist() == [0.25, 7.0]
    assert alone is not None and alone["w"].tolist() == [1.0, 0.0]
    assert coalition_update(rounds, frozenset()) is None


@pytest.mark.parametrize("clients", [4, 9])
def test_where_the_worth_is_a_mean_over_rows_each_row_has_its_part(clients: int):
    random = np.random.default_rng(clients)
    worth = {frozenset(p for p in range(clients) if m >> p & 1): random.random(6) for m in range(2**clients)}
    whole = shapley(clients, lambda c: float(worth[c].mean()), np.random.default_rng(1), orders=20)
    found = shapley(clients, lambda c: worth[c], np.random.default_rng(1), orders=20)
    assert found.parts.shape == (clients, 6)
    assert found.values == pytest.approx(whole.values) and found.parts.mean(axis=1) == pytest.approx(whole.values)
    one_row = shapley(clients, lambda c: float(worth[c][2]), np.random.default_rng(1), orders=20)
    assert found.parts[:, 2] == pytest.approx(one_row.values)


@pytest.mark.parametrize(("clients", "orders"), [(3, 100), (8, 100), (9, 4), (10, 500)])
def test_no_more_coalitions_are_asked_for_than_was_planned(clients: int, orders: int):
    found = shapley(clients, lambda c: float(len(c)), np.random.default_rng(0), orders=orders)
    assert found.coalitions <= most_coalitions(clients, orders=orders)
    assert clients > 8 or found.coalitions == most_coalitions(clients)


def test_rounds_of_the_same_clients_are_one_game_in_fewer_arrays():
    random = np.random.default_rng(5)

    def sent(weights: dict[int, float]) -> dict:
        return {client: (weight, {"w": random.normal(size=7).astype(np.float32)}) for client, weight in weights.items()}

    all_of_them = {0: 3.0, 1: 5.0, 2: 1.0}
    rounds = [sent(all_of_them), sent({0: 3.0, 2: 1.0}), sent(all_of_them), sent(all_of_them), sent({0: 3.0, 1: 4.0})]
    fewer = merged(iter(rounds))
    assert len(fewer) == 3
    for mask in range(1, 8):
        coalition = frozenset(p for p in range(3) if mask >> p & 1)
        slow, fast = coalition_update(rounds, coalition), coalition_update(fewer, coalition)
        assert slow is not None and fast is not None and fast["w"] == pytest.approx(slow["w"], abs=1e-6)
