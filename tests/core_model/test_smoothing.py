"""Promises of the smoothed classifier: its formula is the share counted by hand, and no replacement breaks its word."""

from __future__ import annotations

from itertools import combinations, product
from math import comb

import numpy as np
import pytest
from scipy.stats import binomtest

from core_model.errors import OptionUnfit
from core_model.smoothing import SmoothedClassifier, Smoothing
from core_model.smoothing_certificate import changed_share, lower_limit, radius_of, subset_size
from tests.factories import StubPredictor

VOCABULARY = ("good", "bad", "not", "film")
WEIGHTS = {"good": 1.0, "bad": -1.0, "film": 0.3}


def toy(text: str) -> list[float]:
    """The classifier on trial: sums words, and "not" turns what follows; ties go to class 0."""
    total, sign = 0.0, 1.0
    for word in text.split():
        if word == "not":
            sign = -sign
        else:
            total += sign * WEIGHTS.get(word, 0.0)
    return [0.9, 0.1] if total <= 0 else [0.1, 0.9]


def votes(words: tuple[str, ...], kept: int) -> np.ndarray:
    """(subsets, 2) votes of every subset, one by one: the slow truth."""
    return np.array([np.eye(2)[int(np.argmax(toy(" ".join(part))))] for part in combinations(words, kept)])


@pytest.mark.parametrize(
    ("words", "kept", "replaced"), [(1, 1, 1), (5, 2, 1), (6, 2, 3), (7, 3, 2), (6, 6, 1), (8, 1, 8)]
)
def test_delta_is_the_share_of_subsets_that_hold_a_replaced_word(words, kept, replaced):
    subsets = list(combinations(range(words), kept))
    held = sum(any(place < replaced for place in subset) for subset in subsets)
    assert changed_share(words, kept, replaced) == pytest.approx(held / len(subsets))


def test_the_papers_bound_holds_for_every_replacement_with_its_own_beta_and_with_one():
    """Theorem 1 of RanMASK, by brute force: p(x) - p(x') <= beta Delta, over all texts that differ in one word."""
    kept = 2
    for words in product(VOCABULARY, repeat=4):
        own = votes(words, kept)
        answer = int(own.sum(axis=0).argmax())
        for place in range(4):
            holds = np.array([place in subset for subset in combinations(range(4), kept)])
            beta = own[holds, answer].mean()
            delta = changed_share(4, kept, 1)
            for word in VOCABULARY:
                other = votes((*words[:place], word, *words[place + 1 :]), kept)
                fall = own[:, answer].mean() - other[:, answer].mean()
                assert fall <= beta * delta + 1e-12 <= delta + 1e-9


@pytest.mark.parametrize("length", [1, 3, 4, 5])
def test_no_replacement_within_the_radius_turns_the_answer(length):
    """Every text of the toy's vocabulary against every other within its radius: 4 ** length texts."""
    smoothed = SmoothedClassifier(StubPredictor(toy), Smoothing(keep=0.25, looks=50))
    texts = list(product(VOCABULARY, repeat=length))
    found = smoothed.certify([" ".join(words) for words in texts])
    assert all(certificate.exact for certificate in found)
    proven = 0
    for words, certificate in zip(texts, found, strict=True):
        if not certificate.radius:
            continue
        proven += 1
        for others, other in zip(texts, found, strict=True):
            if sum(a != b for a, b in zip(words, others, strict=True)) <= certificate.radius:
                assert other.answer == certificate.answer
    assert proven > 0 or length == 1


def test_exact_votes_are_those_of_every_subset():
    words = ("good", "not", "bad", "film", "good")
    [certificate] = SmoothedClassifier(StubPredictor(toy), Smoothing(keep=0.4, looks=10)).certify([" ".join(words)])
    truth = votes(words, 2).mean(axis=0)
    assert certificate.share == certificate.limit == pytest.approx(truth.max())
    assert certificate.answer == (int(truth.argmax()) if truth.max() > 0.5 else None)


def test_drawn_limits_are_clopper_pearsons_and_rarely_above_the_truth():
    """Oracle: scipy's exact test; and 60 texts whose true share is counted over all 792 subsets."""
    assert lower_limit(np.array([90, 0, 100]), np.array([100, 100, 100]), 0.01) == pytest.approx(
        [
            binomtest(hits, 100).proportion_ci(confidence_level=0.98, method="exact").low if hits not in (0, 100)
            else (0.0 if not hits else 0.01 ** (1 / 100))
            for hits in (90, 0, 100)
        ]
    )  # fmt: skip
    random = np.random.default_rng(0)
    texts = [" ".join(random.choice(VOCABULARY, 12, p=[0.5, 0.15, 0.05, 0.3])) for _ in range(60)]
    smoothing = Smoothing(keep=5 / 12, looks=60, failure_probability=0.1)
    found = SmoothedClassifier(StubPredictor(toy), smoothing, seed=3).certify(texts)
    wrong = 0
    for text, certificate in zip(texts, found, strict=True):
        truth = votes(tuple(text.split()), 5).mean(axis=0)
        if certificate.answer is not None:
            wrong += certificate.limit > truth[certificate.answer]
    assert not any(certificate.exact for certificate in found)
    assert wrong <= 60 * 0.1 + 3 * np.sqrt(60 * 0.1 * 0.9)


def test_the_radius_grows_as_less_is_shown():
    kept = [subset_size(20, keep) for keep in (0.1, 0.3, 0.5, 1.0)]
    assert kept == [2, 6, 10, 20]
    assert [radius_of(1.0, 20, k) for k in kept] == [5, 1, 0, 0]
    assert radius_of(1.0, 20, 2) == max(d for d in range(21) if 1 - comb(20 - d, 2) / comb(20, 2) < 0.5)
    assert radius_of(0.5, 20, 2) is None


def test_a_text_of_one_word_or_none_is_answered_and_nothing_is_claimed_for_it():
    smoothed = SmoothedClassifier(StubPredictor(toy))
    assert [(c.answer, c.radius, c.words) for c in smoothed.certify(["good", "", "  "])] == [
        (1, 0, 1),
        (0, 0, 0),
        (0, 0, 0),
    ]
    assert smoothed.certify([]) == []


def test_it_stands_in_a_predictors_place_and_does_not_depend_on_the_order_of_rows():
    texts = ["good film good good film bad good good", "bad", "bad film bad bad not bad bad bad film bad"]
    smoothed = SmoothedClassifier(StubPredictor(toy), Smoothing(looks=20), seed=1)
    forwards, backwards = smoothed.predict(texts), smoothed.predict(texts[::-1])
    assert forwards.probabilities.sum(axis=1) == pytest.approx(1, abs=1e-6)
    np.testing.assert_array_equal(forwards.logits, backwards.logits[::-1])
    assert forwards.predicted.tolist() == [1, 0, 0]


def test_hidden_words_can_be_masked_in_their_places():
    looks, _ = SmoothedClassifier(StubPredictor(toy), Smoothing(keep=0.5, looks=6, mask="[MASK]")).looks("a b c")
    assert looks == ["a b [MASK]", "a [MASK] c", "[MASK] b c"]


def test_a_smoothing_that_cannot_be_is_refused():
    with pytest.raises(OptionUnfit, match="looks=0"):
        Smoothing(looks=0)
