"""The loop: steps, evaluations, saved states, and the moment to stop.

A step's randomness is seeded by (seed, step, process), its learning rate and its rows follow from (options, step); so
a run that is taken up at step k does what the uninterrupted one did from there on.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch

from core_model.augmentation import text_noise
from core_model.batching import evaluation_order, training_order
from core_model.errors import OptionUnfit
from core_model.interrupt import StopRequest
from core_model.mitigation_objective import constraint_of, objective_of
from core_model.objective import Objective, TaskLoss
from core_model.optimization import learning_rate
from core_model.progress import Now, Pace, Progress, Tell
from core_model.training_state import Position, StateFolder

if TYPE_CHECKING:
    from accelerate import Accelerator

    from core_model.tasks.training_task import TrainingTask
    from core_model.training_meter import Meter
    from core_model.training_options import TrainingOptions

REPORT_SECONDS = 0.5
STATE_SECONDS = 60.0  # between states, when the user names no number of steps ...
STATE_SHARE = 0.02  # ... and the largest share of the time that saving them may take


class Loop:
    """One session of a training run.

    Args:
        position: where it begins; moved on as it goes.
        identity: what makes this run this run, set down with its states.
        dtype: of the forward pass; weights and moments are float32.
    """

    def __init__(
        self,
        options: TrainingOptions,
        task: TrainingTask,
        accelerator: Accelerator,
        optimizer: torch.optim.Optimizer,
        *,
        state: StateFolder,
        identity: Mapping[str, Any],
        position: Position,
        meter: Meter,
        dtype: torch.dtype,
        tell: Tell,
    ) -> None:
        self.options, self.task, self.accelerator = options, task, accelerator
        self.state, self.identity, self.position, self.meter, self.tell = state, identity, position, meter, tell
        self.optimizer = optimizer
        self.noise = text_noise(task.tokenizer, options)
        loss = TaskLoss(task, label_smoothing=options.label_smoothing, precision=self._precision)
        self.constraint = constraint_of(
            options, task, loss, sum_over_processes=self._summed, state=position.mitigation
        )
        self.objective: Objective = objective_of(options, task, self.constraint or loss)
        self.model: Any
        self.model, self.stepper = accelerator.prepare(task.model, optimizer)
        self.device, self.dtype = accelerator.device, dtype
        self.processes, self.process = accelerator.num_processes, accelerator.process_index
        self.rows_per_step = options.batch_size * self.processes
        self.rows = len(task.training.lengths)
        self.steps_per_epoch = math.ceil(self.rows / self.rows_per_step)
        self.steps = self.steps_per_epoch * options.epochs
        evaluation_rows = 0 if task.evaluation is None else len(task.evaluation.lengths)
        epochs_left = options.epochs - len(position.history)
        self.pace = Pace(rows_left=self._rows_left(), evaluation_rows_left=evaluation_rows * epochs_left)
        self.report, self.began, self.saving_took = Now(REPORT_SECONDS), time.monotonic(), 0.0
        self.saved_at = self.began
        self.seconds_before = position.seconds
        # Losses and gradient norms that were not looked at yet: looking makes a GPU wait.
        self.unseen: list[tuple[int, torch.Tensor, torch.Tensor | None, int]] = []
        self.last_loss: float | None = None
        self.stop = StopRequest()

    def run(self) -> Literal["the last epoch", "early stopping"]:
        """Train to the end.

        Returns: why it ended.
        Raises: OptionUnfit when the loss is no number any more; OutputUnwritable when a state cannot be saved (the
            previous one stands); KeyboardInterrupt after Ctrl-C or SIGTERM, with the state saved.
        """
        with self.stop:
            while True:
                epochs_done = self.position.step // self.steps_per_epoch
                if epochs_done > len(self.position.history):
                    self._end_epoch(epochs_done)
                if len(self.position.history) == self.options.epochs:
                    return "the last epoch"
                if self._patience_is_out():
                    return "early stopping"
                self._train_epoch(epochs_done)

    def _train_epoch(self, epoch: int) -> None:
        """The steps of an epoch (counted from 0) that are still to be done."""
        self.model.train()
        order = training_order(self.task.training.lengths, self.rows_per_step, seed=self.options.seed, epoch=epoch)
        for rows in order[self.position.step % self.steps_per_epoch :]:
            begun = time.perf_counter()
            self._step(rows)
            if self.device.type == "cpu":
                self._look()
            due = self.report.due()
            loss = self._look() if due else None
            seconds = time.perf_counter() - begun
            self.pace.trained(len(rows), seconds)
            self.position.rows += len(rows)
            self.position.training_seconds += seconds
            if due:
                self._tell("training", epoch=epoch + 1, loss=loss)
            self._leave_if_asked()
            if self._state_is_due():
                self.save()
        self._look()

    def _step(self, rows: np.ndarray) -> None:
        """One optimizer step over `rows`, (rows_per_step,) or fewer; each process takes its share of them."""
        step, options, examples = self.position.step, self.options, self.task.training
        self._seed(options.seed, step)
        mine = rows[self.process :: self.processes]
        taken = mine if len(mine) else rows[:1]
        batch = self.task.batch(examples, taken)
        if self.noise is not None:
            batch = self.noise(batch, taken, epoch=step // self.steps_per_epoch)
        batch = self._to_device(batch)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(
                step, self.steps, peak=options.learning_rate or 0.0, warmup=self.warmup, schedule=options.schedule
            )
        # Gradients are averaged over processes; the mean that is wanted is over all units of the step. Where the
        # epoch's last rows did not go round, a process takes part in the sum with nothing.
        weight = self.processes / examples.units(rows) if len(mine) else 0.0
        loss = self.objective.backward(self.model, batch, rows=taken, weight=weight, backward=self.accelerator.backward)
        if not len(mine):
            loss = loss * 0.0
        norm = None
        if options.clip_norm is not None:
            norm = self.accelerator.clip_grad_norm_(self.model.parameters(), options.clip_norm)
        self.stepper.step()
        self.stepper.zero_grad(set_to_none=True)
        self.position.step += 1
        self.unseen.append((self.position.step, loss, norm, examples.units(mine)))

    def _precision(self) -> torch.autocast:
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.dtype == torch.bfloat16)

    def _seed(self, seed: int, step: int) -> None:
        """A seed of its own for each step and process."""
        own = int(np.random.SeedSequence(seed, spawn_key=(step, self.process)).generate_state(1, np.uint64)[0])
        # Not torch.manual_seed: where there is no GPU it keeps each seed, with a stack trace, for the day one comes.
        torch.default_generator.manual_seed(own)
        if self.device.type != "cpu":
            torch.get_device_module(self.device).manual_seed(own)

    @property
    def warmup(self) -> int:
        """Steps in which the rate rises."""
        return round(self.options.warmup_share * self.steps)

    def _look(self) -> float | None:
        """Add the losses since the last look to the epoch's, and see that they are numbers.

        Returns: their mean per unit; None where there were none.
        """
        if not self.unseen:
            return self.last_loss
        steps, losses, norms, units = zip(*self.unseen, strict=True)
        self.unseen = []
        values = torch.stack(losses).double().cpu()
        lengths = torch.stack([n for n in norms if n is not None]).double().cpu() if norms[0] is not None else values
        broken = ~(torch.isfinite(values) & torch.isfinite(lengths))
        if broken.any():
            first = int(broken.nonzero()[0])
            what = "loss" if not math.isfinite(values[first]) else "gradient"
            self._diverged(f"the {what} is no number at step {steps[first]:,} of {self.steps:,}")
        self.position.epoch_loss += float(values.sum())
        self.position.epoch_units += sum(units)
        self.last_loss = float(values.sum()) / max(sum(units), 1)
        return self.last_loss

    def _diverged(self, what: str) -> None:
        options = self.options
        rate = learning_rate(
            max(self.position.step - 1, 0), self.steps, peak=options.learning_rate or 0.0, warmup=self.warmup,
            schedule=options.schedule,
        )  # fmt: skip
        kept = (
            f"the state of an earlier step is kept in {self.state.folder}"
            if self.state.exists
            else "no state had been saved yet"
        )
        raise OptionUnfit(
            f"training diverged: {what} (learning rate {rate:g}); {kept}",
            mend=f"--learning-rate {(options.learning_rate or rate) / 10:g}, or --clip-norm 1 and more --warmup-share, "
            "into another --out",
        )

    def _end_epoch(self, epoch: int) -> None:
        """Evaluate, and keep the weights if they are the best."""
        position = self.position
        evaluation = self._evaluate(epoch)
        loss, units = self._sums([position.epoch_loss, position.epoch_units])
        position.history.append(
            {
                "epoch": epoch,
                "step": position.step,
                "train_loss": loss / units if units else None,
                "train_n": round(units),
                "evaluation": evaluation,
            }
        )
        position.epoch_loss, position.epoch_units = 0.0, 0
        if evaluation is None:
            return
        if self.options.early_stopping is not None and (
            position.best_loss is None or evaluation["loss"] < position.best_loss
        ):
            position.best_loss, position.best_step = evaluation["loss"], position.step
            if self.accelerator.is_main_process:
                self.state.save_best(position.step, self.accelerator.unwrap_model(self.model))
        self._tell("evaluated", epoch=epoch, loss=evaluation["loss"], accuracy=evaluation.get("accuracy"))

    def _evaluate(self, epoch: int) -> dict[str, Any] | None:
        """Mean of each measure over the evaluation rows, with n; None without such rows."""
        examples = self.task.evaluation
        if examples is None:
            return None
        self.model.eval()
        sums: dict[str, torch.Tensor] = {}
        units = 0
        for place, rows in enumerate(evaluation_order(examples.lengths, 2 * self.options.batch_size)):
            if place % self.processes != self.process:
                continue
            begun = time.perf_counter()
            with torch.inference_mode(), self._precision():
                measures = self.task.measures(
                    self.accelerator.unwrap_model(self.model), self._to_device(self.task.batch(examples, rows))
                )
            for name, value in measures.items():
                sums[name] = sums.get(name, 0) + value.double()
            units += examples.units(rows)
            self.pace.evaluated(len(rows) * self.processes, time.perf_counter() - begun)
            if self.report.due():
                self._tell("evaluating", epoch=epoch)
            self._leave_if_asked()
        names = sorted(sums)
        totals = self._sums([*(sums[name] for name in names), units])
        means = {name: value / totals[-1] for name, value in zip(names, totals, strict=False)}
        if not math.isfinite(means["loss"]):
            self._diverged(f"the evaluation loss is no number after step {self.position.step:,}")
        return {"n": round(totals[-1]), **means}

    def _summed(self, values: torch.Tensor) -> torch.Tensor:
        """A tensor summed over the processes."""
        total: torch.Tensor = self.accelerator.reduce(values, reduction="sum")
        return total

    def _sums(self, values: Sequence[float | torch.Tensor]) -> list[float]:
        """Each value summed over the processes."""
        together = torch.stack([torch.as_tensor(v, dtype=torch.float64, device=self.device) for v in values])
        total: torch.Tensor = self.accelerator.reduce(together, reduction="sum")
        return [float(value) for value in total.cpu()]

    def _patience_is_out(self) -> bool:
        patience, position = self.options.early_stopping, self.position
        if patience is None or position.best_step is None:
            return False
        return (position.step - position.best_step) // self.steps_per_epoch >= patience

    def save(self, *, closing: bool = False) -> None:
        """Set the run down on disk.

        Raises: OutputUnwritable; the previous state then stands.
        """
        self._look()
        begun = time.monotonic()
        if self.accelerator.is_main_process:
            position = self.position
            position.energy = self.meter.close() if closing else self.meter.take()
            position.seconds, position.closed = self.seconds, closing
            position.mitigation = None if self.constraint is None else self.constraint.state()
            self.state.save(position, self.identity, self.accelerator.unwrap_model(self.model), self.optimizer)
        self.saved_at = time.monotonic()
        self.saving_took = self.saved_at - begun

    @property
    def seconds(self) -> float:
        """Wall time of all sessions up to now."""
        return self.seconds_before + time.monotonic() - self.began

    def _state_is_due(self) -> bool:
        if self.position.step == self.steps:
            return False  # the evaluation and the end follow
        if self.options.checkpoint_every is not None:
            return self.position.step % self.options.checkpoint_every == 0
        return time.monotonic() - self.saved_at >= max(STATE_SECONDS, self.saving_took / STATE_SHARE)

    def _leave_if_asked(self) -> None:
        if self.stop.asked:
            self.save(closing=True)
            raise KeyboardInterrupt

    def _tell(
        self, stage: Literal["training", "evaluating", "evaluated"], *, epoch: int, loss: float | None = None,
        accuracy: float | None = None,
    ) -> None:  # fmt: skip
        if self.accelerator.is_main_process:
            self.tell(
                Progress(
                    stage=stage,
                    step=self.position.step,
                    steps=self.steps,
                    epoch=epoch,
                    epochs=self.options.epochs,
                    loss=loss,
                    accuracy=accuracy,
                    examples_per_second=self.pace.examples_per_second,
                    seconds_left=self.pace.seconds_left,
                )
            )

    def _rows_left(self) -> int:
        epochs, within = divmod(self.position.step, self.steps_per_epoch)
        return self.rows * (self.options.epochs - epochs) - within * self.rows_per_step

    def _to_device(self, batch: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return {name: tensor.to(self.device, non_blocking=True) for name, tensor in batch.items()}
