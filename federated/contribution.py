"""How much each client's taking part was worth: Shapley values of a game whose coalitions are sets of clients.

    shares = shapley(5, lambda coalition: accuracy_of(model_of(coalition)), random)
    shares.values.sum() == utility(everybody) - utility(nobody)

Exact up to 8 clients (each coalition is asked once). Beyond, orders of the clients are drawn and the mean of each
client's marginal gains is taken, with Student's interval over the orders. Equal coalitions are never asked twice.
Source: Shapley 1953; Castro et al. 2009, Computers & Operations Research 36:1726 (sampled orders); Song et al. 2019,
IEEE Big Data, 2577 (coalitions rebuilt from the updates that were sent, without training again).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np

from federated.arrays import Update, add

EXACT_CLIENTS = 8
Coalition = frozenset[int]  # positions of clients, from 0
Utility = Callable[[Coalition], float]


@dataclass(frozen=True)
class Contributions:
    """What each client added.

    Attributes:
        values: (clients,) in the utility's unit; they add up to utility(everybody) - utility(nobody).
        low, high: (clients,) bounds of an interval over the orders; None where the values are exact.
        orders: how many were drawn; None where the values are exact.
        coalitions: how many the utility was asked for.
        confidence: of each interval.
    """

    values: np.ndarray
    low: np.ndarray | None
    high: np.ndarray | None
    orders: int | None
    coalitions: int
    confidence: float


def shapley(
    clients: int, utility: Utility, random: np.random.Generator, *, orders: int = 100, confidence: float = 0.95
) -> Contributions:
    """The Shapley value of each client.

    Args:
        clients: how many; positions 0 ... clients - 1.
        utility: of a coalition, the empty one included; asked once for each.
        random: draws the orders; unused up to 8 clients.
        orders: how many are drawn beyond 8 clients.
    Raises: ValueError for no clients, or fewer than two orders.
    """
    if clients < 1 or orders < 2:
        raise ValueError(f"{clients} clients and {orders} orders: at least one and two are needed")
    known: dict[Coalition, float] = {}

    def worth(coalition: Coalition) -> float:
        if coalition not in known:
            known[coalition] = float(utility(coalition))
        return known[coalition]

    if clients <= EXACT_CLIENTS:
        return Contributions(_exact(clients, worth), None, None, None, len(known), confidence)
    gains = np.array([_gains(random.permutation(clients), worth) for _ in range(orders)])
    arm = _student(orders, confidence) * gains.std(axis=0, ddof=1) / np.sqrt(orders)
    values = gains.mean(axis=0)
    return Contributions(values, values - arm, values + arm, orders, len(known), confidence)


def coalition_update(rounds: Sequence[Mapping[int, tuple[float, Update]]], coalition: Coalition) -> Update | None:
    """What the clients of a coalition would have moved the model by, had they sent the same updates alone.

    Args:
        rounds: of each round, client -> (weight, update).
        coalition: numbers of clients.
    Returns: the sum over rounds of their weighted mean; None where none of them counts in any round.
    """
    total: Update | None = None
    for sent in rounds:
        there = [sent[client] for client in sorted(coalition) if client in sent]
        weight = sum(own for own, _ in there)
        if not weight:
            continue
        names = there[0][1]
        mean: Update = {
            n: np.asarray(np.sum([(own / weight) * update[n] for own, update in there], axis=0, dtype=np.float32))
            for n in names
        }
        total = mean if total is None else add(total, mean)
    return total


def _exact(clients: int, worth: Utility) -> np.ndarray:
    values = np.zeros(clients)
    for client in range(clients):
        for others in _subsets([other for other in range(clients) if other != client]):
            weight = 1 / (clients * comb(clients - 1, len(others)))
            values[client] += weight * (worth(others | {client}) - worth(others))
    return values


def _subsets(members: Sequence[int]) -> Iterator[Coalition]:
    for size in range(len(members) + 1):
        yield from map(frozenset, combinations(members, size))


def _gains(order: np.ndarray, worth: Utility) -> np.ndarray:
    gains, coalition = np.zeros(len(order)), frozenset[int]()
    for client in map(int, order):
        grown = coalition | {client}
        gains[client] = worth(grown) - worth(coalition)
        coalition = grown
    return gains


def _student(orders: int, confidence: float) -> float:
    from scipy.stats import t

    return float(t.ppf((1 + confidence) / 2, orders - 1))
