"""The server takes the masks off the sum: from shares it rebuilds survivors' seeds and lost clients' mask keys."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations, islice

from cryptography.hazmat.primitives.asymmetric import ec
from flwr.common.secure_aggregation.crypto.shamir import combine_shares
from flwr.supercore.primitives.asymmetric import bytes_to_public_key, public_key_to_bytes

from federated.secure_aggregation.client_keys import of_scalar
from federated.secure_aggregation.masking import Vector, apply, pairwise_seed, pairwise_sign

TRIES = 200  # sets of shares that are tried when some were falsified


class Unrecoverable(Exception):
    """The shares of a node's secret do not give it back."""


def rebuild(shares: Sequence[bytes], threshold: int, fits: Callable[[bytes], bool]) -> bytes:
    """A secret from its shares, false ones among them left aside.

    Args:
        fits: whether a secret is the one that its owner committed to.
    Raises: Unrecoverable.
    """
    for chosen in islice(combinations(shares, threshold), TRIES):
        try:
            secret = combine_shares(list(chosen))
        except (ValueError, IndexError):
            continue
        if fits(secret):
            return secret
    raise Unrecoverable(f"{len(shares)} shares, of which {threshold} that fit together are needed")


def remove_own_mask(total: Vector, shares: Sequence[bytes], threshold: int, commitment: bytes) -> None:
    """Subtract a survivor's own mask; its seed is held against the SHA-256 that it sent before."""
    seed = rebuild(shares, threshold, lambda secret: hashlib.sha256(secret).digest() == commitment)
    apply(total, seed, -1)


def remove_pairwise_masks(
    total: Vector,
    lost: int,
    shares: Sequence[bytes],
    threshold: int,
    publics: Mapping[int, bytes],
    survivors: Sequence[int],
) -> None:
    """Subtract what survivors masked with a lost client; its key is held against the public key that it sent before.

    Args:
        publics: public mask keys by node. survivors: neighbours of the lost client whose vectors are in the sum.
    """
    keys: list[ec.EllipticCurvePrivateKey] = []

    def fits(secret: bytes) -> bool:
        key = of_scalar(secret)
        if public_key_to_bytes(key.public_key()) != publics[lost]:
            return False
        keys.append(key)
        return True

    rebuild(shares, threshold, fits)
    for node in survivors:
        apply(total, pairwise_seed(keys[0], bytes_to_public_key(publics[node])), -pairwise_sign(node, lost))
