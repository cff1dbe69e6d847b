"""The attack that opens one client's update: a server names it among the survivors and among the lost.

Either kind of share is harmless alone; both together give the client's own mask and its pairwise masks. Flower's
shipped mod hands both out in one message. Ours refuses, and the masks would not have held without that.
"""

import numpy as np
import pytest
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, RecordDict
from flwr.client.mod import secaggplus_mod
from flwr.common import Code, FitRes, Status, bytes_to_ndarray, ndarrays_to_parameters
from flwr.common.secure_aggregation.crypto.shamir import combine_shares
from flwr.common.secure_aggregation.crypto.symmetric_encryption import generate_shared_key
from flwr.common.secure_aggregation.quantization import dequantize
from flwr.common.secure_aggregation.secaggplus_utils import pseudo_rand_gen
from flwr.compat.common.recorddict_compat import fitres_to_recorddict
from flwr.supercore.primitives.asymmetric import bytes_to_private_key, bytes_to_public_key

from federated.grid import InProcessGrid
from federated.secure_aggregation.errors import RoundUnsafe
from federated.secure_aggregation.exchange import SecureExchange
from federated.secure_aggregation.masking import Vector
from federated.secure_aggregation.messages import MASK, MASKED, RECORD, UNMASK
from federated.secure_aggregation.quantizing import Scale, decode
from federated.secure_aggregation.settings import SecureSettings
from federated.secure_aggregation.unmasking import remove_own_mask, remove_pairwise_masks
from tests.federated.secure_aggregation.world import (
    WatchedGrid,
    client_app,
    stage_of,
    training_messages,
    update_of,
    weight_of,
)

NODES, VICTIM, THRESHOLD = [1, 2, 3, 4, 5], 3, 3
CLIP, LEVELS, MODULUS = 8.0, 2**22, 2**32  # Flower's defaults


def test_flowers_shipped_mod_opens_a_single_update():
    """A server that keeps to every stage but the last, in which it lists the victim twice."""
    InProcessGrid(client_app(), clients=5)  # says who sends Flower's messages
    contexts = {node: Context(1, node, {}, RecordDict(), {}) for node in NODES}

    def ask(node, **entries):
        def train(message, context):
            parameters = ndarrays_to_parameters([update_of(node)["body.weight"]])
            result = FitRes(Status(Code.OK, ""), parameters, num_examples=1000, metrics={})
            return Message(fitres_to_recorddict(result, keep_input=True), reply_to=message)

        content = RecordDict({"secaggplus_configs": ConfigRecord(entries)})
        reply = secaggplus_mod(Message(content, node, "train"), contexts[node], train)
        return reply.content.config_records["secaggplus_configs"]

    terms = {
        "sample_num": 5, "share_num": 5, "threshold": THRESHOLD, "clipping_range": CLIP, "target_range": LEVELS,
        "mod_range": MODULUS, "max_weight": 1000.0,
    }  # fmt: skip
    keys = {node: ask(node, stage="setup", **terms) for node in NODES}
    publics = {str(node): [keys[node]["pk1"], keys[node]["pk2"]] for node in NODES}
    shared = {node: ask(node, stage="share_keys", **publics) for node in NODES}
    masked = {}
    for node in NODES:
        others = [other for other in NODES if other != node]
        texts = [dict(zip(shared[o]["dsts"], shared[o]["ctxts"], strict=True))[node] for o in others]
        masked[node] = ask(node, stage="collect_masked_vectors", srcs=others, ctxts=texts)["masked_params"]
    seeds, private_keys = [], []
    for node in [other for other in NODES if other != VICTIM]:
        told = ask(node, stage="unmask", active_nids=NODES, dead_nids=[VICTIM])
        of_victim = [share for owner, share in zip(told["nids"], told["shares"], strict=True) if owner == VICTIM]
        seeds.append(of_victim[0])
        private_keys.append(of_victim[1])

    vector = [bytes_to_ndarray(part) for part in masked[VICTIM]]
    shapes = [part.shape for part in vector]
    opened = [
        part - mask for part, mask in zip(vector, pseudo_rand_gen(combine_shares(seeds), MODULUS, shapes), strict=True)
    ]
    private = bytes_to_private_key(combine_shares(private_keys))
    for node in [other for other in NODES if other != VICTIM]:
        seed = generate_shared_key(private, bytes_to_public_key(keys[node]["pk1"]))
        sign = -1 if node < VICTIM else 1
        opened = [p + sign * m for p, m in zip(opened, pseudo_rand_gen(seed, MODULUS, shapes), strict=True)]
    [_, levels] = [part % MODULUS for part in opened]
    [found] = dequantize([levels], CLIP, LEVELS)
    assert found == pytest.approx(update_of(VICTIM)["body.weight"], abs=1e-5)


@pytest.mark.parametrize("how", ["both", "twice a survivor"])
def test_our_clients_refuse_to_name_a_client_twice(how):
    def lie(message):
        record = message.content[RECORD]
        if record["stage"] == UNMASK:
            name = "lost" if how == "both" else "survivors"
            record[name] = [*record[name], VICTIM]
        return message

    grid = WatchedGrid(client_app(), clients=5, sent=lie)
    with pytest.raises(RoundUnsafe, match="overlap") as caught:
        SecureExchange(grid, SecureSettings())(training_messages(NODES), 60)
    assert [one.stage for one in caught.value.dropped] == [UNMASK] * 5
    last = grid.replies[-5:]
    assert all(reply.has_error() and not reply.has_content() for reply in last)  # not one share left a client


def test_what_the_refusal_protects_both_kinds_of_shares_open_an_update():
    """The same server against the same masks, had the clients answered: shares are taken out of their state."""
    kinds, before, scales = ("seed-shares", "key-shares"), {}, []

    def keep(message):
        if RECORD in message.content and stage_of(message) == UNMASK:
            node = message.metadata.dst_node_id
            record = grid.contexts[node].state["secure-aggregation.shares"]
            before[node] = {kind: dict(zip(record["nodes"], record[kind], strict=True)) for kind in kinds}
        elif RECORD in message.content and stage_of(message) == MASK:
            scales.append(message.content[RECORD]["scale"])
        return message

    grid = WatchedGrid(client_app(), clients=5, sent=keep)
    SecureExchange(grid, SecureSettings(minimum_survivors=THRESHOLD))(training_messages(NODES), 60)

    scale = Scale.model_validate_json(scales[0])
    replies = {r.metadata.src_node_id: r.content for r in grid.replies if r.has_content() and MASKED in r.content}
    arrays = replies[VICTIM][MASKED]
    vector = Vector(arrays["head"].numpy().copy(), arrays["body"].numpy().copy())
    advertised = {r.metadata.src_node_id: r.content[RECORD] for r in grid.replies if "mask-public" in _record(r)}
    shared = {r.metadata.src_node_id: r.content[RECORD] for r in grid.replies if "commitment" in _record(r)}
    helpers = [node for node in NODES if node != VICTIM]
    remove_own_mask(
        vector, [before[n]["seed-shares"][VICTIM] for n in helpers], THRESHOLD, shared[VICTIM]["commitment"]
    )
    with pytest.raises(ValueError, match="do not cancel"):  # one kind of share is not enough
        decode(Vector(vector.head.copy(), vector.body.copy()), scale, 1)
    publics = {node: record["mask-public"] for node, record in advertised.items()}
    key_shares = [before[n]["key-shares"][VICTIM] for n in helpers]
    # `remove_pairwise_masks` takes off what survivors masked with a lost client; here it is the other side's sign.
    negative = Vector(-vector.head, -vector.body)
    remove_pairwise_masks(negative, VICTIM, key_shares, THRESHOLD, publics, helpers)
    opened = decode(Vector(-negative.head, -negative.body), scale, 1)
    flat = np.concatenate([array.ravel() for array in update_of(VICTIM).values()])
    assert opened.weight == weight_of(VICTIM)
    assert opened.values / opened.weight == pytest.approx(flat, abs=1e-6)


def _record(reply):
    found = reply.content.config_records if reply.has_content() else {}
    return found.get(RECORD, ArrayRecord())
