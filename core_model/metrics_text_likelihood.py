"""How well does a language model foresee the text? Perplexity by its tokens, bits by the text's own bytes.

Perplexity depends on how the tokenizer cuts the text; bits per byte do not, so that they alone compare two models with
two tokenizers.

Source: Jelinek et al. 1977 (perplexity); Gao et al. 2020, arXiv:2101.00027, section 3.1 (bits per byte).
"""

from __future__ import annotations

from math import log

import numpy as np

from core_model.corpus_metric import Array, CorpusMetric


def likelihood_metrics(nll: Array, tokens: Array, size: Array) -> tuple[CorpusMetric, ...]:
    """Perplexity and bits per byte of scored rows; ratios of sums, never means of rows' ratios.

    Args:
        nll: (rows,) nats, summed over a row's scored tokens.
        tokens: (rows,) tokens that were scored.
        size: (rows,) UTF-8 bytes of the text that was scored.
    Returns: both metrics, statistics (rows, 2).
    """
    nll = np.asarray(nll, dtype=np.float64)
    return (
        CorpusMetric(
            "perplexity", np.stack([nll, tokens], axis=1), perplexity_of_sums, "unit:token|log:e|version:1",
            "perplexity per token", "lower",
        ),
        CorpusMetric(
            "bits_per_byte", np.stack([nll, size], axis=1), bits_per_byte_of_sums, "unit:utf-8 byte|log:2|version:1",
            "bits per byte", "lower",
        ),
    )  # fmt: skip


def perplexity_of_sums(sums: Array) -> Array:
    """exp(nats / tokens), (..., 2) -> (...); NaN where no token was scored."""
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        return np.exp(np.true_divide(sums[..., 0], sums[..., 1]))


def bits_per_byte_of_sums(sums: Array) -> Array:
    """nats / bytes / ln 2, (..., 2) -> (...); NaN where no byte was scored."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.true_divide(sums[..., 0], sums[..., 1]) / log(2)
