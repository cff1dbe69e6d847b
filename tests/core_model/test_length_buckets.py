"""Promises of inference batches: every row once, the budget held, and as little padding as there can be."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core_model.length_buckets import BATCH_COST, padded_tokens, plan_batches

LENGTHS = st.lists(st.integers(1, 60), min_size=1, max_size=200)


@given(LENGTHS, st.integers(1, 500), st.booleans())
def test_every_row_stands_in_one_batch_and_no_batch_is_over_budget(lengths, budget, padding):
    lengths = np.array(lengths)
    batches = plan_batches(lengths, budget, padding=padding)
    assert sorted(np.concatenate(batches)) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or len(batch) * lengths[batch].max() <= budget


@given(LENGTHS)
def test_a_model_that_cannot_be_padded_gets_equal_lengths(lengths):
    lengths = np.array(lengths)
    batches = plan_batches(lengths, 256, padding=False)
    assert all(len(set(lengths[batch])) == 1 for batch in batches)
    assert padded_tokens(lengths, batches) == lengths.sum()


@given(st.lists(st.sampled_from([1, 5, 9, 20, 21, 40]), min_size=1, max_size=60), st.sampled_from([40, 100, 1_000]))
def test_no_other_cut_is_cheaper(lengths, budget):
    """The oracle tries every way of cutting the distinct lengths into buckets, whose batches are as long as they are.

    A bucket of several batches may cost a little less: rows keep their order, and the first batches are shorter.
    """
    lengths = np.array(lengths)
    distinct = sorted(set(lengths))

    def cost(edges: tuple[int, ...]) -> int:
        total = 0
        for start, end in zip((0, *edges), (*edges, len(distinct)), strict=True):
            longest = distinct[end - 1]
            rows = int(np.isin(lengths, distinct[start:end]).sum())
            total += rows * longest + BATCH_COST * -(-rows // max(1, budget // longest))
        return total

    cuts = (c for k in range(len(distinct)) for c in combinations(range(1, len(distinct)), k))
    batches = plan_batches(lengths, budget)
    assert padded_tokens(lengths, batches) + BATCH_COST * len(batches) <= min(map(cost, cuts))


def test_many_rows_of_each_length_are_not_padded_and_few_rows_share_a_batch():
    many = np.repeat(np.arange(5, 45), 100)
    assert padded_tokens(many, plan_batches(many, 2_048)) == many.sum()
    few = np.arange(5, 15)
    assert len(plan_batches(few, 2_048)) < 4


def test_the_most_expensive_batch_comes_first():
    lengths = np.random.default_rng(0).integers(1, 500, 300)
    sizes = [padded_tokens(lengths, [batch]) for batch in plan_batches(lengths, 1_024)]
    assert sizes == sorted(sizes, reverse=True)


def test_the_plan_follows_from_the_lengths_alone():
    lengths = np.random.default_rng(0).integers(1, 50, 500)
    shuffle = np.random.default_rng(1).permutation(500)
    shapes = [[sorted(some[batch]) for batch in plan_batches(some, 512)] for some in (lengths, lengths[shuffle])]
    assert shapes[0] == shapes[1]


@pytest.mark.parametrize("padding", [True, False])
def test_no_rows_no_batches(padding):
    assert plan_batches(np.array([], dtype=np.int64), 100, padding=padding) == []


def test_a_hundred_thousand_rows_of_512_lengths_are_planned_at_once():
    lengths = np.random.default_rng(0).integers(1, 513, 100_000)
    assert sum(map(len, plan_batches(lengths, 2_048))) == 100_000
