"""What the server sees of one client: nothing that tells its update, its number of examples or its metrics."""

import numpy as np
import pytest
from flwr.app import Array
from scipy.stats import chisquare

from federated.secure_aggregation.exchange import SecureExchange
from federated.secure_aggregation.messages import MASKED, PROOF, RECORD
from federated.secure_aggregation.settings import SecureSettings
from tests.federated.secure_aggregation.world import (
    SHAPES,
    WatchedGrid,
    client_app,
    training_messages,
    update_of,
    weight_of,
)

NODES = [1, 2, 3, 4, 5]
SIZE = sum(int(np.prod(shape)) for shape in SHAPES.values())
ALLOWED = {
    "mask-public", "cipher-public", "identity", "signature", "metrics", "range-exponent", "weight-exponent", "nodes",
    "ciphertexts", "commitment", "survivors", "seed-shares", "lost", "key-shares",
}  # fmt: skip


@pytest.fixture(scope="module")
def replies():
    grid = WatchedGrid(client_app(), clients=5)
    for number in range(1, 11):
        SecureExchange(grid, SecureSettings())(training_messages(NODES, server_round=number), 60)
    return grid.replies


def test_nothing_but_keys_shares_proofs_and_masked_integers_leaves_a_client(replies):
    for reply in replies:
        assert set(reply.content) <= {RECORD, PROOF, MASKED} and not reply.content.metric_records
        assert set(reply.content.config_records.get(RECORD, {})) <= ALLOWED
        for arrays in reply.content.array_records.values():
            assert {name: array.dtype for name, array in arrays.items()} == {"head": "uint64", "body": "uint32"}


def test_masked_integers_are_uniform_and_uncorrelated_with_every_update(replies):
    masked = [(r.metadata.src_node_id, r.content[MASKED]) for r in replies if MASKED in r.content]
    bodies = np.array([arrays["body"].numpy() for _, arrays in masked])
    heads = np.array([arrays["head"].numpy() for _, arrays in masked])
    assert bodies.shape == (50, SIZE)
    for bits in (bodies >> 28, bodies & 15, heads >> np.uint64(60)):
        assert chisquare(np.bincount(bits.ravel().astype(int), minlength=16)).pvalue > 1e-4
    centred = bodies / 2**31 - 1.0
    for node in NODES:
        flat = np.concatenate([array.ravel() for array in update_of(node).values()])
        rows = [row for row, (source, _) in enumerate(masked) if source == node]
        together = np.corrcoef(centred[rows].ravel(), np.tile(flat, len(rows)))[0, 1]
        assert abs(together) < 5 / (len(rows) * SIZE) ** 0.5


def test_only_the_power_of_two_above_the_examples_is_announced(replies):
    told = {
        r.metadata.src_node_id: r.content[RECORD]["weight-exponent"]
        for r in replies
        if "weight-exponent" in r.content.config_records.get(RECORD, {})
    }
    assert told == {node: (weight_of(node) - 1).bit_length() for node in NODES}


def test_nothing_is_announced_where_range_and_weight_are_fixed_beforehand():
    grid = WatchedGrid(client_app(), clients=5)
    total = SecureExchange(grid, SecureSettings(clip_range=1.0, max_weight=1000))(training_messages(NODES), 60)
    assert not [
        r for r in grid.replies if {"range-exponent", "weight-exponent"} & set(r.content.config_records.get(RECORD, {}))
    ]
    [announcement] = [part for part in total.adversaries if part.part == "announced powers of two"]
    assert announcement.active_server


def test_masked_reply_is_no_longer_than_the_plain_update(replies):
    [reply, *_] = [r for r in replies if MASKED in r.content]
    plain = sum(len(Array(array).data) for array in update_of(1).values())
    sent = sum(len(array.data) for array in reply.content[MASKED].values())
    assert sent <= plain + 256
    assert sent >= 4 * SIZE
