"""The subject of an audit: a checkpoint, its data, and every prediction that two audits would otherwise pay for twice.

A plug-in is handed the subject narrowed to what it declared: reading anything else raises `BrokenPlugin`, so that a
declaration can be trusted by the planner.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

from audit.plugin import Need, Plugin
from core_model.errors import BrokenPlugin
from core_model.evaluation import WRITING, Answers, Askable, ask, metrics_of, require_references
from core_model.onnx_graph import graph_of
from core_model.predictions import Predictions
from core_model.tasks import Task

if TYPE_CHECKING:
    import numpy as np

    from core_model.checkpoint import Checkpoint
    from core_model.corpus_metric import CorpusMetric
    from core_model.data import Table
    from core_model.smoothed_prediction import SmoothedPredictor
    from core_model.smoothing import Smoothing
    from federated.record import FederatedRecord


class PredictorLike(Askable, Protocol):
    """What the subject asks of a predictor (`core_model.prediction.Predictor`, or a stand-in in tests)."""

    @property
    def forward_passes(self) -> int:
        """Rows that went through the model so far; cached rows are not counted."""
        ...


@dataclass(frozen=True)
class Generation:
    """How text is written: `beams` hypotheses are kept (1: greedy), and at most `max_new_tokens` are written."""

    beams: int = 1
    max_new_tokens: int | None = None


class Subject:
    """A checkpoint on trial.

    Args:
        checkpoint: what is audited.
        data: the rows that it is audited on.
        predictor: the one shared inference path; a `SmoothedPredictor` puts the smoothed classifier on trial.
        training: the rows that it was trained on, when known.
        reference: another checkpoint to hold it against, when given.
        generation: how text is written, where the task is to write.
        seed: of the run; it draws the rows that findings show. Audits have a random generator of their own.
    """

    def __init__(
        self,
        *,
        checkpoint: Checkpoint,
        data: Table,
        predictor: PredictorLike,
        training: Table | None = None,
        reference: Checkpoint | None = None,
        generation: Generation = Generation(),
        seed: int = 0,
    ) -> None:
        self.checkpoint = checkpoint
        self.data = data
        self.predictor = predictor
        self.training = training
        self.reference = reference
        self.generation = generation
        self.seed = seed

    @property
    def task(self) -> Task:
        """What the checkpoint's head does."""
        return self.checkpoint.task

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the model's classes, in the order of its outputs."""
        return self.checkpoint.labels

    @property
    def wrapper(self) -> SmoothedPredictor | None:
        """The smoothed classifier, where it is on trial in the place of the checkpoint alone."""
        from core_model.smoothed_prediction import SmoothedPredictor

        return self.predictor if isinstance(self.predictor, SmoothedPredictor) else None

    @property
    def smoothing(self) -> Smoothing | None:
        """How the smoothed classifier looks at texts; None where the checkpoint itself is on trial."""
        return None if self.wrapper is None else self.wrapper.smoothing

    @property
    def why_no_gradients(self) -> str:
        """Why there are none where there are none, and what supplies them: "... gives no gradients, ...; ..."."""
        if self.smoothing is not None:
            return (
                "the smoothed classifier counts votes, and gives no gradients, weights or attention; an audit without "
                "--smoothing-keep tells of the model inside it"
            )
        return f"the model gives no gradients, weights or attention; {Need.GRADIENTS.supply} supplies them"

    @property
    def texts(self) -> Sequence[str]:
        """The text of each row, (rows,)."""
        return self.data.texts

    @property
    def targets(self) -> np.ndarray:
        """Index of each row's true label in `labels`, (rows,) int64. Needs labels."""
        return self.data.targets

    @property
    def groups(self) -> Mapping[str, np.ndarray]:
        """Each group column's value in each row: column -> (rows,) of str. Needs groups."""
        return self.data.groups

    @property
    def references(self) -> Sequence[str] | None:
        """What the model should write for each row, (rows,); None where the task writes nothing. Needs labels."""
        return require_references(self.data, self.task)

    @cached_property
    def answers(self) -> Answers:
        """What the model says of each row, by its task: Predictions, Scores, Generations, SpanAnswers; asked once."""
        return self.ask(self.data)

    @property
    def predictions(self) -> Predictions:
        """What a classifier says of each row; asked once."""
        if not isinstance(self.answers, Predictions):
            raise BrokenPlugin(
                f"subject.predictions was read of a {self.task} checkpoint, which has none",
                mend="declare tasks={Task.CLASSIFICATION}, or read subject.answers and subject.metrics",
            )
        return self.answers

    @cached_property
    def metrics(self) -> tuple[CorpusMetric, ...]:
        """The task's metrics of these rows, with each row's statistics (`core_model.evaluation`). Needs labels."""
        return metrics_of(self.answers, self.data, self.task)

    @property
    def training_texts(self) -> Sequence[str]:
        """The text of each training row. Needs training data."""
        return self._training.texts

    @property
    def training_targets(self) -> np.ndarray:
        """True label index of each training row, (training rows,) int64. Needs training data."""
        return self._training.targets

    @cached_property
    def training_predictions(self) -> Predictions:
        """What the model says of each training row; computed once. Needs training data."""
        return self.predictor.predict(self._training.texts, self._training.pairs)

    @cached_property
    def federated_record(self) -> FederatedRecord | None:
        """How clients made these very weights together; None where no record says. Needs a federated record."""
        from federated.record import record_of

        return record_of(self.checkpoint.path, self.checkpoint.files)

    def predict(self, texts: Sequence[str], pairs: Sequence[str] | None = None) -> Predictions:
        """What a classifier says of other texts (swapped, perturbed); cached by content."""
        return self.predictor.predict(texts, pairs)

    def ask(self, table: Table, predictor: PredictorLike | None = None) -> Answers:
        """What the model says of other rows, by its task; cached by content, unless another predictor is named."""
        how = self.generation
        return ask(predictor or self.predictor, table, self.task, beams=how.beams, max_new_tokens=how.max_new_tokens)

    @property
    def has_asked(self) -> bool:
        """Whether the rows went through the model already."""
        return "answers" in vars(self)

    @property
    def _training(self) -> Table:
        if self.training is None:
            raise BrokenPlugin("training data was read where there is none", mend="declare needs={Need.TRAINING_DATA}")
        return self.training

    def has(self, need: Need) -> bool:
        """Whether this need is met."""
        if need is Need.FEDERATED_RECORD:  # which tells of the model, and not of a wrapper
            return self.federated_record is not None and self.smoothing is None
        return {
            Need.LABELS: self._has_truth,
            Need.GROUPS: bool(self.data.group_columns),
            Need.TRAINING_DATA: self.training is not None,
            Need.GRADIENTS: graph_of(self.checkpoint) is None and self.smoothing is None,
            Need.GENERATOR: self.task in GENERATORS and graph_of(self.checkpoint) is None,
            Need.REFERENCE_CHECKPOINT: self.reference is not None,
            Need.TRAINING_RECORD: self.checkpoint.training_record is not None,
        }[need]

    @property
    def _has_truth(self) -> bool:
        """Labels; references, where the model writes; a language model's texts are their own truth."""
        if self.task in WRITING:
            return self.data.references is not None
        return self.task is Task.LANGUAGE_MODELING or self.data.has_labels

    def narrowed(self, plugin: Plugin) -> Subject:
        """This subject as `plugin` may see it: what it did not declare is not readable."""
        return _Narrowed(self, plugin)


def uncached_predictor(subject: Subject) -> PredictorLike:
    """A predictor that runs the model each time it is asked; the shared one would answer from its cache.

    It shares the loaded model (`core_model.prediction.Predictor.like`). A planted predictor, which has no cache and no
    `like`, is asked itself.
    """
    like = getattr(type(subject.predictor), "like", None)
    return subject.predictor if like is None else like(subject.predictor)


GENERATORS = (Task.LANGUAGE_MODELING, Task.TRANSLATION, Task.SUMMARIZATION)

GUARDED = {
    "targets": Need.LABELS,
    "references": Need.LABELS,
    "metrics": Need.LABELS,
    "groups": Need.GROUPS,
    "training": Need.TRAINING_DATA,
    "training_texts": Need.TRAINING_DATA,
    "training_targets": Need.TRAINING_DATA,
    "training_predictions": Need.TRAINING_DATA,
    "reference": Need.REFERENCE_CHECKPOINT,
    "federated_record": Need.FEDERATED_RECORD,
}


class _Narrowed(Subject):
    """A view of a subject through one plug-in's declaration; shares every cached prediction."""

    def __init__(self, whole: Subject, plugin: Plugin) -> None:
        object.__setattr__(self, "_whole", whole)
        object.__setattr__(self, "_plugin", plugin)

    def __getattribute__(self, name: str) -> object:
        whole: Subject = object.__getattribute__(self, "_whole")
        plugin: Plugin = object.__getattribute__(self, "_plugin")
        need = GUARDED.get(name)
        if need is not None and need not in plugin.needs | plugin.uses:
            raise BrokenPlugin(
                f"audit {plugin.id!r} reads subject.{name} without declaring it",
                mend=f"@audit(..., needs={{Need.{need.name}}})",
            )
        return getattr(whole, name)
