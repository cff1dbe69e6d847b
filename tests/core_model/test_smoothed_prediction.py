"""Promises of the smoothed classifier in a predictor's place: its own votes, counted passes, and no more than votes."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from core_model.checkpoint import open_checkpoint
from core_model.errors import OptionUnfit, TaskUnfit
from core_model.prediction import Predictor
from core_model.smoothed_prediction import LOOKS, SmoothedPredictor
from core_model.smoothing import SmoothedClassifier, Smoothing
from tests.factories import WORDS
from tests.undecided_checkpoint import write_undecided_checkpoint

SMOOTHING = Smoothing(keep=0.4, looks=9)
RANDOM = np.random.default_rng(0)
TEXTS = [" ".join(RANDOM.choice(WORDS, size=n)) for n in (1, 2, 5, 9, 9, 14, 20, 3)]


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    return open_checkpoint(write_undecided_checkpoint(tmp_path_factory.mktemp("smoothed") / "model", TEXTS))


def wrapped(opened, *, seed: int = 0, smoothing: Smoothing = SMOOTHING) -> SmoothedPredictor:
    return SmoothedPredictor(Predictor(opened, threads=1), smoothing, seed=seed)


def test_shares_are_those_of_the_looks_asked_one_by_one(opened):
    """The slow truth: every look is a text of its own, asked alone; nothing is batched."""
    model, wrapper = Predictor(opened, threads=1), wrapped(opened, seed=3)
    found = wrapper.predict(TEXTS).probabilities
    for text, shares in zip(TEXTS, found, strict=True):
        looks, _ = SmoothedClassifier(model, SMOOTHING, seed=3).looks(text, choosing=0)
        votes = np.bincount([int(model.predict([look]).predicted[0]) for look in looks], minlength=2)
        counted = np.maximum(votes, 0.5)
        assert shares == pytest.approx(counted / counted.sum(), abs=1e-6)


def test_pairs_are_shown_their_second_text_whole(opened):
    pairs = TEXTS[::-1]
    own = SmoothedClassifier(Predictor(opened, threads=1), SMOOTHING).predict(TEXTS, pairs).logits
    assert np.array_equal(wrapped(opened).predict(TEXTS, pairs).logits, own)
    assert not np.array_equal(wrapped(opened).predict(TEXTS).logits, own)


def test_passes_are_the_distinct_looks_and_equal_ones_are_paid_for_once(opened):
    wrapper = wrapped(opened)
    wrapper.predict(TEXTS)
    looks = {look for text in TEXTS for look in wrapper._classifier.looks(text, choosing=0)[0]}
    assert wrapper.forward_passes == len(looks)
    wrapper.predict(TEXTS)
    assert wrapper.forward_passes == len(looks)
    twin = SmoothedPredictor.like(wrapper)
    assert twin.forward_passes == 0
    assert np.array_equal(twin.predict(TEXTS).logits, wrapper.predict(TEXTS).logits)
    assert twin.forward_passes == len(looks)  # it has no cache


def test_an_answer_takes_as_many_looks_as_there_are_parts(opened):
    parts = [len(list(combinations(text.split(), max(1, round(0.4 * len(text.split())))))) for text in TEXTS]
    expected = np.mean([min(9, some) for some in parts])
    assert wrapped(opened).passes_an_answer(TEXTS) == pytest.approx(expected)


def test_the_same_seed_takes_the_same_looks_and_another_one_others(opened):
    same, other = (wrapped(opened, seed=seed).predict(TEXTS).logits for seed in (0, 1))
    assert np.array_equal(wrapped(opened).predict(TEXTS).logits, same)
    looks = [wrapped(opened, seed=seed)._classifier.looks(TEXTS[-2], choosing=0)[0] for seed in (0, 1)]
    assert looks[0] != looks[1] and other.shape == same.shape


def test_the_looks_of_an_answer_are_the_first_of_those_that_certify(opened):
    classifier = SmoothedClassifier(Predictor(opened, threads=1), SMOOTHING)
    answering, certifying = (classifier.looks(TEXTS[-2], choosing=choosing)[0] for choosing in (0, None))
    assert certifying[: len(answering)] == answering and len(certifying) == 9 + SMOOTHING.choosing


def test_the_share_of_the_default_looks_varies_by_no_more_than_a_tenth():
    """Simulated votes of answers that are as undecided as can be."""
    shares = np.random.default_rng(0).binomial(LOOKS, 0.5, size=20_000) / LOOKS
    assert shares.std() == pytest.approx(0.1, abs=0.002) and LOOKS % 2 == 1


def test_votes_are_no_text_and_no_gradient(opened):
    wrapper = wrapped(opened)
    assert not isinstance(wrapper, Predictor)
    for ask in (wrapper.score, wrapper.generate, lambda texts: wrapper.answer(texts, texts)):
        with pytest.raises(TaskUnfit, match="counts votes"):
            ask(["a"])


@pytest.mark.parametrize("mask", ["", "  ", "two words"])
def test_a_mask_is_one_word(mask):
    with pytest.raises(OptionUnfit, match="one word stands in the place of one word"):
        Smoothing(mask=mask)
