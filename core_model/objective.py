"""What a training step minimizes: the task's loss, or the task's loss with more asked of it.

The loop hands over a batch and how much its sum weighs; an objective runs the forward and backward passes that it needs
and leaves gradients. A mitigation that wants several passes (adversarial training) or another term (a fairness penalty)
is an objective around this one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import numpy as np
    import torch

    from core_model.tasks.training_task import TrainingTask

Backward = Callable[["torch.Tensor"], None]
Precision = Callable[[], AbstractContextManager[Any]]


class Objective(Protocol):
    """From a batch to gradients."""

    def backward(
        self, model: Any, batch: Mapping[str, torch.Tensor], *, rows: np.ndarray, weight: float, backward: Backward
    ) -> torch.Tensor:
        """Add the gradient of `weight` times the loss to the parameters' gradients.

        Args:
            model: as the loop prepared it (it may be wrapped for several processes).
            batch: of `TrainingTask.batch`, on the model's device.
            rows: (rows,) which rows of the training data these are.
            weight: what the loss, summed over the batch's units, is multiplied by; 0 for a process without rows.
            backward: computes gradients of a scalar; the loop's own, which knows precision and processes.
        Returns: the loss summed over the batch's units, detached, without `weight`.
        """
        ...


class TaskLoss:
    """The task's own loss and nothing else.

    Args:
        label_smoothing: share of each label spread over all classes, in [0, 1).
        precision: opens the number type of the forward pass; the backward pass stands outside of it.
    """

    def __init__(self, task: TrainingTask, *, label_smoothing: float, precision: Precision) -> None:
        self.task, self.label_smoothing, self.precision = task, label_smoothing, precision

    def backward(
        self, model: Any, batch: Mapping[str, torch.Tensor], *, rows: np.ndarray, weight: float, backward: Backward
    ) -> torch.Tensor:
        """See `Objective.backward`."""
        with self.precision():
            loss = self.task.loss(model, batch, self.label_smoothing)
        backward(loss * weight)
        return loss.detach()


class Listening:
    """A model whose last output can be read after a loss has called it, so that no second pass is needed."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.output: Any = None

    def __call__(self, **inputs: torch.Tensor) -> Any:
        """What the model answers."""
        self.output = self.model(**inputs)
        return self.output
