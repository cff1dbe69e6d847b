"""Perplexity and bits per byte: the definition, by a slow loop."""

from __future__ import annotations

import math

import numpy as np
import pytest

from core_model.metrics_text_likelihood import likelihood_metrics


def test_both_equal_a_slow_loop_over_tokens():
    random = np.random.default_rng(0)
    texts = ["ein Wort", "a second text", "ü", "…"]
    probabilities = [random.uniform(0.01, 0.9, size=n) for n in (3, 5, 1, 2)]
    nll = np.array([-np.log(p).sum() for p in probabilities])
    tokens = np.array([len(p) for p in probabilities])
    size = np.array([len(text.encode()) for text in texts])

    every = [-math.log(p) for row in probabilities for p in row]
    bits = sum(-math.log2(p) for row in probabilities for p in row)
    perplexity, per_byte = likelihood_metrics(nll, tokens, size)
    assert perplexity.score == pytest.approx(math.exp(sum(every) / len(every)), rel=1e-12)
    assert per_byte.score == pytest.approx(bits / sum(len(t.encode()) for t in texts), rel=1e-12)


def test_a_model_that_guesses_bytes_needs_eight_bits_each():
    perplexity, per_byte = likelihood_metrics(np.full(3, 10 * math.log(256)), np.full(3, 10), np.full(3, 10))
    assert perplexity.score == pytest.approx(256) and per_byte.score == pytest.approx(8)


def test_a_row_without_a_scored_token_adds_nothing_and_has_no_value_of_its_own():
    perplexity, _ = likelihood_metrics(np.array([0.0, 2.0]), np.array([0, 2]), np.array([0, 5]))
    assert perplexity.score == pytest.approx(math.e)
    assert np.isnan(perplexity.of_each_row[0])
    assert likelihood_metrics(np.zeros(1), np.zeros(1), np.zeros(1))[0].score is None
