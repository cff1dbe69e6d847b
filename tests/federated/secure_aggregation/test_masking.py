"""Masks look uniform, cancel, and cannot be found by trying seeds; Flower's own could."""

import os

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from flwr.common.secure_aggregation.crypto.symmetric_encryption import generate_shared_key
from flwr.common.secure_aggregation.secaggplus_utils import pseudo_rand_gen
from flwr.supercore.primitives.asymmetric import generate_key_pairs
from scipy.stats import chisquare

from federated.secure_aggregation.client_keys import of_scalar, to_scalar
from federated.secure_aggregation.masking import Vector, apply, pairwise_seed, pairwise_sign


@pytest.mark.parametrize("bits", [32, 64])
def test_mask_is_uniform_over_the_whole_range(bits):
    mask = Vector.zero(4, 100_000, bits).mask(bytes(range(32)))
    assert mask.head.shape == (4,) and mask.body.shape == (100_000,) and mask.body.dtype.itemsize * 8 == bits
    for bits_of in (mask.body >> (bits - 4), mask.body & 15):  # highest and lowest four bits
        assert chisquare(np.bincount(bits_of.astype(int), minlength=16)).pvalue > 1e-4


def test_mask_is_the_keystream_of_aes_in_counter_mode():
    """NIST SP 800-38A, F.5.5 (CTR-AES256): the block cipher on the counter, here beginning at zero."""
    seed = bytes.fromhex("603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4")
    counters = b"".join(i.to_bytes(16, "big") for i in range(3))
    blocks = Cipher(algorithms.AES(seed), modes.ECB()).encryptor().update(counters)  # noqa: S305 - the oracle
    mask = Vector.zero(2, 8, 32).mask(seed)
    assert mask.head.tobytes() + mask.body.tobytes() == blocks


@pytest.mark.parametrize("bits", [32, 64])
def test_pairwise_masks_cancel_and_own_masks_come_off(bits):
    rng = np.random.default_rng(0)
    keys = {node: generate_key_pairs() for node in (3, 2**63 + 5, 17)}
    plain = {
        node: Vector(rng.integers(0, 9, 3).astype("<u8"), rng.integers(0, 9, 50).astype(f"<u{bits // 8}"))
        for node in keys
    }
    total, seeds = Vector.zero(3, 50, bits), []
    for node, vector in plain.items():
        masked = Vector(vector.head.copy(), vector.body.copy())
        seeds.append(os.urandom(32))
        apply(masked, seeds[-1], +1)
        for other in keys:
            if other != node:
                apply(masked, pairwise_seed(keys[node][0], keys[other][1]), pairwise_sign(node, other))
        assert not (masked.body == vector.body).all()
        total.add(masked)
    for seed in seeds:
        apply(total, seed, -1)
    assert (total.head == sum(one.head for one in plain.values())).all()
    assert (total.body == sum(one.body for one in plain.values())).all()


def test_private_key_survives_being_split():
    key, public = generate_key_pairs()
    assert len(to_scalar(key)) == 48
    assert of_scalar(to_scalar(key)).public_key() == public


def test_why_flowers_generator_is_not_used_seeds_fold_into_32_bits():
    """Two different seeds, one mask: the four-byte words of a seed are XORed, so their order does not matter."""
    seed = bytes(range(32))
    turned = seed[4:] + seed[:4]
    assert (pseudo_rand_gen(seed, 2**32, [(100,)])[0] == pseudo_rand_gen(turned, 2**32, [(100,)])[0]).all()
    ours = [Vector.zero(0, 100, 32).mask(one).body for one in (seed, turned)]
    assert not (ours[0] == ours[1]).any()


def test_why_flowers_generator_is_not_used_pairwise_seeds_have_28_bits():
    """A pairwise seed is base64 text: no byte has its highest bit, and neither has their XOR."""
    for _ in range(20):
        (one, _), (_, other) = generate_key_pairs(), generate_key_pairs()
        words = np.frombuffer(generate_shared_key(one, other), dtype="<u4")
        assert np.bitwise_xor.reduce(words) & 0x80808080 == 0
