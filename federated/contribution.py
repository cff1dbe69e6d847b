"""How much each client's taking part was worth: Shapley values of a game whose coalitions are sets of clients.

    shares = shapley(5, lambda coalition: accuracy_of(model_of(coalition)), random)
    shares.values.sum() == utility(everybody) - utility(nobody)

Exact up to 8 clients (each coalition is asked once). Beyond, orders of the clients are drawn and the mean of each
client's marginal gains is taken, with Student's interval over the orders. Equal coalitions are never asked twice.

The value is linear in the utility: where that is a mean over rows, so is the value, and `parts` are each row's. Their
spread is the error that other rows would bring.
Source: Shapley 1953; Castro et al. 2009, Computers & Operations Research 36:1726 (sampled orders); Song et al. 2019,
IEEE Big Data, 2577 (coalitions rebuilt from the updates that were sent, without training again).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np

from federated.arrays import Update, add

EXACT_CLIENTS = 8
Coalition = frozenset[int]  # positions of clients, from 0
Utility = Callable[[Coalition], float | np.ndarray]  # a number, or one for each row, (rows,)


@dataclass(frozen=True)
class Contributions:
    """What each client added.

    Attributes:
        values: (clients,) in the utility's unit; they add up to utility(everybody) - utility(nobody).
        parts: (clients, rows) of which `values` are the means; one row where the utility is one number.
        low, high: (clients,) bounds of an interval over the orders; None where the values are exact.
        orders: how many were drawn; None where the values are exact.
        coalitions: how many the utility was asked for.
        confidence: of each interval.
    """

    values: np.ndarray
    parts: np.ndarray
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
        utility: of a coalition, the empty one included; asked once for each. Rows count alike.
        random: draws the orders; unused up to 8 clients.
        orders: how many are drawn beyond 8 clients.
    Raises: ValueError for no clients, or fewer than two orders.
    """
    if clients < 1 or orders < 2:
        raise ValueError(f"{clients} clients and {orders} orders: at least one and two are needed")
    known: dict[Coalition, np.ndarray] = {}

    def worth(coalition: Coalition) -> np.ndarray:
        if coalition not in known:
            known[coalition] = np.atleast_1d(np.asarray(utility(coalition), dtype=np.float64))
        return known[coalition]

    if clients <= EXACT_CLIENTS:
        parts = _exact(clients, worth)
        return Contributions(parts.mean(axis=1), parts, None, None, None, len(known), confidence)
    total, gains = np.zeros((clients, len(worth(frozenset())))), np.zeros((orders, clients))
    for place in range(orders):
        gained = _gains(random.permutation(clients), worth)
        total += gained
        gains[place] = gained.mean(axis=1)
    arm = _student(orders, confidence) * gains.std(axis=0, ddof=1) / np.sqrt(orders)
    values = gains.mean(axis=0)
    return Contributions(values, total / orders, values - arm, values + arm, orders, len(known), confidence)


def most_coalitions(clients: int, *, orders: int = 100) -> int:
    """How many coalitions `shapley` asks for, at most."""
    return int(2**clients) if clients <= EXACT_CLIENTS else int(min(2**clients, 2 + orders * (clients - 1)))


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


def merged(rounds: Iterable[Mapping[int, tuple[float, Update]]]) -> list[dict[int, tuple[float, Update]]]:
    """The same game in fewer arrays: updates of rounds in which the same clients had the same weights, added up.

    A coalition's weighted mean is linear in the updates, so that `coalition_update` of the sums is that of the rounds,
    but for rounding. Rounds are read one after the other; a federation that always asks everybody becomes one.
    """
    found: dict[tuple[tuple[int, float], ...], dict[int, tuple[float, Update]]] = {}
    for sent in rounds:
        who = tuple(sorted((client, weight) for client, (weight, _) in sent.items()))
        before = found.get(who)
        found[who] = (
            dict(sent)
            if before is None
            else {c: (weight, add(before[c][1], update)) for c, (weight, update) in sent.items()}
        )
    return list(found.values())


Worth = Callable[[Coalition], np.ndarray]


def _exact(clients: int, worth: Worth) -> np.ndarray:
    values = np.zeros((clients, len(worth(frozenset()))))
    for client in range(clients):
        for others in _subsets([other for other in range(clients) if other != client]):
            weight = 1 / (clients * comb(clients - 1, len(others)))
            values[client] += weight * (worth(others | {client}) - worth(others))
    return values


def _subsets(members: Sequence[int]) -> Iterator[Coalition]:
    for size in range(len(members) + 1):
        yield from map(frozenset, combinations(members, size))


def _gains(order: np.ndarray, worth: Worth) -> np.ndarray:
    gains, coalition = np.zeros((len(order), len(worth(frozenset())))), frozenset[int]()
    for client in map(int, order):
        grown = coalition | {client}
        gains[client] = worth(grown) - worth(coalition)
        coalition = grown
    return gains


def _student(orders: int, confidence: float) -> float:
    from scipy.stats import t

    return float(t.ppf((1 + confidence) / 2, orders - 1))
