"""A whole round over real messages: the sum is the exact one, and the round goes on without those that are lost."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from federated.secure_aggregation.errors import RoundUnsafe
from federated.secure_aggregation.exchange import SecureExchange, SecureSum
from federated.secure_aggregation.messages import ADVERTISE, MASK, SHARE, UNMASK
from federated.secure_aggregation.settings import SecureSettings
from tests.federated.secure_aggregation.world import (
    WatchedGrid,
    client_app,
    give_keys,
    loss_of,
    mean_of,
    training_messages,
    update_of,
    weight_of,
)

NODES = [1, 2, 3, 4, 5]


def run(fails=None, *, nodes=NODES, timeout=60, options=None, **app) -> SecureSum:
    grid = WatchedGrid(client_app(fails=fails, **app), clients=len(nodes))
    return SecureExchange(grid, SecureSettings(**(options or {})))(training_messages(nodes), timeout)


def largest_error(total: SecureSum, nodes) -> float:
    exact = mean_of(nodes)
    return max(float(np.abs(total.update_sum[n] / total.weight_sum - exact[n]).max()) for n in exact)


def test_sum_of_five_clients_is_their_weighted_mean():
    total = run()
    assert total.survivors == (1, 2, 3, 4, 5) and total.dropped == ()
    assert total.weight_sum == sum(map(weight_of, NODES))
    assert {name: array.dtype for name, array in total.mean().items()} == dict.fromkeys(mean_of(NODES), np.float32)
    assert largest_error(total, NODES) <= total.quantization_error <= 1e-5
    losses = [loss_of(node) for node in NODES]
    expected = np.average(losses, weights=list(map(weight_of, NODES)))
    assert total.metrics["train_loss"] == pytest.approx(expected, abs=1e-6)
    assert {node: dict(proof) for node, proof in total.proofs.items()} == {node: {"node": node} for node in NODES}


@pytest.mark.parametrize("stage", [ADVERTISE, SHARE, MASK])
def test_round_goes_on_without_a_client_lost_before_its_vector_arrived(stage):
    total = run({2: stage})
    assert total.survivors == (1, 3, 4, 5)
    [lost] = total.dropped
    assert (lost.node, lost.stage) == (2, stage) and lost.reason
    assert largest_error(total, [1, 3, 4, 5]) <= total.quantization_error <= 1e-5


def test_client_lost_before_unmasking_is_in_the_sum():
    total = run({2: UNMASK})
    assert total.survivors == (1, 2, 3, 4, 5)
    assert [(lost.node, lost.stage) for lost in total.dropped] == [(2, UNMASK)]
    assert largest_error(total, NODES) <= 1e-5


def test_dropouts_at_every_stage_of_one_round():
    fails = {1: ADVERTISE, 4: SHARE, 6: MASK, 9: UNMASK}
    total = run(fails, nodes=list(range(1, 13)), options={"minimum_survivors": 7})
    assert total.survivors == (2, 3, 5, 7, 8, 9, 10, 11, 12)
    assert [(one.node, one.stage) for one in total.dropped] == [(1, ADVERTISE), (4, SHARE), (6, MASK), (9, UNMASK)]
    assert largest_error(total, total.survivors) <= 1e-5


@pytest.mark.parametrize("stage", [ADVERTISE, SHARE, MASK, UNMASK])
def test_too_few_survivors_end_the_round_with_names_and_reasons(stage):
    with pytest.raises(RoundUnsafe, match=r"3 clients are left .* 4 are needed") as caught:
        run({2: stage, 5: stage})
    assert caught.value.stage == stage
    assert [(one.node, one.stage) for one in caught.value.dropped] == [(2, stage), (5, stage)]


def test_signed_round_gives_the_same_sum(tmp_path):
    grid = WatchedGrid(client_app(fails={3: MASK}), clients=5)
    give_keys(grid, tmp_path)
    total = SecureExchange(grid, SecureSettings(require_signatures=True))(training_messages(NODES), 60)
    assert total.signed and total.survivors == (1, 2, 4, 5)
    assert largest_error(total, total.survivors) <= 1e-5


def test_large_cohort_shares_with_neighbours_only():
    nodes = list(range(1, 21))
    total = run({4: MASK, 11: SHARE}, nodes=nodes, options={"neighbours": 8, "minimum_survivors": 12})
    assert set(total.survivors) == set(nodes) - {4, 11}
    assert largest_error(total, total.survivors) <= 1e-5


def test_every_client_counts_once_when_unweighted():
    total = run(options={"weighted": False})
    assert total.weight_sum == 5
    plain = np.mean([update_of(node)["body.bias"] for node in NODES], axis=0)
    assert total.mean()["body.bias"] == pytest.approx(plain, abs=1e-6)


def test_refused_proof_keeps_a_client_out_of_the_sum():
    grid = WatchedGrid(client_app(), clients=5)
    exchange = SecureExchange(grid, SecureSettings(), accept=lambda node, content: "no clipping" if node == 4 else None)
    total = exchange(training_messages(NODES), 60)
    assert total.survivors == (1, 2, 3, 5) and "no clipping" in total.dropped[0].reason


def test_rounds_follow_one_another_and_give_the_same_bits_for_the_same_updates():
    grid = WatchedGrid(client_app(), clients=5)
    exchange = SecureExchange(grid, SecureSettings())
    first, second = (exchange(training_messages(NODES, server_round=number), 60) for number in (1, 2))
    assert all((first.update_sum[name] == second.update_sum[name]).all() for name in first.update_sum)
    left = grid.contexts[1].state
    assert list(left) == ["secure-aggregation"] and dict(left["secure-aggregation"]) == {"stage": "done", "revealed": 2}


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_any_cohort_any_dropouts_exact_sum_or_no_sum(data):
    cohort = data.draw(st.integers(3, 9), label="cohort")
    nodes = list(range(1, cohort + 1))
    minimum = data.draw(st.integers(cohort // 2 + 1, cohort), label="minimum")
    stages = st.sampled_from([None, None, None, ADVERTISE, SHARE, MASK, UNMASK])
    fails = {node: stage for node in nodes if (stage := data.draw(stages, label=f"node {node}"))}
    options = {"minimum_survivors": max(minimum, 2), "modulus_bits": data.draw(st.sampled_from([32, 64, None]))}
    helpers = cohort - len(fails)
    if helpers < minimum:
        with pytest.raises(RoundUnsafe):
            run(fails, nodes=nodes, options=options)
        return
    total = run(fails, nodes=nodes, options=options)
    assert set(total.survivors) == {node for node in nodes if fails.get(node) in {None, UNMASK}}
    assert largest_error(total, total.survivors) <= min(total.quantization_error, 1e-5)
