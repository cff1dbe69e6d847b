"""One step: which rows it takes, their gradients, and what the optimizer does with them.

`StepMethod` is the seam for other ways to learn from rows (private training draws rows, clips and adds noise in its own
way); `GradientStep` is the usual one. The loop around it counts, seeds, sets the learning rate, evaluates and saves.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch

from core_model.augmentation import text_noise
from core_model.batching import token_order, training_order
from core_model.errors import OptionUnfit

if TYPE_CHECKING:
    from accelerate import Accelerator

    from core_model.objective import Objective, Precision
    from core_model.tasks.training_task import Examples, TrainingTask
    from core_model.training_options import TrainingOptions


class StepMethod(Protocol):
    """A way to learn from rows. Made once for a session, before a saved state is put into its model and optimizer.

    Attributes:
        model: what the objective calls; it may be wrapped around the task's model.
        optimizer: whose moments are saved with the state; the loop sets its learning rate before each step.
        steps_per_epoch: the same in every epoch.
    """

    model: Any
    optimizer: torch.optim.Optimizer
    steps_per_epoch: int

    def begin(self, step: int) -> None:
        """Told once, before the session's first step, how many steps the run has behind it."""
        ...

    def order(self, epoch: int) -> Sequence[np.ndarray]:
        """The rows of each step of an epoch (counted from 0), over all processes; from (options, epoch) alone."""
        ...

    def gradients(self, rows: np.ndarray, objective: Objective, *, epoch: int) -> tuple[torch.Tensor, int]:
        """Leave the step's gradients with the parameters.

        The random numbers of the step are seeded when this is called.

        Returns: the loss summed over this process's units, detached; and the number of these units.
        """
        ...

    def update(self, loss: torch.Tensor) -> torch.Tensor | None:
        """Change the weights by the gradients, and forget these. Nothing changes where a number is none.

        Returns: the length of the gradient before clipping, where it was measured.
        """
        ...

    def epsilon(self) -> float | None:
        """What was spent of a promise of privacy; None where nothing is promised."""
        ...

    def record(self) -> dict[str, Any]:
        """What the training record says of a promise of privacy; empty where nothing is promised."""
        ...


class GradientStep:
    """The mean gradient over all units of the step's rows, clipped, given to the optimizer.

    A step's rows are shared out among the processes, and each share is cut into `accumulate` batches whose gradients
    are added up. A unit (a row of a classifier, a token of a language model) weighs the same in whichever batch it
    stands.
    """

    def __init__(
        self, options: TrainingOptions, task: TrainingTask, accelerator: Accelerator, optimizer: torch.optim.Optimizer
    ) -> None:
        self.options, self.task, self.accelerator, self.optimizer = options, task, accelerator, optimizer
        self.model: Any
        self.model, self.stepper = accelerator.prepare(task.model, optimizer)
        self.trained = [p for p in task.model.parameters() if p.requires_grad]
        self.noise = text_noise(task.tokenizer, options)
        self.batches_per_step = options.accumulate * accelerator.num_processes
        self.steps_per_epoch = self._steps_per_epoch()

    def _steps_per_epoch(self) -> int:
        """Raises: OptionUnfit when a row alone is beyond the budget of tokens."""
        if self.options.batch_tokens is None:
            rows = len(self.task.training.lengths)
            return math.ceil(rows / (self.batches_per_step * (self.options.batch_size or 1)))
        longest = int(self.task.training.lengths.max(initial=0))
        if longest > self.options.batch_tokens:
            raise OptionUnfit(
                f"batch_tokens = {self.options.batch_tokens}, but the longest row has {longest} tokens",
                mend=f"--batch-tokens {longest} or more, or a smaller --max-length",
            )
        return len(self.order(0))

    def order(self, epoch: int) -> list[np.ndarray]:
        """See `StepMethod.order`: rows of like length together."""
        options, examples = self.options, self.task.training
        if options.batch_tokens is not None:
            budget = options.batch_tokens * self.batches_per_step
            return token_order(sides_of(examples), budget, seed=options.seed, epoch=epoch)
        rows = (options.batch_size or 1) * self.batches_per_step
        return training_order(examples.lengths, rows, seed=options.seed, epoch=epoch)

    def gradients(self, rows: np.ndarray, objective: Objective, *, epoch: int) -> tuple[torch.Tensor, int]:
        """See `StepMethod.gradients`."""
        examples, processes = self.task.training, self.accelerator.num_processes
        mine = rows[self.accelerator.process_index :: processes]
        # Gradients are averaged over processes; the mean that is wanted is over all units of the step. Where the
        # epoch's last rows did not go round, a process takes part in the sum with nothing.
        weight = processes / examples.units(rows) if len(mine) else 0.0
        taken = mine if len(mine) else rows[:1]
        # As many batches in each process, so that processes that meet on the way (fairness penalties do) always meet.
        batches = np.array_split(taken, max(1, min(self.options.accumulate, len(rows) // processes)))
        losses = []
        for place, chosen in enumerate(batches, start=1):
            # Processes meet in the last backward pass only; until then each adds up its own.
            waiting = self.accelerator.no_sync(self.model) if place < len(batches) else nullcontext()
            with waiting:
                losses.append(
                    objective.backward(
                        self.model, self._batch(chosen, epoch), rows=chosen, weight=weight,
                        backward=self.accelerator.backward,
                    )
                )  # fmt: skip
        loss = losses[0] if len(losses) == 1 else torch.stack(losses).sum()
        return (loss, examples.units(mine)) if len(mine) else (loss * 0.0, 0)

    def update(self, loss: torch.Tensor) -> torch.Tensor | None:
        """See `StepMethod.update`."""
        norm = None
        if self.options.clip_norm is not None:
            norm = torch.nn.utils.clip_grad_norm_(self.trained, self.options.clip_norm, foreach=True)
        broken = ~torch.isfinite(loss) if norm is None else ~(torch.isfinite(loss) & torch.isfinite(norm))
        # Fused optimizers leave everything as it is where this is 1, without anybody waiting to know (as the gradient
        # scaler of torch.amp has it): the weights that met a bad row are still there to be asked which one it was.
        optimizer: Any = self.optimizer
        optimizer.found_inf, optimizer.grad_scale = broken.float(), None
        self.stepper.step()
        self.stepper.zero_grad(set_to_none=True)
        return norm

    def begin(self, step: int) -> None:
        """See `StepMethod.begin`: everything here follows from the step's number."""

    def epsilon(self) -> None:
        """See `StepMethod.epsilon`."""
        return None

    def record(self) -> dict[str, Any]:
        """See `StepMethod.record`."""
        return {}

    def _batch(self, rows: np.ndarray, epoch: int) -> dict[str, torch.Tensor]:
        batch = self.task.batch(self.task.training, rows)
        if self.noise is not None:
            batch = self.noise(batch, rows, epoch=epoch)
        return to_device(batch, self.accelerator.device)


def sides_of(examples: Examples) -> np.ndarray:
    """Lengths of each row's sequences that are padded for themselves: (rows,), or (rows, 2) of source and target."""
    sides: np.ndarray = getattr(examples, "sides", examples.lengths)
    return sides


def to_device(batch: Mapping[str, torch.Tensor], device: torch.device) -> dict[str, torch.Tensor]:
    """A batch where the model is."""
    return {name: tensor.to(device, non_blocking=True) for name, tensor in batch.items()}


def broken_row(
    task: TrainingTask, rows: np.ndarray, *, label_smoothing: float, device: torch.device, precision: Precision
) -> int | None:
    """The first of these training rows whose own loss, or whose own gradient, is no number; dropout is off.

    Returns: its index; None when none of them breaks alone.
    """
    model: Any = task.model
    model.eval()
    for row in rows:
        model.zero_grad(set_to_none=True)
        with precision():
            loss = task.loss(model, to_device(task.batch(task.training, np.array([row])), device), label_smoothing)
        if not torch.isfinite(loss):
            return int(row)
        loss.backward()
        gradients = [p.grad for p in model.parameters() if p.grad is not None]
        if not torch.isfinite(torch.nn.utils.get_total_norm(gradients)):
            return int(row)
    return None
