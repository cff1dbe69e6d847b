"""Promises of batches: every row once, little padding, the same order from the same seed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core_model.batching import Ragged, evaluation_order, padding_share, training_order


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
