"""What the true answers cost a reader of questions: minus the log-probability of their spans.

The probability of a span is the one that `prediction_answers` gives its best: both ends' probabilities, normalized over
every token of the context (over all windows). Where the best span is the true one, its score is minus this loss.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from core_model.prediction_answers import Windows, read_windows
from core_model.prediction_requests import Place, Work, distinct, name_of, windows

if TYPE_CHECKING:
    from core_model.prediction import Predictor

Span = tuple[int, int]  # first and last-but-one character
NOWHERE = (-1, -1)

# What is kept of a window: the true span's two logits added up, and the normalizers of both ends.
RECORD = np.dtype([("logit", "<f4"), ("starts", "<f4"), ("ends", "<f4")])


def span_losses(
    predictor: Predictor, questions: Sequence[str], contexts: Sequence[str], answers: Sequence[Span | None]
) -> np.ndarray:
    """See `Predictor.span_losses`."""
    predictor.forward.require("spans")
    if len(answers) != len(questions):
        raise ValueError(f"{len(answers)} answers for {len(questions)} questions")
    losses: list[float] = []
    for place, some, other in windows(questions, contexts):
        assert other is not None  # noqa: S101  contexts were given
        parts = read_windows(
            predictor.forward.tokenizer, some, other, predictor.checkpoint.max_length, first_row=place.before
        )
        predictor.truncated += parts.truncated
        spans = answers[place.before : place.before + len(some)]
        truths = np.array([_tokens(parts, part, spans[row]) for part, row in enumerate(parts.rows)], dtype=np.int64)
        records = _records(predictor, parts, truths.reshape(-1, 2), place)
        starts = np.searchsorted(parts.rows, np.arange(len(some) + 1))
        losses += [_loss(records[start:end]) for start, end in pairwise(starts)]
    return np.array(losses, dtype=np.float64)


def _tokens(parts: Windows, part: int, span: Span | None) -> Span:
    """First and last token of a span in one window; (-1, -1) where the window does not hold it whole."""
    if span is None:
        return NOWHERE
    offsets = parts.offsets[part]
    inside = np.flatnonzero((offsets[:, 0] < span[1]) & (offsets[:, 1] > span[0]))
    if not len(inside) or offsets[inside[0], 0] > span[0] or offsets[inside[-1], 1] < span[1]:
        return NOWHERE
    return int(parts.first[part] + inside[0]), int(parts.first[part] + inside[-1])


def _records(predictor: Predictor, parts: Windows, truths: np.ndarray, place: Place) -> np.ndarray:
    """The record of each window, from the cache or the model, (windows,) of RECORD; truths: (windows, 2) tokens."""
    forward = predictor.forward
    nothing = np.zeros(0, dtype=np.int32)
    names, chosen, of_part = distinct(
        [
            name_of(
                "span losses",
                parts.ids.row(i),
                nothing if parts.types is None else parts.types.row(i),
                np.array([parts.first[i], parts.last[i], *truths[i]]),
                device=forward.device.type,
            )
            for i in range(len(parts))
        ]
    )
    ids = parts.ids.taken(chosen)
    types = None if parts.types is None else parts.types.taken(chosen)
    first, last, truth = parts.first[chosen], parts.last[chosen], truths[chosen]

    def run(batch: np.ndarray) -> tuple[list[bytes], int]:
        starts, ends = forward.spans(ids, types, batch)
        return [record.tobytes() for record in true_spans(starts, ends, first[batch], last[batch], truth[batch])], len(
            batch
        )

    work = Work(names, ids.lengths, run, budget=predictor.token_budget, padding=forward.can_pad)
    return np.frombuffer(b"".join(predictor.paid_once(work, place)), dtype=RECORD)[of_part]


def true_spans(
    starts: np.ndarray, ends: np.ndarray, first: np.ndarray, last: np.ndarray, truth: np.ndarray
) -> np.ndarray:
    """The true span's logits of each row and what normalizes them.

    Args:
        starts, ends: (rows, tokens) float32 logits.
        first, last: (rows,) the context's first and last token.
        truth: (rows, 2) the answer's first and last token; -1 where the row does not hold it.
    Returns: (rows,) of RECORD; the logit is -inf where the row does not hold the answer.
    """
    rows, places = np.arange(len(starts)), np.arange(starts.shape[1])
    inside = (places >= first[:, None]) & (places <= last[:, None])
    starts, ends = (np.where(inside, logits, -np.inf).astype(np.float64) for logits in (starts, ends))
    found = np.zeros(len(rows), dtype=RECORD)
    held = truth[:, 0] >= 0
    found["logit"] = np.where(held, starts[rows, truth[:, 0]] + ends[rows, truth[:, 1]], -np.inf)
    found["starts"], found["ends"] = np.logaddexp.reduce(starts, axis=1), np.logaddexp.reduce(ends, axis=1)
    return found


def _loss(own: np.ndarray) -> float:
    """Of a row's windows; where several hold the answer, the one that is surest of it. NaN where none does."""
    best = float(own["logit"].max())
    total = float(np.logaddexp.reduce(own["starts"].astype(float)) + np.logaddexp.reduce(own["ends"].astype(float)))
    return max(0.0, total - best) if np.isfinite(best) else float("nan")
