"""Clients that cannot or will not take part are left out by name; whoever falsifies shares changes nothing."""

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from federated.options import LocalOptions, NoiseShares
from federated.secure_aggregation.errors import RoundUnsafe
from federated.secure_aggregation.exchange import SecureExchange
from federated.secure_aggregation.messages import ADVERTISE, MASK, MASKED, RECORD, SHARE, UNMASK
from federated.secure_aggregation.settings import SecureSettings
from tests.federated.secure_aggregation.world import (
    WatchedGrid,
    client_app,
    mean_of,
    training_messages,
    update_of,
)

NODES, ODD = [1, 2, 3, 4, 5], 3


def odd_update(change):
    """Clients of which one returns something else."""
    return lambda node: change(update_of(node)) if node == ODD else update_of(node)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda u: {**u, "body.bias": u["body.bias"] * np.nan}, "9 values of the update are not finite"),
        (lambda u: {**u, "body.bias": u["body.bias"][:5]}, "other names or shapes"),
        (lambda u: {}, "other names or shapes"),
        (lambda u: {name: array * 1e9 for name, array in u.items()}, "the median client up to"),
    ],
)
def test_update_that_cannot_be_added_is_left_out_before_it_is_masked(change, reason):
    grid = WatchedGrid(client_app(update=odd_update(change)), clients=5)
    total = SecureExchange(grid, SecureSettings())(training_messages(NODES), 60)
    assert [(one.node, one.stage) for one in total.dropped] == [(ODD, ADVERTISE)] and reason in total.dropped[0].reason
    exact = mean_of(total.survivors)
    assert all(total.mean()[name] == pytest.approx(exact[name], abs=1e-6) for name in exact)


def test_value_outside_the_clipping_norm_is_refused_not_clipped():
    grid = WatchedGrid(client_app(update=odd_update(lambda u: {**u, "body.bias": u["body.bias"] + 2})), clients=5)
    total = SecureExchange(grid, SecureSettings(clip_range=1.0))(training_messages(NODES), 60)
    assert "9 of 390 values lie outside ±1" in total.dropped[0].reason and total.survivors == (1, 2, 4, 5)


def test_metric_that_is_not_finite_loses_its_client_alone():
    app = client_app(metrics=lambda node: {"train_loss": float("nan") if node == ODD else 1.0})
    total = SecureExchange(WatchedGrid(app, clients=5), SecureSettings())(training_messages(NODES), 60)
    assert [one.node for one in total.dropped] == [ODD] and total.metrics["train_loss"] == pytest.approx(1.0)


def test_metrics_that_not_all_measured_are_left_out():
    app = client_app(metrics=lambda node: {"train_loss": 1.0} | ({"extra": 2.0} if node == ODD else {}))
    total = SecureExchange(WatchedGrid(app, clients=5), SecureSettings())(training_messages(NODES), 60)
    assert set(total.metrics) == {"train_loss"}


def test_client_without_the_mod_is_named():
    """Its update has left it in clear; it must not enter a sum that is called secure."""
    app = ClientApp()

    @app.train()
    def train(message, context):
        content = RecordDict({"arrays": ArrayRecord({n: Array(a) for n, a in update_of(context.node_id).items()})})
        content["metrics"] = MetricRecord({"num-examples": 5})
        return Message(content, reply_to=message)

    with pytest.raises(RoundUnsafe) as caught:
        SecureExchange(WatchedGrid(app, clients=5), SecureSettings())(training_messages(NODES), 60)
    assert all("came in clear" in one.reason for one in caught.value.dropped)


@pytest.mark.parametrize(("shares", "weighted", "whole"), [(4, False, True), (5, False, False), (4, True, False)])
def test_noise_must_be_whole_when_only_the_minimum_survives(shares, weighted, whole):
    noise = NoiseShares(noise_multiplier=1.0, shares=shares)
    local = LocalOptions(round=1, batch_size=1, learning_rate=0.1, noise_shares=noise, secure=True)
    messages = training_messages(NODES, config={"local": local.to_text()})
    settings = SecureSettings(minimum_survivors=4, weighted=weighted)
    exchange = SecureExchange(WatchedGrid(client_app(), clients=5), settings)
    if whole:
        assert len(exchange(messages, 60).survivors) == 5
        return
    with pytest.raises(RoundUnsafe, match="too little noise"):
        exchange(messages, 60)


def test_falsified_shares_are_left_aside():
    def falsify(reply):
        if reply.metadata.src_node_id == ODD and "seed-shares" in reply.content.config_records.get(RECORD, {}):
            record = reply.content[RECORD]
            record["seed-shares"] = [share[:4] + bytes(len(share) - 4) for share in record["seed-shares"]]
        return reply

    total = SecureExchange(WatchedGrid(client_app(), clients=5, received=falsify), SecureSettings())(
        training_messages(NODES), 60
    )
    exact = mean_of(NODES)
    assert all(total.mean()[name] == pytest.approx(exact[name], abs=1e-6) for name in exact)


def test_more_falsified_shares_than_can_be_left_aside_give_no_sum():
    def falsify(reply):
        if reply.has_content() and "seed-shares" in reply.content.config_records.get(RECORD, {}):
            record = reply.content[RECORD]
            record["seed-shares"] = [share[:4] + bytes(len(share) - 4) for share in record["seed-shares"]]
        return reply

    with pytest.raises(RoundUnsafe, match="cannot be taken off"):
        SecureExchange(WatchedGrid(client_app(), clients=5, received=falsify), SecureSettings())(
            training_messages(NODES), 60
        )


@pytest.mark.parametrize(
    ("stage", "garbage"),
    [
        (ADVERTISE, RecordDict({RECORD: ConfigRecord({"mask-public": 5})})),
        (ADVERTISE, RecordDict({})),
        (SHARE, RecordDict({RECORD: ConfigRecord({"nodes": [1], "ciphertexts": [b""], "commitment": b""})})),
        (MASK, RecordDict({MASKED: ArrayRecord({"head": Array(np.zeros(3)), "body": Array(np.zeros(9))})})),
        (MASK, RecordDict({MASKED: ArrayRecord({"head": Array("uint64", (4,), "numpy.ndarray", b"?")})})),
        (UNMASK, RecordDict({RECORD: ConfigRecord({"survivors": [1, 1], "seed-shares": [b"", b""]})})),
    ],
)
def test_answer_that_is_none_loses_its_client_alone(stage, garbage):
    order = [ADVERTISE, SHARE, MASK, UNMASK]
    seen = []

    def spoil(reply):
        if reply.metadata.src_node_id != ODD:
            return reply
        seen.append(reply)
        if order[len(seen) - 1] == stage:
            reply.content = garbage
        return reply

    grid = WatchedGrid(client_app(), clients=5, received=spoil)
    total = SecureExchange(grid, SecureSettings())(training_messages(NODES), 60)
    assert [(one.node, one.stage) for one in total.dropped] == [(ODD, stage)]
    exact = mean_of(total.survivors)
    assert all(total.mean()[name] == pytest.approx(exact[name], abs=1e-6) for name in exact)


@pytest.mark.parametrize("stage", [ADVERTISE, SHARE, MASK, UNMASK])
def test_silent_client_is_late_at_every_stage(stage):
    order = [ADVERTISE, SHARE, MASK, UNMASK]
    seen = []

    def swallow(reply):
        if reply.metadata.src_node_id == ODD:
            seen.append(reply)
            return None if len(seen) > order.index(stage) else reply
        return reply

    grid = WatchedGrid(client_app(), clients=5, received=swallow)
    total = SecureExchange(grid, SecureSettings(stage_timeout=7))(training_messages(NODES), 50)
    seconds = 50 if stage == ADVERTISE else 7
    assert total.dropped == ((ODD, stage, f"no answer within {seconds} seconds"),)
