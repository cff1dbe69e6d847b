"""A client before it masks: fresh keys for the round, and shares of its secrets for its neighbours."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping

import numpy as np
from cryptography.hazmat.primitives.asymmetric import ec
from flwr.app import ConfigRecord, Context
from flwr.common.secure_aggregation.crypto.shamir import create_shares
from flwr.common.secure_aggregation.crypto.symmetric_encryption import encrypt, generate_shared_key
from flwr.common.secure_aggregation.secaggplus_utils import share_keys_plaintext_concat
from flwr.supercore.primitives.asymmetric import bytes_to_public_key, generate_key_pairs, public_key_to_bytes

from federated.secure_aggregation import client_state
from federated.secure_aggregation.errors import Refused
from federated.secure_aggregation.identity import Identity, statement
from federated.secure_aggregation.messages import ADVERTISE, SHARE, config, data, datas, numbers
from federated.secure_aggregation.quantizing import Announcement
from federated.secure_aggregation.settings import Terms

SCALAR = 48  # bytes of a private key on P-384


def advertise(
    context: Context,
    terms: Terms,
    *,
    update: np.ndarray,
    metrics: Mapping[str, float],
    announced: Announcement,
    identity: Identity | None,
) -> ConfigRecord:
    """Keep the update and make two pairs of keys, for masks and for encryption; the public ones are signed.

    Args:
        update: flat, float32, shape (parameters,). metrics: with "num-examples".
    Returns: what is sent.
    """
    mask_key, mask_public = generate_key_pairs()
    cipher_key, cipher_public = generate_key_pairs()
    kept = client_state.begin(context, terms, stage=ADVERTISE, update=update, metrics=metrics)
    kept["mask-key"], kept["cipher-key"] = to_scalar(mask_key), to_scalar(cipher_key)
    kept["mask-public"], kept["cipher-public"] = public_key_to_bytes(mask_public), public_key_to_bytes(cipher_public)
    sent = config(
        mask_public=kept["mask-public"], cipher_public=kept["cipher-public"], identity=b"", signature=b"",
        metrics=list(announced.metrics),
    )  # fmt: skip
    if identity is not None:
        sent["identity"] = identity.public
        sent["signature"] = identity.sign(_keys_of(context, terms, context.node_id, kept))
    if announced.range_exponent is not None:
        sent["range-exponent"] = announced.range_exponent
    if announced.weight_exponent is not None:
        sent["weight-exponent"] = announced.weight_exponent
    return sent


def share(context: Context, asked: ConfigRecord, *, identity: Identity | None) -> ConfigRecord:
    """Split the seed of the own mask and the private mask key among the neighbours, this client among them.

    Raises: Refused when there are too few neighbours, a key is not its owner's, or the own keys were exchanged.
    """
    kept, terms = client_state.go_on(context, asked, after=(ADVERTISE,))
    peers = _peers(asked)
    nodes = list(peers)
    threshold = terms.threshold(len(nodes))
    if len(nodes) < min(terms.minimum, terms.neighbours + 1) or len(nodes) > terms.cohort:
        raise Refused(
            f"{len(nodes)} neighbours of {terms.cohort} clients, and the minimum is {terms.minimum}",
            mend="more clients in the round",
        )
    mine = peers.get(context.node_id)
    if mine is None or (mine["mask-public"], mine["cipher-public"]) != (kept["mask-public"], kept["cipher-public"]):
        raise Refused("the own public keys were exchanged on their way", mend="ask who runs the server")
    publics = [key for peer in peers.values() for key in (peer["mask-public"], peer["cipher-public"])]
    if len(set(publics)) != len(publics):
        raise Refused("two neighbours have the same public key", mend="ask who runs the server")
    if identity is not None:
        _check_identities(context, terms, peers, identity)

    seed = secrets.token_bytes(32)
    mask_key, cipher_key = data(kept, "mask-key"), of_scalar(data(kept, "cipher-key"))
    seed_shares = create_shares(seed, threshold, len(nodes))
    key_shares = create_shares(mask_key, threshold, len(nodes))
    own = nodes.index(context.node_id)
    ciphertexts = []
    for node, seed_share, key_share in zip(nodes, seed_shares, key_shares, strict=True):
        if node != context.node_id:
            shared = generate_shared_key(cipher_key, bytes_to_public_key(data(peers[node], "cipher-public")))
            plaintext = share_keys_plaintext_concat(context.node_id, node, seed_share, key_share)
            ciphertexts.append(encrypt(shared, plaintext))

    context.state[client_state.PEERS] = asked_peers(asked)
    context.state[client_state.SHARES] = config(
        nodes=[context.node_id], seed_shares=[seed_shares[own]], key_shares=[key_shares[own]]
    )
    kept["stage"], kept["seed"], kept["threshold"] = SHARE, seed, threshold
    others = [node for node in nodes if node != context.node_id]
    return config(nodes=others, ciphertexts=ciphertexts, commitment=hashlib.sha256(seed).digest())


def asked_peers(record: ConfigRecord) -> ConfigRecord:
    """The part of a message, or of the state, that names neighbours and their keys."""
    return config(
        nodes=numbers(record, "nodes"),
        mask_publics=datas(record, "mask-publics"),
        cipher_publics=datas(record, "cipher-publics"),
        identities=datas(record, "identities"),
        signatures=datas(record, "signatures"),
    )


def to_scalar(key: ec.EllipticCurvePrivateKey) -> bytes:
    """A private key as the 48 bytes that matter: its PEM text would make six times as many shares."""
    return key.private_numbers().private_value.to_bytes(SCALAR, "big")


def of_scalar(scalar: bytes) -> ec.EllipticCurvePrivateKey:
    """The private key again.

    Raises: ValueError when the number is no private key.
    """
    return ec.derive_private_key(int.from_bytes(scalar, "big"), ec.SECP384R1())


def _peers(asked: ConfigRecord) -> dict[int, ConfigRecord]:
    record = asked_peers(asked)
    columns = [record[name] for name in ("nodes", "mask-publics", "cipher-publics", "identities", "signatures")]
    if len({len(column) for column in columns}) != 1 or len(set(columns[0])) != len(columns[0]):  # type: ignore[arg-type]
        raise Refused("the list of neighbours does not fit their keys", mend="each node once, with its keys")
    return {
        node: config(mask_public=mask, cipher_public=cipher, identity=identity, signature=signature)
        for node, mask, cipher, identity, signature in zip(*columns, strict=True)
    }


def _check_identities(context: Context, terms: Terms, peers: Mapping[int, ConfigRecord], identity: Identity) -> None:
    names = [data(peer, "identity") for peer in peers.values()]
    if len(set(names)) != len(names):
        raise Refused("one node key stands for two neighbours", mend="one key a node")
    for node, peer in peers.items():
        told = _keys_of(context, terms, node, peer)
        if not identity.vouches(data(peer, "identity"), told, data(peer, "signature")):
            raise Refused(
                f"the public keys of node {node} are not signed by a registered node key, for this round and its terms",
                mend="add the node's key to the roster; if it is there, somebody sits in the middle",
            )


def _keys_of(context: Context, terms: Terms, node: int, keys: ConfigRecord) -> bytes:
    return statement(
        "keys", run=context.run_id, round=terms.round, session=terms.session, terms=terms.digest, node=node,
        mask=keys["mask-public"], cipher=keys["cipher-public"],
    )  # fmt: skip
