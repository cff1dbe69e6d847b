"""What the trainer asks of a task. A task is one file beside this one, with a function `prepare` that returns this.

The trainer knows epochs, steps, devices and files; the task knows columns, tokens, heads and losses.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Protocol

from core_model.errors import OptionUnfit
from core_model.tasks import Task

if TYPE_CHECKING:
    import numpy as np
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


class Examples(Protocol):
    """Rows, tokenized once."""

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each row, (rows,) int64: what rows are bucketed by."""
        ...

    @property
    def cut(self) -> int:
        """How many rows were longer than the limit and lost their end."""
        ...

    def units(self, rows: np.ndarray) -> int:
        """How many terms these rows add to a loss: rows of a classifier, tokens of a language model."""
        ...


class TrainingTask(Protocol):
    """A model with its data, ready to be trained.

    Attributes:
        model, tokenizer: what is trained, and what is saved beside it.
        labels: names of the classes, in the order of the outputs; empty where a task has none.
        head: "kept" from the base, "replaced" because the base had another, or "new".
        mitigation: what was done to the training rows, for the record; empty when nothing was.
        notes: what a reader of the record must know, one plain sentence each.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    labels: tuple[str, ...]
    head: str
    mitigation: Mapping[str, Any]
    notes: Sequence[str]

    @property
    def training(self) -> Examples:
        """The rows to learn from."""
        ...

    @property
    def evaluation(self) -> Examples | None:
        """The rows that are never learnt from."""
        ...

    def batch(self, examples: Any, rows: np.ndarray) -> dict[str, torch.Tensor]:
        """These rows as tensors, padded to the longest of them."""
        ...

    def loss(self, model: Any, batch: Mapping[str, torch.Tensor], label_smoothing: float) -> torch.Tensor:
        """The loss summed over the batch's units, a scalar with its gradient."""
        ...

    def measures(self, model: Any, batch: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """What evaluation adds up over units: "loss" and others, each a scalar sum."""
        ...


class Wrap(Protocol):
    """Puts something around a task: the same task to the trainer, with another loss."""

    @property
    def identity(self) -> Mapping[str, Any]:
        """What a resumed run must share with this one, beside options and data."""
        ...

    def __call__(self, task: TrainingTask) -> TrainingTask:
        """The task as it will be trained."""
        ...


def preparer(task: Task) -> Callable[..., TrainingTask]:
    """The function `prepare` of a task's file.

    Raises: OptionUnfit when this task cannot be trained.
    """
    module = f"core_model.tasks.{task.value.replace('-', '_')}"
    if find_spec(module) is None:
        can = [t.value for t in Task if find_spec(f"core_model.tasks.{t.value.replace('-', '_')}")]
        raise OptionUnfit(
            f"task {task.value!r} cannot be trained yet", mend=" or ".join(f"--task {name}" for name in can)
        )
    prepare: Callable[..., TrainingTask] = import_module(module).prepare
    return prepare
