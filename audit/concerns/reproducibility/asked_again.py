"""The same rows asked again: in the same way, each alone, and in a shorter number format. What moves, what turns?

Only the first must give the same bits. A row among other neighbours is computed by matrix products of another shape,
whose last bits differ by right; answers that turn by that lie on the border between two classes.

Source: He et al. 2025, "Defeating Nondeterminism in LLM Inference" (batch invariance); IEEE 754 (formats).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from audit.answer_changes import AnswerChanges, answer_changes
from audit.evidence import Limit, metric
from audit.plugin import Need
from audit.statistics import Estimate, bootstrap_mean, share_of
from audit.subject import uncached_predictor
from core_model.prediction import Predictor
from core_model.predictions import Generations, Predictions, Scores, SpanAnswers
from reports.record import Figure, Metric, Scalar

if TYPE_CHECKING:
    from audit.subject import Subject
    from core_model.checkpoint import Checkpoint
    from core_model.data import Table
    from core_model.evaluation import Answers

SAME, ALONE, SHORT = "same request", "each row alone", "bfloat16"
NOT_PREDICTOR = "the model is asked through a wrapper, so that batches and number format are not ours to choose"
OWN_FORMAT = "an exported graph has a number format of its own; ask the PyTorch checkpoint that it came from"


@dataclass(frozen=True, eq=False)
class Asked:
    """Rows asked a second time.

    Attributes:
        how: what was done otherwise. changes: what came of it; None where it was not asked: `missing` says why.
    """

    how: str
    changes: AnswerChanges | None = None
    missing: str | None = None

    @property
    def same_bits(self) -> np.ndarray | None:
        """Of each row, whether every bit is the same."""
        return None if self.changes is None else self.changes.same_bits

    @property
    def turned(self) -> np.ndarray | None:
        """Of each row, whether the answer is another one."""
        return None if self.changes is None else self.changes.turned


def ask_again(subject: Subject, sample: Table, alone: Table) -> tuple[list[Asked], int]:
    """Ask the sample twice, and a part of it in two other ways.

    Args:
        sample: asked twice in one and the same request; alone: its first rows, for the other two.
    Returns: what came out, and how many rows went through models past the shared predictor.
    """
    first, second = (uncached_predictor(subject) for _ in range(2))
    before = subject.ask(sample, first)
    found = [Asked(SAME, answer_changes(before, subject.ask(sample, second)))]
    passes = first.forward_passes + second.forward_passes
    part = _first(before, alone.rows)
    ours = subject.predictor
    if not isinstance(ours, Predictor):
        return [*found, *(Asked(how, missing=NOT_PREDICTOR) for how in (ALONE, SHORT))], passes
    one_each = Predictor(subject.checkpoint, token_budget=1, cache=None, threads=ours.threads)
    one_each.forward = ours.forward
    workers = {ALONE: one_each}
    if subject.has(Need.GRADIENTS):
        workers[SHORT] = Predictor(_Shortened(subject.checkpoint), cache=None, threads=ours.threads)
    for how, worker in workers.items():
        found.append(Asked(how, answer_changes(part, subject.ask(alone, worker))))
        passes += worker.forward_passes
    return found if SHORT in workers else [*found, Asked(SHORT, missing=OWN_FORMAT)], passes


class _Shortened:
    """A checkpoint whose weights are loaded in bfloat16."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._checkpoint = checkpoint

    def __getattr__(self, name: str) -> Any:
        return getattr(self._checkpoint, name)

    def load_model(self) -> Any:
        return self._checkpoint.load_model("bfloat16")


def _first(answers: Answers, rows: int) -> Answers:
    """The first rows of some answers."""
    if isinstance(answers, Predictions):
        return Predictions(answers.logits[:rows])
    if isinstance(answers, Scores):
        return Scores(answers.nll[:rows], answers.tokens[:rows], answers.bytes[:rows])
    if isinstance(answers, SpanAnswers):
        return SpanAnswers(answers.texts[:rows], answers.scores[:rows])
    return Generations(answers.texts[:rows], answers.tokens[:rows], answers.cut[:rows], answers.signature)


def lines_of(asked: Sequence[Asked], random: np.random.Generator, *, limit: Limit) -> list[Metric]:
    """Metrics of each way of asking.

    Args:
        limit: for the share of answers that turn when the very same request is made again.
    """
    lines = []
    for one, draw in zip(asked, random.spawn(len(asked)), strict=True):
        part = {"asked": one.how}
        lines += [
            metric(
                "rows_with_same_bits", share_of(one.same_bits, one.missing or "not asked"),
                unit="share of rows", better="higher",
                slice=part, definition="Rows whose answer and scores are the same to the last bit.",
            ),
            metric(
                "answers_turned", share_of(one.turned, one.missing or "a likelihood decides nothing that could turn"),
                unit="share of rows", better="lower", slice=part, limit=limit if one.how == SAME else None,
                definition="Rows that are answered by another class, span or text than before.",
            ),
            metric(
                "score_shift", _mean(one, draw), unit=one.changes.unit if one.changes else "score", better="lower",
                slice=part,
                definition="How far the score of the first answer moves, its sign left aside; mean over rows.",
            ),
        ]  # fmt: skip
    return lines


def _mean(one: Asked, random: np.random.Generator) -> Estimate:
    moved = None if one.changes is None else one.changes.moved
    if one.changes is None or moved is None:
        return Estimate.absent(one.missing or "what is written has no score here")
    # Bounds give equal values an interval; of unlike ones their own spread says more.
    bounds = (0.0, 1.0) if one.changes.unit == "probability" and np.ptp(moved) == 0 else None
    return bootstrap_mean(moved, random, bounds=bounds)


def figure_of(asked: Sequence[Asked]) -> Figure | None:
    """Share of answers that turn, by way of asking."""
    rows: list[dict[str, Scalar]] = []
    for one in asked:
        share = share_of(one.turned, "not asked")
        if share.value is not None:
            rows.append({"label": one.how, "value": share.value, "low": share.low, "high": share.high, "n": share.n})
    if len(rows) < 2:
        return None
    return Figure(
        id="reproducibility-asked-again", kind="intervals", title="How many answers turn when rows are asked again",
        caption="The same request must turn none. Alone, or in bfloat16, the last bits differ by right: what turns "
        "lies on the border between two answers. Whiskers are 95% intervals.",
        x_label="share of rows", y_label="asked again", rows=rows,
    )  # fmt: skip
