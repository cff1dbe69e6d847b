"""Masks: integers that look uniform to whoever lacks the seed, and cancel in the sum of those who share it.

Flower's own generator (`secaggplus_utils.pseudo_rand_gen`) is not used: it folds a seed of any length into 32 bits
(28 for the pairwise seeds, which are base64 text) and feeds them to the Mersenne Twister, so a mask can be found by
trying all seeds. Here the keystream of AES-256 in counter mode is the mask, as Bonawitz et al. 2017 (section 7) do.
Every seed is used for one round only, so the counter may begin at 0.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from flwr.common.secure_aggregation.crypto.symmetric_encryption import generate_shared_key

BODY: dict[int, np.dtype[Any]] = {32: np.dtype("<u4"), 64: np.dtype("<u8")}  # by the bits of the modulus
HEAD = np.dtype("<u8")


@dataclass
class Vector:
    """What a client adds to the sum.

    Attributes:
        head: weight, rounding errors and metrics, uint64 modulo 2^64, shape (h,).
        body: quantized update, uint32 or uint64 modulo 2^32 or 2^64, shape (parameters,).
    """

    head: np.ndarray
    body: np.ndarray

    @classmethod
    def zero(cls, head: int, body: int, bits: int) -> Vector:
        """To begin a sum with."""
        return cls(np.zeros(head, HEAD), np.zeros(body, BODY[bits]))

    def add(self, other: Vector) -> None:
        """Modulo 2^64 and 2^bits, in place: unsigned integers wrap around."""
        self.head += other.head
        self.body += other.body

    def subtract(self, other: Vector) -> None:
        """The way back of `add`."""
        self.head -= other.head
        self.body -= other.body

    def mask(self, seed: bytes) -> Vector:
        """The mask of this vector's shape.

        Args:
            seed: 32 bytes, for this round only.
        """
        size = self.head.nbytes + self.body.nbytes
        stream = Cipher(algorithms.AES(seed), modes.CTR(bytes(16))).encryptor().update(bytes(size))
        split = self.head.nbytes
        return Vector(np.frombuffer(stream[:split], HEAD), np.frombuffer(stream[split:], self.body.dtype))


def pairwise_seed(private: ec.EllipticCurvePrivateKey, public: ec.EllipticCurvePublicKey) -> bytes:
    """The 32 bytes that two clients share, each from its own private and the other's public key."""
    return base64.urlsafe_b64decode(generate_shared_key(private, public))


def pairwise_sign(one: int, other: int) -> int:
    """+1 for the client with the larger number, -1 for the other, so that both masks cancel."""
    return 1 if one > other else -1


def apply(vector: Vector, seed: bytes, sign: int) -> None:
    """Add (+1) or subtract (-1) a seed's mask."""
    mask = vector.mask(seed)
    if sign > 0:
        vector.add(mask)
    else:
        vector.subtract(mask)
