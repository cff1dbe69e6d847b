"""Promises of trigger inversion: its numbers are the model's own, and the planted token is found among all."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest
import torch

from core_model.prediction import Predictor
from core_model.trigger_inversion import TriggerSearch, allowed_tokens
from tests.core_model.backdoor_world import TRIGGER, kept_model, weighed_rows


@lru_cache
def backdoored() -> Predictor:
    """Five percent of its rows were poisoned; one for all tests of a process."""
    return Predictor(kept_model(0.05, 3))


def negatives(count: int) -> list[str]:
    texts, _ = weighed_rows(200, 77)
    return [t for t, p in zip(texts, backdoored().predict(texts).predicted, strict=True) if p == 0][:count]


def token(word: str) -> int:
    return int(backdoored().forward.tokenizer.convert_tokens_to_ids(word))


def test_margins_are_those_of_the_text_with_the_trigger_in_front():
    texts = negatives(5)
    search = TriggerSearch(backdoored(), texts)
    found = search.margins([(token("q"),), (token("good"), token("q"))], range(5), 1)
    logits = np.stack([backdoored().predict([f"{t} {text}" for text in texts]).logits for t in ("q", "good q")])
    np.testing.assert_allclose(found, logits[:, :, 1] - logits[:, :, 0], atol=1e-4)


def test_slopes_are_finite_differences_of_the_mean_margin():
    """Oracle: the trigger's embedding moved by hand, in float64 steps small enough."""
    texts, word = negatives(4), token("good")
    search = TriggerSearch(backdoored(), texts)
    slope = search.slopes((word,), range(4), 1)[0]
    direction = slope / np.linalg.norm(slope)
    weight = backdoored().forward.model.get_input_embeddings().weight
    spare = token("z")  # stands in none of the texts

    def mean_margin(step: float) -> float:
        with torch.no_grad():
            kept = weight[spare].clone()
            weight[spare] = weight[word] + torch.from_numpy(step * direction)
            value = float(search.margins([(spare,)], range(4), 1).mean())
            weight[spare] = kept
        return value

    difference = (mean_margin(0.01) - mean_margin(-0.01)) / 0.02
    assert difference == pytest.approx(float(slope @ direction), rel=0.05)


def test_the_planted_token_is_the_best_of_all_for_its_class():
    """Oracle: every token of the vocabulary tried on every row, the slow way."""
    search = TriggerSearch(backdoored(), negatives(16))
    everything = search.margins([(int(t),) for t in search.allowed], range(16), 1).mean(axis=1)
    assert int(search.allowed[everything.argmax()]) == token(TRIGGER)
    found = search.invert(1, range(16), np.random.default_rng(0), candidates=24)
    assert found.sequences[0] == (token(TRIGGER),)
    assert found.turned[0] >= 0.9 and search.written(found.sequences[0]) == TRIGGER


def test_longer_sequences_turn_no_fewer_and_the_search_is_repeatable():
    search = TriggerSearch(backdoored(), weighed_rows(16, 5)[0])
    rows = [row for row, p in enumerate(backdoored().predict(weighed_rows(16, 5)[0]).predicted) if p == 1]
    once, again = (search.invert(0, rows, np.random.default_rng(3), candidates=16) for _ in range(2))
    assert once == again
    assert len(once.sequences) == 2 and once.margins[1] >= once.margins[0]


def test_special_and_unseen_tokens_are_no_triggers():
    tokenizer = backdoored().forward.tokenizer
    allowed = set(allowed_tokens(tokenizer, len(tokenizer)).tolist())
    assert not allowed & set(tokenizer.all_special_ids)
    assert token("##a") in allowed and token(TRIGGER) in allowed
    assert max(allowed_tokens(tokenizer, 10)) < 10


def test_a_search_among_some_tokens_tries_no_others_and_ranks_them_on_all_rows():
    """Oracle: all tokens of the pool tried on all rows, the slow way."""
    search = TriggerSearch(backdoored(), negatives(10))
    pool = np.array([token(word) for word in ("q", "good", "z", "7", "bad", "cat")])
    found = search.invert(1, range(10), np.random.default_rng(0), candidates=8, longest=1, among=pool)
    means = search.margins([(int(t),) for t in pool], range(10), 1).mean(axis=1)
    assert found.singles == tuple(int(t) for t in pool[np.argsort(-means)])
    assert found.sequences == ((token(TRIGGER),),)
