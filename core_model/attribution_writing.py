"""Which words of a prompt, or of a source, made the model write its answer? And which word made it write which token?

    [found] = explain_writing(predictor, ["The doctor said that"])
    dict(zip(found.words, found.scores))         # what each word adds to the log-probability of the answer
    found.by_token                               # (words, tokens of the answer): the same, token by token

The score is the log-probability of the answer, read as it was written (teacher forcing), in nats; those of its tokens
sum to that of the whole, and so do their attributions.

    integrated-gradients   as of a classifier, for each token of the answer (Sundararajan et al. 2017, arXiv:1703.01365)
    occlusion              what is lost without the word (Zeiler and Fergus 2014, arXiv:1311.2901)

Source of explaining a text token by token: Sarti et al. 2023 (Inseq), arXiv:2302.13942; Miglani et al. 2023 (Captum for
language models), arXiv:2312.05491.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from core_model.attribution import Attribution, integrated_gradients, refuse
from core_model.attribution_writing_path import WHOLE, Answer, WritingPath, written_answers
from core_model.errors import DataDamaged, OptionUnfit

if TYPE_CHECKING:
    from core_model.prediction import Predictor

METHODS = ("integrated-gradients", "occlusion")
TOLERANCE = 0.02  # completeness error allowed of each token of the answer, in nats


@dataclass(frozen=True, eq=False)
class Written:
    """What each word adds to what the model wrote.

    Attributes:
        whole: scores of the words for the whole answer; its score is the answer's log-probability.
        answer: what was written.
        by_token: (words, tokens of the answer) float64, in nats.
        log_probabilities: (tokens of the answer,) float64, in nats.
    """

    whole: Attribution
    answer: Answer
    by_token: np.ndarray
    log_probabilities: np.ndarray


def refuse_writing(method: str) -> None:
    """Raise OptionUnfit, with the reason, unless the method explains what a model writes."""
    refuse(method)
    if method not in METHODS:
        raise OptionUnfit(
            f"{method} explains classes, and this model writes text", mend=f"--method {' or '.join(METHODS)}"
        )


def explain_writing(
    predictor: Predictor,
    texts: Sequence[str],
    answers: Sequence[Answer] | None = None,
    *,
    method: str = METHODS[0],
    tolerance: float = TOLERANCE,
    max_new_tokens: int | None = None,
) -> list[Written]:
    """What each word of each text adds to the log-probability of each token of its answer.

    Args:
        texts: (rows,) prompts of a decoder, or sources of an encoder-decoder.
        answers: (rows,); None: what the model writes, at most `max_new_tokens` of it.
        tolerance: completeness error of a token above which its way gets more steps, in nats.
    Raises: OptionUnfit for a method that does not explain writing; DataDamaged when an answer is empty; TaskUnfit when
        the model does not write.
    """
    refuse_writing(method)
    if answers is None:
        answers = written_answers(predictor, texts, max_new_tokens=max_new_tokens)
    silent = next((row for row, answer in enumerate(answers) if not len(answer.ids)), None)
    if silent is not None:
        raise DataDamaged(
            f"the model writes nothing for the text of row {silent + 1} (counted from 1)", mend="give it a --target"
        )
    path = WritingPath(predictor, texts, answers)
    log_probabilities = path.log_probabilities()
    found = _occluded(path, log_probabilities) if method == "occlusion" else _integrated(path, tolerance)
    return [
        Written(
            whole=Attribution(
                worded, by_token.sum(axis=1), method, WHOLE, float(own.sum()),
                rest=rest, completeness_error=error, steps=steps,
            ),
            answer=answer,
            by_token=by_token,
            log_probabilities=own,
        )
        for worded, answer, own, (by_token, rest, error, steps) in zip(
            path.worded, path.answers, log_probabilities, found, strict=True
        )
    ]  # fmt: skip


def occlusion_of_answers(path: WritingPath) -> list[Attribution]:
    """The log-probability of each answer minus that without the word, the whole answer at once."""
    own = path.log_probabilities()
    return [
        Attribution(worded, by_token.sum(axis=1), "occlusion", WHOLE, float(before.sum()))
        for worded, before, (by_token, *_) in zip(path.worded, own, _occluded(path, own), strict=True)
    ]


Found = tuple[np.ndarray, float, float | None, int | None]  # by token, what went to no word, error, steps


def _integrated(path: WritingPath, tolerance: float) -> list[Found]:
    """Every token of every answer is a target of its own; all their points share batches."""
    counts = [len(answer.ids) for answer in path.answers]
    rows = np.repeat(np.arange(len(path)), counts)
    targets = np.concatenate([np.arange(count) for count in counts])
    every = integrated_gradients(path.select(rows), targets, tolerance=tolerance)
    found: list[Found] = []
    at = 0
    for count in counts:
        own = every[at : at + count]
        at += count
        error = float(sum(one.completeness_error or 0.0 for one in own))
        by_token = np.stack([one.scores for one in own], axis=1)
        found.append((by_token, float(sum(one.rest for one in own)), error, sum(one.steps or 0 for one in own)))
    return found


def _occluded(path: WritingPath, own: Sequence[np.ndarray]) -> list[Found]:
    """All deletions of all texts in one request."""
    asked = [(row, text.without([place])[0]) for row, text in enumerate(path.worded) for place in range(len(text))]
    answers = [path.answers[row] for row, _ in asked]
    after = WritingPath(path.predictor, [text for _, text in asked], answers).log_probabilities() if asked else []
    found: list[Found] = []
    at = 0
    for row, text in enumerate(path.worded):
        lost = [own[row] - without for without in after[at : at + len(text)]]
        at += len(text)
        found.append((np.stack(lost) if lost else np.zeros((0, len(own[row]))), 0.0, None, None))
    return found
