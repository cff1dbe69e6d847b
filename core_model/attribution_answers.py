"""Which words of a question and its context made a model mark this part of the context as the answer?

    [found] = explain_answers(predictor, ["Who sees the cat?"], ["The dog sees the cat."])
    found.answer.text, dict(zip(found.words, found.scores))   # what each word adds to the log-probability of the span
    found.by_end                                              # (words, 2): to where it begins, and to where it ends

The span that the model found stays fixed. The score is the log-probability of its two ends, in nats; those of the ends
sum to that of the span, and so do their attributions.

    integrated-gradients   as of a classifier, for each end (Sundararajan et al. 2017, arXiv:1703.01365)
    occlusion              what is lost when the word's embeddings become padding, in place: without the word the answer
                           would stand elsewhere, or nowhere (Zeiler and Fergus 2014, arXiv:1311.2901)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from core_model.attribution import Attribution, integrated_gradients, refuse
from core_model.attribution_answers_path import BEGINS, ENDS, WHOLE, Answer, AnswerPath
from core_model.errors import OptionUnfit

if TYPE_CHECKING:
    from core_model.prediction import Predictor

METHODS = ("integrated-gradients", "occlusion")
TOLERANCE = 0.02  # completeness error allowed of each end, in nats
PARTS = ("begins", "ends")


@dataclass(frozen=True, eq=False)
class Answered:
    """What each word adds to where the model found its answer.

    Attributes:
        whole: scores of the words for both ends; its score is the span's log-probability.
        answer: what was found, and where.
        by_end: (words, 2) float64, in nats: for the begin, and for the end.
        log_probabilities: (2,) float64, in nats.
    """

    whole: Attribution
    answer: Answer
    by_end: np.ndarray
    log_probabilities: np.ndarray

    @property
    def words(self) -> tuple[str, ...]:
        """Of the question, then of the context, as they are written."""
        return self.whole.words

    @property
    def scores(self) -> np.ndarray:
        """Of the span, (words,)."""
        return self.whole.scores


def refuse_answers(method: str) -> None:
    """Raise OptionUnfit, with the reason, unless the method explains where an answer stands."""
    refuse(method)
    if method not in METHODS:
        raise OptionUnfit(
            f"{method} explains classes, and this model finds answers", mend=f"--method {' or '.join(METHODS)}"
        )


def explain_answers(
    predictor: Predictor,
    questions: Sequence[str],
    contexts: Sequence[str],
    *,
    method: str = METHODS[0],
    tolerance: float = TOLERANCE,
) -> list[Answered]:
    """What each word of each question and its context adds to the log-probability of the answer that was found.

    Args:
        questions, contexts: (rows,); of a context longer than the model takes, the window with the answer is explained.
        tolerance: completeness error of an end above which its way gets more steps, in nats.
    Raises: OptionUnfit for a method that does not explain spans; otherwise as `Predictor.answer`.
    """
    refuse_answers(method)
    if not len(questions):
        return []
    return explain_path(AnswerPath(predictor, questions, contexts), method=method, tolerance=tolerance)


def explain_path(path: AnswerPath, *, method: str = METHODS[0], tolerance: float = TOLERANCE) -> list[Answered]:
    """The same of texts that are tokenized, and answered, already."""
    own = path.log_probabilities()
    both = (BEGINS, ENDS)
    rows, targets = np.repeat(np.arange(len(path)), 2), np.tile(both, len(path))
    if method == "occlusion":
        found = _occluded(path, own)
    else:
        every = integrated_gradients(path.select(rows), targets, tolerance=tolerance)
        found = [every[2 * row : 2 * row + 2] for row in range(len(path))]
    answered = []
    for row, ends in enumerate(found):
        by_end = np.stack([one.scores for one in ends], axis=1)
        told = ends[0].completeness_error is not None
        whole = Attribution(
            path.worded[row], by_end.sum(axis=1), method, WHOLE, float(own[row].sum()),
            rest=float(sum(one.rest for one in ends)),
            completeness_error=sum(one.completeness_error or 0.0 for one in ends) if told else None,
            steps=sum(one.steps or 0 for one in ends) if told else None,
        )  # fmt: skip
        answered.append(Answered(whole, path.answers[row], by_end, own[row]))
    return answered


def occlusion_of_spans(path: AnswerPath) -> list[Attribution]:
    """What the span loses without each word, both ends at once."""
    counts = [len(worded) for worded in path.worded]
    own, rows = path.log_probabilities().sum(axis=1), np.repeat(np.arange(len(path)), counts)
    lost = own[rows] - path.without(rows, _every_word(counts))
    parts = np.split(lost, np.cumsum(counts)[:-1])
    return [
        Attribution(worded, part, "occlusion", WHOLE, float(before))
        for worded, part, before in zip(path.worded, parts, own, strict=True)
    ]


def _occluded(path: AnswerPath, own: np.ndarray) -> list[list[Attribution]]:
    """All words of all rows in one request for each end."""
    counts = [len(worded) for worded in path.worded]
    rows = np.repeat(np.arange(len(path)), counts)
    gone = _every_word(counts)
    lost = np.stack([own[rows, end] - path.without(rows, gone, target=end) for end in (BEGINS, ENDS)], axis=1)
    parts = np.split(lost, np.cumsum(counts)[:-1])
    return [
        [
            Attribution(path.worded[row], part[:, end], "occlusion", end, float(own[row, end]))
            for end in (BEGINS, ENDS)
        ]
        for row, part in enumerate(parts)
    ]  # fmt: skip


def _every_word(counts: Sequence[int]) -> list[np.ndarray]:
    """Each word of each row, alone."""
    return [np.array([place]) for count in counts for place in range(count)]
