"""Two answers to the same rows: which are the same to the last bit, which turned, and how far scores moved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from core_model.predictions import Generations, Predictions, Scores, SpanAnswers

if TYPE_CHECKING:
    from core_model.evaluation import Answers


@dataclass(frozen=True, eq=False)
class AnswerChanges:
    """What changed between two answers to the same rows. Arrays are (rows,).

    Attributes:
        same_bits: whether every bit of the answer is the same.
        turned: whether another class, text or span was answered; None where a task decides nothing.
        moved: how far the score of the first answer moved, its sign left aside; None where there is no score.
        unit: of `moved`.
    """

    same_bits: np.ndarray
    turned: np.ndarray | None = None
    moved: np.ndarray | None = None
    unit: str = "score"


def answer_changes(before: Answers, after: Answers) -> AnswerChanges:
    """Row by row, what is the same and what turned.

    Raises: TypeError for answers of two tasks.
    """
    if isinstance(before, Predictions) and isinstance(after, Predictions):
        same = (before.logits.view(np.uint32) == after.logits.view(np.uint32)).all(axis=1)
        rows = np.arange(len(before))
        chances = (one.probabilities[rows, before.predicted] for one in (before, after))
        moved = np.abs(np.subtract(*chances))
        return AnswerChanges(same, before.predicted != after.predicted, moved, "probability")
    if isinstance(before, Scores) and isinstance(after, Scores):
        moved = np.abs(before.nll - after.nll) / np.maximum(before.tokens, 1)
        return AnswerChanges(before.nll == after.nll, None, moved, "nats per token")
    if isinstance(before, SpanAnswers) and isinstance(after, SpanAnswers):
        turned = _unlike(before.texts, after.texts)
        return AnswerChanges(
            ~turned & (before.scores == after.scores), turned, np.abs(before.scores - after.scores), "nats"
        )
    if isinstance(before, Generations) and isinstance(after, Generations):
        turned = _unlike(before.texts, after.texts)
        return AnswerChanges(~turned, turned)
    raise TypeError(f"{type(before).__name__} and {type(after).__name__} are not answers of one task")


def _unlike(before: Sequence[str], after: Sequence[str]) -> np.ndarray:
    return np.array([a != b for a, b in zip(before, after, strict=True)], dtype=bool)
