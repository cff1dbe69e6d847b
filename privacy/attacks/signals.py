"""What an attacker reads off a model for each row: what its truth costs, and how sure the model is of it.

A row's truth is its label, what should be written for it, the span that answers it, or the text itself. One question a
row is asked; every attack is arithmetic on the answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from core_model.errors import TaskUnfit
from core_model.predictions import Predictions, Scores, TokenScores
from core_model.tasks import Task
from privacy.attacks.min_k import min_k_plus_plus

if TYPE_CHECKING:
    from core_model.data import Table

ATTACKABLE = (
    Task.CLASSIFICATION,
    Task.LANGUAGE_MODELING,
    Task.TRANSLATION,
    Task.SUMMARIZATION,
    Task.QUESTION_ANSWERING,
)
SUREST = 1e-12  # nats: of a loss below it, as rounding leaves it, confidence would be without end


class Attackable(Protocol):
    """As much of a predictor as an attack asks (`core_model.prediction.Predictor`, or a stand-in in tests)."""

    def predict(self, texts: Sequence[str], pairs: Sequence[str] | None = None) -> Predictions:
        """Logits of each text, or pair of texts."""
        ...

    def score(self, texts: Sequence[str], targets: Sequence[str] | None = None) -> Scores:
        """How well each target was foreseen."""
        ...

    def token_scores(self, texts: Sequence[str], targets: Sequence[str] | None = None) -> TokenScores:
        """How well each token was foreseen."""
        ...

    def span_losses(
        self, questions: Sequence[str], contexts: Sequence[str], answers: Sequence[tuple[int, int] | None]
    ) -> np.ndarray:
        """What each true answer costs."""
        ...


@dataclass(frozen=True)
class Signals:
    """What was read off a model. NaN where a row has nothing that could be scored.

    Attributes:
        losses: (rows,) -log p of the truth, in nats; of a text the mean over its tokens.
        confidence: (rows,) of a classifier log(p / (1 - p)), which is about normal where losses are not; of a text the
            negative loss. Source: Carlini et al. 2022, arXiv:2112.03570, section IV.C.
        min_k: (rows,) Min-K%++ of a language model; None for other tasks.
    """

    losses: np.ndarray
    confidence: np.ndarray
    min_k: np.ndarray | None = None


def signals_of(predictor: Attackable, table: Table, task: Task) -> Signals:
    """Ask a model once about each row.

    Raises: TaskUnfit for a task without a truth that has a probability.
    """
    if task is Task.CLASSIFICATION:
        logits = predictor.predict(table.texts, table.pairs).logits
        return _of_classifier(logits.astype(np.float64), table.targets)
    if task is Task.LANGUAGE_MODELING:
        tokens = predictor.token_scores(table.texts)
        losses = _per_token(_sums(tokens), np.diff(tokens.starts))
        return Signals(losses, -losses, min_k_plus_plus(tokens))
    if task is Task.QUESTION_ANSWERING:
        return _of_reader(predictor, table)
    if task in ATTACKABLE and table.references is not None:
        scores = predictor.score(table.texts, table.references)
        losses = _per_token(scores.nll, scores.tokens)
        return Signals(losses, -losses)
    raise TaskUnfit(f"membership in a {task} training is not attacked", mend=f"a model for {', '.join(ATTACKABLE)}")


def _of_classifier(logits: np.ndarray, targets: np.ndarray) -> Signals:
    from scipy.special import logsumexp

    rows = np.arange(len(targets))
    of_truth = logits[rows, targets]
    others = logits.copy()
    others[rows, targets] = -np.inf
    return Signals(logsumexp(logits, axis=1) - of_truth, of_truth - logsumexp(others, axis=1))


def _of_reader(predictor: Attackable, table: Table) -> Signals:
    """A span is one of many, as a class is: the same confidence. NaN where no window holds the whole answer."""
    from core_model.tasks.question_answering import place_of_answer

    contexts, answers = table.pairs, table.references
    assert contexts is not None and answers is not None  # noqa: S101 - such a table has both
    spans = [place_of_answer(context, answer) for context, answer in zip(contexts, answers, strict=True)]
    losses = predictor.span_losses(table.texts, contexts, spans)
    sure = np.maximum(losses, SUREST)
    return Signals(losses, -sure - np.log(-np.expm1(-sure)))


def _sums(tokens: TokenScores) -> np.ndarray:
    cumulated = np.concatenate([[0.0], np.cumsum(tokens.log_probabilities, dtype=np.float64)])
    return -np.diff(cumulated[tokens.starts])


def _per_token(sums: np.ndarray, tokens: np.ndarray) -> np.ndarray:
    return np.divide(sums, tokens, out=np.full(len(sums), np.nan), where=tokens > 0)
