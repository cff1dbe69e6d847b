"""Promises of `overlap`: what it finds is what a loop over all pairs finds."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core_model.duplicates import MISSED, bands, jaccard, normalised, overlap, shingles
from tests.factories import WORDS


def slowly(train, test, threshold):
    """Every pair, one at a time: (exact, near) per test row."""
    exact = [any(normalised(text) == normalised(other) for other in train) for text in test]
    similar = [max((jaccard(shingles(text), shingles(other)) for other in train), default=0.0) for text in test]
    return exact, [s >= threshold and not e for s, e in zip(similar, exact, strict=True)]


def sentences(random, count, words=14):
    return [" ".join(random.choice(WORDS, size=random.integers(4, words))) for _ in range(count)]


def with_leaks(random, train, count):
    """Rows of which some are training rows, word for word or with a word or a mark changed."""
    test = sentences(random, count)
    for i in range(0, count, 3):
        words = train[random.integers(len(train))].split()
        if i % 2:
            words[random.integers(len(words))] = random.choice(WORDS)
        test[i] = " ".join(words).upper() if i % 4 == 0 else "  ".join(words)
    test[1] = train[0] + " !"  # not exact, and as near as can be
    return test


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.8, 0.95, 1.0])
def test_finds_what_a_loop_over_all_pairs_finds(threshold):
    random = np.random.default_rng(0)
    train = sentences(random, 150, words=40)
    test = with_leaks(random, train, 90)
    found = overlap(train, test, threshold=threshold)
    exact, near = slowly(train, test, threshold)
    assert found.exact.tolist() == exact and found.near.tolist() == near
    assert found.exact.any() and found.near.any()


@settings(max_examples=15, deadline=None)
@given(
    st.lists(st.text("ab .!\u00e9\u2028", max_size=12), max_size=8), st.lists(st.text("aB .!", max_size=12), max_size=8)
)
def test_holds_for_odd_texts_too(train, test):
    found = overlap(train, test)
    assert (found.exact.tolist(), found.near.tolist()) == slowly(train, test, 0.8)


def test_each_accused_row_comes_with_its_witness():
    train = ["the first text of all is here", "Some other words in a row, at last", "the first text of all is here"]
    test = ["nothing of that kind stands there", "THE first text  of all is here", "some other words in a row at last"]
    found = overlap(train, test)
    assert found.exact.tolist() == [False, True, False] and found.near.tolist() == [False, False, True]
    assert found.pairs == [(1, 0, 1.0), (2, 1, 1.0)]


def test_clean_data_accuses_nobody():
    random = np.random.default_rng(1)
    found = overlap(sentences(random, 200, 30), [f"unrelated {i} words {i} only {i}" for i in range(50)])
    assert not found.exact.any() and not found.near.any() and found.pairs == []


def test_short_texts_are_compared_whole():
    found = overlap(["good day", "!!!"], ["Good day!", "bad day", "???", "!!!"])
    assert found.near.tolist() == [True, False, False, False] and found.exact.tolist() == [False, False, False, True]


@pytest.mark.parametrize("threshold", [0.5, 0.8, 0.9, 1.0])
def test_a_pair_at_the_threshold_is_hardly_ever_missed(threshold):
    count, values = bands(threshold)
    assert (1 - threshold**values) ** count <= MISSED and count * values <= 128


def test_the_same_texts_give_the_same_answer_twice():
    random = np.random.default_rng(2)
    train = sentences(random, 100)
    test = with_leaks(random, train, 40)
    assert overlap(train, test).pairs == overlap(train, test).pairs


def test_a_threshold_that_is_no_similarity_is_refused():
    with pytest.raises(ValueError, match=r"0\.0 is no similarity"):
        overlap(["a"], ["a"], threshold=0.0)


def test_a_thousand_rows_against_three_hundred_need_little_time():
    """A tenth of the real size; the whole, 10,000 against 2,300, was seen to take 2.3 s on one core."""
    random = np.random.default_rng(3)
    vocabulary = [f"w{i}" for i in range(5_000)]
    train = [" ".join(random.choice(vocabulary, size=30)) for _ in range(1_000)]
    began = time.process_time()
    overlap(train, train[:300])
    assert time.process_time() - began < 10
