"""Promises of batches: every row once, little padding, the same order from the same seed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core_model.batching import (
    Ragged,
    evaluation_order,
    evaluation_order_by_tokens,
    padding_share,
    token_order,
    training_order,
)


@given(st.lists(st.integers(1, 60), min_size=1, max_size=300), st.integers(1, 20), st.integers(0, 5), st.integers(1, 9))
def test_every_row_stands_in_one_batch(lengths, batch_size, epoch, megabatch):
    batches = training_order(np.array(lengths), batch_size, seed=0, epoch=epoch, megabatch=megabatch)
    assert sorted(np.concatenate(batches)) == list(range(len(lengths)))
    assert len(batches) == -(-len(lengths) // batch_size)
    assert max(map(len, batches)) <= batch_size


def test_the_order_follows_from_seed_and_epoch_alone():
    lengths = np.random.default_rng(1).integers(1, 40, 500)

    def order(seed: int, epoch: int) -> list[int]:
        return np.concatenate(training_order(lengths, 8, seed=seed, epoch=epoch)).tolist()

    assert order(0, 0) == order(0, 0)
    assert order(0, 0) != order(0, 1) != order(1, 0)


def padded(sides: np.ndarray, batch: np.ndarray) -> int:
    """Cells of the matrices that hold these rows, one for each side."""
    return len(batch) * int(sides[batch].max(axis=0).sum())


SIDES = st.lists(st.tuples(st.integers(1, 40), st.integers(1, 40)), min_size=1, max_size=120)


@given(SIDES, st.integers(88, 900), st.integers(0, 3))
def test_batches_by_tokens_hold_every_row_once_and_keep_to_the_budget(pairs, budget, epoch):
    sides = np.array(pairs)
    batches = token_order(sides, budget, seed=0, epoch=epoch)
    assert sorted(np.concatenate(batches)) == list(range(len(sides)))
    assert max(padded(sides, batch) for batch in batches) <= budget
    assert len(batches) == len(token_order(sides, budget, seed=1, epoch=7))  # a plan counts on it


@given(SIDES, st.integers(80, 900))
def test_evaluation_by_tokens_holds_every_row_once_and_keeps_to_the_budget(pairs, budget):
    sides = np.array(pairs)
    batches = evaluation_order_by_tokens(sides, budget)
    assert sorted(np.concatenate(batches)) == list(range(len(sides)))
    assert max(padded(sides, batch) for batch in batches) <= budget


def test_a_row_beyond_the_budget_is_a_batch_of_its_own():
    assert sorted(map(len, token_order(np.array([9, 200, 9]), 50, seed=0, epoch=0))) == [1, 2]


def test_batches_by_tokens_are_full_and_differ_between_epochs():
    random = np.random.default_rng(0)
    sources = random.geometric(1 / 23, 6_000).clip(3, 120)
    sides = np.stack([sources, (sources * random.uniform(0.7, 1.4, 6_000)).astype(int).clip(2, 128)], axis=1)
    batches = token_order(sides, 2_000, seed=0, epoch=0)
    work = sum(padded(sides, batch) for batch in batches)
    assert 1 - sides.sum() / work < 0.16  # padding
    assert work / len(batches) > 0.85 * 2_000  # batches are nearly full: no time is lost on small ones
    again = token_order(sides, 2_000, seed=0, epoch=0)
    other = token_order(sides, 2_000, seed=0, epoch=1)
    assert all(np.array_equal(a, b) for a, b in zip(batches, again, strict=True))
    kept = {frozenset(b.tolist()) for b in batches} & {frozenset(b.tolist()) for b in other}
    assert len(kept) < 0.3 * len(batches)  # without grains it would be half of them


def test_bucketing_saves_most_of_the_padding():
    lengths = np.random.default_rng(0).geometric(1 / 23, 9_000).clip(3, 128)
    random = np.random.default_rng(0).permutation(9_000)
    plain = padding_share(lengths, [random[i : i + 32] for i in range(0, 9_000, 32)])
    bucketed = padding_share(lengths, training_order(lengths, 32, seed=0, epoch=0))
    assert plain > 0.6  # the fault that bucketing mends is there
    assert bucketed < 0.1
    assert padding_share(lengths, evaluation_order(lengths, 32)) < 0.02


def test_short_batches_do_not_all_come_first():
    """Sorted batches in sorted order would be a curriculum; the shuffle of batches prevents it."""
    lengths = np.arange(1, 1601)
    means = [lengths[b].mean() for b in training_order(lengths, 32, seed=0, epoch=0)]
    assert abs(np.corrcoef(means, np.arange(len(means)))[0, 1]) < 0.4


def test_evaluation_begins_with_the_longest_row():
    lengths = np.array([3, 9, 4, 9, 1])
    batches = evaluation_order(lengths, 2)
    assert [b.tolist() for b in batches] == [[1, 3], [2, 0], [4]]


@given(st.lists(st.lists(st.integers(0, 99), max_size=7), max_size=12))
def test_ragged_rows_come_back_as_they_went_in(sequences):
    ragged = Ragged.of(sequences)
    twice = Ragged.joined([ragged, ragged])
    for i, sequence in enumerate([*sequences, *sequences]):
        assert twice.padded(np.array([i]), -1)[0].tolist() == sequence
    if sequences:
        matrix = ragged.padded(np.arange(len(sequences)), -1)
        assert matrix.shape == (len(sequences), max(map(len, sequences)))


@pytest.mark.parametrize("rows", [0, 1])
def test_padding_of_next_to_nothing_is_none(rows):
    lengths = np.full(rows, 5)
    assert padding_share(lengths, training_order(lengths, 4, seed=0, epoch=0)) == 0
