"""The subject of an audit: a checkpoint, its data, and every prediction that two audits would otherwise pay for twice.

A plug-in is handed the subject narrowed to what it declared: reading anything else raises `BrokenPlugin`, so that a
declaration can be trusted by the planner.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

from audit.plugin import Need, Plugin
from core_model.errors import BrokenPlugin

if TYPE_CHECKING:
    import numpy as np

    from core_model.checkpoint import Checkpoint
    from core_model.data import Table
    from core_model.predictions import Predictions
    from core_model.tasks import Task


class PredictorLike(Protocol):
    """What the subject asks of a predictor (`core_model.prediction.Predictor`, or a stand-in in tests)."""

    forward_passes: int  # rows that went through the model so far; cached rows are not counted

    def predict(self, texts: Sequence[str], pairs: Sequence[str] | None = None) -> Predictions:
        """Predictions for each text, in order."""
        ...


class Subject:
    """A checkpoint on trial.

    Args:
        checkpoint: what is audited.
        data: the rows that it is audited on.
        predictor: the one shared inference path.
        training: the rows that it was trained on, when known.
        reference: another checkpoint to hold it against, when given.
    """

    def __init__(
        self,
        *,
        checkpoint: Checkpoint,
        data: Table,
        predictor: PredictorLike,
        training: Table | None = None,
        reference: Checkpoint | None = None,
    ) -> None:
        self.checkpoint = checkpoint
        self.data = data
        self.predictor = predictor
        self.training = training
        self.reference = reference

    @property
    def task(self) -> Task:
        """What the checkpoint's head does."""
        return self.checkpoint.task

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the model's classes, in the order of its outputs."""
        return self.checkpoint.labels

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

    @cached_property
    def predictions(self) -> Predictions:
        """What the model says of each row; computed once."""
        return self.predictor.predict(self.data.texts, self.data.pairs)

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

    def predict(self, texts: Sequence[str], pairs: Sequence[str] | None = None) -> Predictions:
        """What the model says of other texts (swapped, perturbed); cached by content."""
        return self.predictor.predict(texts, pairs)

    @property
    def _training(self) -> Table:
        if self.training is None:
            raise BrokenPlugin("training data was read where there is none", mend="declare needs={Need.TRAINING_DATA}")
        return self.training

    def has(self, need: Need) -> bool:
        """Whether this need is met."""
        return {
            Need.LABELS: self.data.has_labels,
            Need.GROUPS: bool(self.data.group_columns),
            Need.TRAINING_DATA: self.training is not None,
            Need.GRADIENTS: True,
            Need.GENERATOR: False,
            Need.REFERENCE_CHECKPOINT: self.reference is not None,
            Need.TRAINING_RECORD: self.checkpoint.training_record is not None,
        }[need]

    def narrowed(self, plugin: Plugin) -> Subject:
        """This subject as `plugin` may see it: what it did not declare is not readable."""
        return _Narrowed(self, plugin)


GUARDED = {
    "targets": Need.LABELS,
    "groups": Need.GROUPS,
    "training": Need.TRAINING_DATA,
    "training_texts": Need.TRAINING_DATA,
    "training_targets": Need.TRAINING_DATA,
    "training_predictions": Need.TRAINING_DATA,
    "reference": Need.REFERENCE_CHECKPOINT,
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
