"""Promises of mutants: what is broken is what was named, and afterwards every bit is as it was. Weights are random."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest
import torch

from core_model.mutation import OPERATORS, mutated, permuted, planned
from tests.core_model.training_world import tiny_base

FREQUENT = list(range(20, 60))


@lru_cache
def model():
    return tiny_base().load_model().eval()


def logits() -> np.ndarray:
    ids = torch.randint(5, 60, (6, 9), generator=torch.Generator().manual_seed(3))
    with torch.inference_mode():
        return model()(input_ids=ids).logits.numpy()


def bits() -> dict[str, bytes]:
    return {name: tensor.numpy().tobytes() for name, tensor in model().state_dict().items()}


@pytest.mark.parametrize("mutation", planned(12), ids=lambda mutation: mutation.name)
def test_a_mutant_answers_otherwise_and_is_put_back_bit_by_bit_even_after_a_crash(mutation):
    before, said = bits(), logits()
    with pytest.raises(RuntimeError), mutated(model(), mutation, np.random.default_rng(1), frequent=FREQUENT) as made:
        assert made and bits() != before
        assert not np.array_equal(logits(), said)
        raise RuntimeError("planted")
    assert bits() == before and np.array_equal(logits(), said)


def test_a_dozen_hold_every_operator_and_the_next_dozen_are_other_draws():
    dozen = planned(12)
    assert {mutation.operator for mutation in dozen} == set(OPERATORS)
    assert len({mutation.name for mutation in planned(36)}) == 36
    assert [m.operator for m in planned(24)[12:]] == [m.operator for m in dozen]


def changed(operator: str, size: float, seed: int = 1) -> dict[str, np.ndarray]:
    """What each parameter became, where it changed."""
    [mutation] = [m for m in planned(12) if (m.operator, m.size) == (operator, size)]
    before = {name: p.detach().clone() for name, p in model().named_parameters()}
    with mutated(model(), mutation, np.random.default_rng(seed), frequent=FREQUENT):
        return {n: p.detach().numpy().copy() for n, p in model().named_parameters() if not torch.equal(p, before[n])}


def test_noise_has_the_size_that_was_chosen_and_stays_in_one_layer():
    found = changed("weight_noise", 0.5)
    assert len({name.split(".")[3] for name in found}) == 1 and len(found) == 6  # query, key, value, three dense
    for name, now in found.items():
        was = dict(model().named_parameters())[name].detach().numpy()
        assert np.std(now - was) / np.std(was) == pytest.approx(0.5, rel=0.1)


def test_swapped_outputs_are_swapped_logits_and_a_shifted_bias_shifts_one_logit():
    said = logits()
    for operator, size, expected in (("outputs_swapped", 1.0, None), ("bias_shifted", 2.0, 2.0)):
        [mutation] = [m for m in planned(12) if (m.operator, m.size) == (operator, size)]
        with mutated(model(), mutation, np.random.default_rng(0)):
            now = logits()
        if expected is None:
            np.testing.assert_allclose(now, said[:, ::-1], atol=1e-6)
        else:
            np.testing.assert_allclose(sorted((now - said).mean(axis=0)), [0, expected], atol=1e-6)


def test_blocked_neurons_are_those_of_a_feed_forward_without_them():
    """Half of the 64 neurons: their columns of the way out are zero, by count."""
    [(name, now)] = changed("neurons_blocked", 0.5).items()
    assert name.endswith("output.dense.weight") and now.shape == (32, 64)
    assert (now == 0).all(axis=0).sum() == 32


def test_exchanged_embeddings_are_the_same_rows_in_another_order():
    [(name, now)] = changed("embeddings_exchanged", 1.0).items()
    was = dict(model().named_parameters())[name].detach().numpy()
    moved = np.flatnonzero((now != was).any(axis=1))
    assert set(moved) == set(FREQUENT)
    assert sorted(map(tuple, now)) == sorted(map(tuple, was))


@pytest.mark.parametrize("seed", range(5))
def test_hidden_units_in_another_order_compute_the_same_function(seed):
    said, before = logits(), bits()
    with permuted(model(), np.random.default_rng(seed)) as made:
        assert made and bits() != before
        np.testing.assert_allclose(logits(), said, atol=1e-5)
    assert bits() == before
