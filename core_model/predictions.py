"""What a model said of some rows: logits, scores of texts, texts that it wrote, or spans that it found."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np


@dataclass(frozen=True)
class Predictions:
    """Outputs of a classifier.

    Attributes:
        logits: (rows, classes) float32, in the order of the rows asked for.
    """

    logits: np.ndarray

    def __len__(self) -> int:
        return len(self.logits)

    @cached_property
    def probabilities(self) -> np.ndarray:
        """Softmax of the logits, (rows, classes) float64; rows sum to 1."""
        shifted = self.logits.astype(np.float64) - self.logits.max(axis=1, keepdims=True, initial=-np.inf)
        exponentials = np.exp(shifted)
        return exponentials / exponentials.sum(axis=1, keepdims=True)

    @cached_property
    def predicted(self) -> np.ndarray:
        """Index of the most probable class, (rows,) int64; the first one wins a tie."""
        return self.logits.argmax(axis=1)

    @cached_property
    def confidence(self) -> np.ndarray:
        """Probability of the predicted class, (rows,) float64."""
        return self.probabilities.max(axis=1)


@dataclass(frozen=True)
class Scores:
    """How well a language model foresaw some texts.

    Perplexity is exp(nll.sum() / tokens.sum()); bits per byte nll.sum() / ln 2 / bytes.sum(). A row of which nothing
    can be scored (an empty text) has 0 in all three.

    Attributes:
        nll: (rows,) float64, -log p summed over the scored tokens, in nats.
        tokens: (rows,) int64, tokens scored.
        bytes: (rows,) int64, UTF-8 bytes of the scored part of the text.
    """

    nll: np.ndarray
    tokens: np.ndarray
    bytes: np.ndarray

    def __len__(self) -> int:
        return len(self.nll)


@dataclass(frozen=True)
class TokenScores:
    """The same, token by token. Row i's tokens are `[starts[i]:starts[i + 1]]` of each array.

    Attributes:
        starts: (rows + 1,) int64.
        log_probabilities: (tokens,) float32 log p of the token that stands there, in nats.
        means: (tokens,) float32, what log p was to be expected: the sum over the vocabulary of p log p.
        deviations: (tokens,) float32, the standard deviation of log p under the same p.
    """

    starts: np.ndarray
    log_probabilities: np.ndarray
    means: np.ndarray
    deviations: np.ndarray

    def __len__(self) -> int:
        return len(self.starts) - 1


@dataclass(frozen=True)
class Generations:
    """What a model wrote.

    Attributes:
        texts: (rows,) without special tokens; of a decoder, the continuation alone.
        tokens: (rows,) int64, tokens written, the end mark included.
        cut: (rows,) bool, whether the limit of new tokens came before an end mark.
        signature: every setting that could change the texts.
    """

    texts: tuple[str, ...]
    tokens: np.ndarray
    cut: np.ndarray
    signature: str

    def __len__(self) -> int:
        return len(self.texts)


@dataclass(frozen=True)
class SpanAnswers:
    """Answers cut out of their contexts.

    Attributes:
        texts: (rows,) each a part of its context, character by character.
        scores: (rows,) float64, log of (probability of the span's first token times that of its last), in nats, at
            most 0; both over all tokens of the context.
    """

    texts: tuple[str, ...]
    scores: np.ndarray

    def __len__(self) -> int:
        return len(self.texts)
