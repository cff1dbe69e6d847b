"""A client masks: its update, weight and metrics leave it as integers that look uniform to everybody."""

from __future__ import annotations

from cryptography.fernet import InvalidToken
from flwr.app import Array, ArrayRecord, ConfigRecord, Context
from flwr.common.secure_aggregation.crypto.symmetric_encryption import decrypt, generate_shared_key
from flwr.common.secure_aggregation.secaggplus_utils import share_keys_plaintext_separate
from flwr.supercore.primitives.asymmetric import bytes_to_public_key
from pydantic import ValidationError

from federated.secure_aggregation import client_state
from federated.secure_aggregation.client_keys import of_scalar
from federated.secure_aggregation.errors import Refused
from federated.secure_aggregation.masking import Vector, apply, pairwise_seed, pairwise_sign
from federated.secure_aggregation.messages import MASK, SHARE, data, datas, number, numbers, pairs, text
from federated.secure_aggregation.quantizing import Scale, encode
from federated.secure_aggregation.settings import Terms

WEIGHT = "num-examples"  # Flower's name


def mask(context: Context, asked: ConfigRecord) -> ArrayRecord:
    """Take the neighbours' shares in, and send the own vector under its masks.

    Returns: the masked vector, "head" and "body".
    Raises: Refused when too few neighbours are left, a share is not meant for this client, or the scale does not hold.
    """
    kept, terms = client_state.go_on(context, asked, after=(SHARE,))
    ciphertexts = pairs(asked, "nodes", "ciphertexts")
    if len(ciphertexts) + 1 < number(kept, "threshold"):
        raise Refused(
            f"{len(ciphertexts) + 1} neighbours are left, and {number(kept, 'threshold')} are needed",
            mend="more clients in the round",
        )
    peers = context.state.config_records[client_state.PEERS]
    shares = context.state.config_records[client_state.SHARES]
    mask_publics = pairs(peers, "nodes", "mask-publics")
    _take_in(context, ciphertexts, pairs(peers, "nodes", "cipher-publics"), data(kept, "cipher-key"), shares)

    vector = _encoded(context, asked, terms)
    apply(vector, data(kept, "seed"), +1)
    own_key = of_scalar(data(kept, "mask-key"))
    for node in ciphertexts:
        seed = pairwise_seed(own_key, bytes_to_public_key(mask_publics[node]))
        apply(vector, seed, pairwise_sign(context.node_id, node))

    # What could mask a second vector, or unmask this one, is gone from here on.
    for secret in ("mask-key", "cipher-key", "seed"):
        del kept[secret]
    client_state.drop(context, client_state.UPDATE)
    client_state.drop(context, client_state.METRICS)
    kept["stage"] = MASK
    return ArrayRecord({"head": Array(vector.head), "body": Array(vector.body)})


def _take_in(
    context: Context,
    ciphertexts: dict[int, bytes],
    cipher_publics: dict[int, bytes],
    cipher_key: bytes,
    shares: ConfigRecord,
) -> None:
    private = of_scalar(cipher_key)
    nodes, seed_shares, key_shares = (
        numbers(shares, "nodes"),
        datas(shares, "seed-shares"),
        datas(shares, "key-shares"),
    )
    for node, ciphertext in ciphertexts.items():
        if node not in cipher_publics or node == context.node_id:
            raise Refused(f"shares of node {node}, which is no neighbour", mend="ask who runs the server")
        try:
            plaintext = decrypt(generate_shared_key(private, bytes_to_public_key(cipher_publics[node])), ciphertext)
        except InvalidToken as problem:
            raise Refused(f"the shares of node {node} cannot be decrypted", mend="ask who runs the server") from problem
        source, target, seed_share, key_share = share_keys_plaintext_separate(plaintext)
        if (source, target) != (node, context.node_id):
            raise Refused(f"shares from {source} to {target} came as those of {node}", mend="ask who runs the server")
        nodes.append(node)
        seed_shares.append(seed_share)
        key_shares.append(key_share)
    shares["nodes"], shares["seed-shares"], shares["key-shares"] = nodes, seed_shares, key_shares


def _encoded(context: Context, asked: ConfigRecord, terms: Terms) -> Vector:
    try:
        scale = Scale.model_validate_json(text(asked, "scale"))
    except ValidationError as problem:
        raise Refused(f"the scale is none: {problem}", mend="a server of this version") from problem
    if scale.cohort > terms.cohort or (terms.clip_range and scale.clip_range != terms.clip_range):
        raise Refused("the scale is not that of the terms", mend="ask who runs the server")
    metrics = {name: float(value) for name, value in context.state.metric_records[client_state.METRICS].items()}  # type: ignore[arg-type]
    missing = set(scale.metrics) - set(metrics)
    if missing:
        raise Refused(f"asked for metrics that were not measured: {', '.join(sorted(missing))}", mend="ask for others")
    weight = int(metrics[WEIGHT]) if terms.weighted else 1
    update = context.state.array_records[client_state.UPDATE]["update"].numpy()
    return encode(update, weight, metrics, scale)
