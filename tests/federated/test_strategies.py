"""Promises of strategies: Flower's arithmetic, held against others'; and what does not go together."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import trim_mean

from core_model.errors import OptionUnfit
from federated.arrays import to_record
from federated.exchange import as_reply
from federated.grid import be_the_server
from federated.options import FederationOptions, PrivacyPromise
from federated.strategies import aggregate, build_strategy, refuse_unfit, restore_strategy, strategy_arrays

be_the_server()
RANDOM = np.random.default_rng(0)
UPDATES = [{"a": RANDOM.normal(size=(3, 4)).astype(np.float32), "b": RANDOM.normal(size=2).astype(np.float32)}
           for _ in range(7)]  # fmt: skip
WEIGHTS = [10, 20, 5, 1, 1, 30, 8]


def step(name: str, updates=UPDATES, **options):
    strategy = build_strategy(FederationOptions(clients=len(updates), strategy=name, **options))
    return strategy, aggregate(strategy, 1, [as_reply(u, w) for u, w in zip(updates, WEIGHTS, strict=False)])


def stacked(name: str, updates=UPDATES) -> np.ndarray:
    return np.stack([update[name] for update in updates]).astype(np.float64)


EXPECTED = {
    "fedavg": ({}, lambda name: np.average(stacked(name), axis=0, weights=WEIGHTS)),
    "fedprox": ({"proximal_mu": 0.1}, lambda name: np.average(stacked(name), axis=0, weights=WEIGHTS)),
    "fedmedian": ({}, lambda name: np.median(stacked(name), axis=0)),
    "trimmed-mean": ({"malicious": 2}, lambda name: trim_mean(stacked(name), 2 / 7, axis=0)),
}


@pytest.mark.parametrize("name", EXPECTED)
def test_the_step_is_what_others_compute(name):
    options, expected = EXPECTED[name]
    _, found = step(name, **options)
    for array in ("a", "b"):
        np.testing.assert_allclose(found[array], expected(array), rtol=1e-5, atol=1e-6)


def test_krum_chooses_as_a_slow_loop_and_bears_a_hostile_client():
    near = [{"a": np.float32(1e-4) * update["a"], "b": np.float32(1e-4) * update["b"]} for update in UPDATES[:6]]
    updates = [*near, {"a": np.full((3, 4), 9, np.float32), "b": np.full(2, 9, np.float32)}]
    flat = [np.concatenate([u["a"].ravel(), u["b"]]).astype(np.float64) for u in updates]
    scores = []
    for one in flat:
        distances = sorted(float(((one - other) ** 2).sum()) for other in flat)[1:]
        scores.append(sum(distances[: len(flat) - 1 - 2]))
    _, found = step("krum", updates, malicious=1)
    np.testing.assert_allclose(found["a"], updates[int(np.argmin(scores))]["a"], rtol=1e-6)
    assert np.abs(found["a"]).max() < 0.01


def test_fedadam_is_adams_formula_and_goes_on_where_it_was_set_down():
    model = {name: np.zeros_like(array) for name, array in UPDATES[0].items()}
    replies = [as_reply(update, weight) for update, weight in zip(UPDATES, WEIGHTS, strict=True)]

    def round_of(strategy, number: int):
        from flwr.app import ConfigRecord

        class OneNode:
            def get_node_ids(self):
                return [1]

        strategy.configure_train(number, to_record(model), ConfigRecord({}), OneNode())
        return aggregate(strategy, number, replies)

    options = FederationOptions(clients=7, strategy="fedadam", server_learning_rate=0.01)
    strategy = build_strategy(options)
    first = round_of(strategy, 1)
    delta = np.average(stacked("a"), axis=0, weights=WEIGHTS)
    moment, square = 0.1 * delta, 0.01 * delta**2  # Reddi et al. 2021, algorithm 2: beta 0.9 and 0.99, tau 1e-3
    rate = 0.01 * np.sqrt(1 - 0.99**2) / (1 - 0.9**2)  # Flower corrects by round + 1
    np.testing.assert_allclose(first["a"], rate * moment / (np.sqrt(square) + 1e-3), rtol=1e-4)

    other = build_strategy(options)
    restore_strategy(other, strategy_arrays(strategy))
    again, expected = round_of(other, 2), round_of(strategy, 2)
    assert all(np.array_equal(again[name], expected[name]) for name in expected)
    assert not strategy_arrays(build_strategy(FederationOptions(clients=2)))


PRIVATE = PrivacyPromise(epsilon=8)
TOGETHER = {
    "a median of masked updates": ({"strategy": "fedmedian", "secure": True}, "median of each parameter"),
    "Krum of masked updates": ({"strategy": "krum", "secure": True, "clients": 9}, "distances"),
    "a trimmed mean of masked updates": ({"strategy": "trimmed-mean", "secure": True}, "cut off"),
    "noise for a mean, and a median": ({"strategy": "fedmedian", "private": PRIVATE}, "calibrated"),
    "Krum with too few clients": ({"strategy": "krum", "malicious": 2, "clients": 6}, r"2 x 2 \+ 3"),
    "nobody left after trimming": ({"strategy": "trimmed-mean", "malicious": 3, "clients": 6}, "none is left"),
    "compressed masks": ({"secure": True, "compress": "int8"}, "masks cancel"),
}


@pytest.mark.parametrize("case", TOGETHER)
def test_what_does_not_go_together_is_refused_with_the_reason(case):
    options, why = TOGETHER[case]
    with pytest.raises(OptionUnfit, match=why):
        refuse_unfit(FederationOptions(**{"clients": 5, **options}))


@pytest.mark.parametrize("strategy", ["fedmedian", "krum", "trimmed-mean"])
def test_robust_strategies_go_with_a_promise_to_rows(strategy):
    rows = PrivacyPromise(epsilon=8, unit="example")
    refuse_unfit(FederationOptions(clients=9, strategy=strategy, private=rows))
