"""The loop: steps, evaluations, saved states, and the moment to stop.

A step's randomness is seeded by (seed, step, process), its learning rate and its rows follow from (options, step); so
a run that is taken up at step k does what the uninterrupted one did from there on. How a step learns from its rows is
`core_model.training_step`; when things happen is `core_model.training_plan`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch

from core_model.errors import OptionUnfit
from core_model.interrupt import StopRequest
from core_model.mitigation_objective import constraint_of, objective_of
from core_model.objective import Objective, TaskLoss
from core_model.progress import Now, Pace, Progress, Tell
from core_model.training_evaluation import LossIsNoNumber, evaluate, sums_over_processes
from core_model.training_plan import End, Plan
from core_model.training_state import Position, StateFolder
from core_model.training_step import StepMethod, broken_row

if TYPE_CHECKING:
    from accelerate import Accelerator

    from core_model.tasks.training_task import TrainingTask
    from core_model.training_meter import Meter
    from core_model.training_options import TrainingOptions
    from core_model.weight_average import WeightAverage

REPORT_SECONDS = 0.5
STATE_SECONDS = 60.0  # between states, when the user names no number of steps ...
STATE_SHARE = 0.02  # ... and the largest share of the time that saving them may take


class _StopAsked(Exception):
    """Ctrl-C during an evaluation."""


class Loop:
    """One session of a training run.

    Args:
        method: how a step learns from its rows.
        average: the moving average of the weights, where one is kept.
        position: where it begins; moved on as it goes.
        identity: what makes this run this run, set down with its states.
        dtype: of the forward pass; weights and moments are float32.
    """

    def __init__(
        self,
        options: TrainingOptions,
        task: TrainingTask,
        accelerator: Accelerator,
        method: StepMethod,
        *,
        average: WeightAverage | None,
        state: StateFolder,
        identity: Mapping[str, Any],
        position: Position,
        meter: Meter,
        dtype: torch.dtype,
        tell: Tell,
    ) -> None:
        self.options, self.task, self.accelerator = options, task, accelerator
        self.method, self.average = method, average
        self.state, self.identity, self.position, self.meter, self.tell = state, identity, position, meter, tell
        loss = TaskLoss(task, label_smoothing=options.label_smoothing, precision=self._precision)
        self.constraint = constraint_of(options, task, loss, sum_over_processes=self._summed, state=position.mitigation)
        self.objective: Objective = objective_of(options, task, self.constraint or loss)
        self.device, self.dtype = accelerator.device, dtype
        self.processes, self.process = accelerator.num_processes, accelerator.process_index
        self.plan = Plan(options, method.steps_per_epoch)
        self.order: tuple[int, Sequence[np.ndarray]] | None = None  # of the epoch under way
        evaluation_rows = 0 if task.evaluation is None else len(task.evaluation.lengths)
        self.pace = Pace(
            rows_left=self._rows_left(),
            evaluation_rows_left=evaluation_rows * self.plan.evaluations_left(position.step),
        )
        self.report, self.began, self.saving_took = Now(REPORT_SECONDS), time.monotonic(), 0.0
        self.saved_at = self.began
        self.seconds_before = position.seconds
        # Losses and gradient norms that were not looked at yet: looking makes a GPU wait.
        self.unseen: list[tuple[int, torch.Tensor, torch.Tensor | None, int, np.ndarray]] = []
        self.last_loss: float | None = None
        self.stop, self.time_is_up = StopRequest(), False

    def run(self) -> End:
        """Train to the end.

        Returns: why it ended.
        Raises: OptionUnfit when the loss is no number any more; OutputUnwritable when a state cannot be saved (the
            previous one stands); KeyboardInterrupt after Ctrl-C or SIGTERM, with the state saved.
        """
        with self.stop:
            self._watch_the_clock()
            while True:
                if self._evaluation_is_due():
                    self._end_stretch()
                if (why := self._why_ended()) is not None:
                    return why
                self._train_epoch()

    def _evaluation_is_due(self) -> bool:
        step, history = self.position.step, self.position.history
        if step == (history[-1]["step"] if history else 0):
            return False
        return self.time_is_up or self.plan.evaluates_after(step)

    def _why_ended(self) -> End | None:
        """Asked after an evaluation; None when there is more to do."""
        if not self.position.history:
            return None
        if self.plan.is_over(self.position.step):
            return self.plan.end()
        if self.time_is_up:
            return "the time limit"
        return "early stopping" if self._patience_is_out() else None

    def _train_epoch(self) -> None:
        """The steps of the epoch under way, as far as the next evaluation."""
        self._model.train()
        epoch, within = divmod(self.position.step, self.plan.steps_per_epoch)
        if self.order is None or self.order[0] != epoch:
            self.order = epoch, self.method.order(epoch)
        for rows in self.order[1][within:]:
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
                self._tell("training", loss=loss)
            self._leave_if_asked()
            self._watch_the_clock()
            if self._state_is_due():
                self.save()
            if self._evaluation_is_due():
                break
        self._look()

    def _step(self, rows: np.ndarray) -> None:
        """One optimizer step over `rows`, those of all processes."""
        position, optimizer = self.position, self.method.optimizer
        self._seed(position.step)
        for group in optimizer.param_groups:
            group["lr"] = self.plan.rate(position.step)
        epoch = position.step // self.plan.steps_per_epoch
        loss, units = self.method.gradients(rows, self.objective, epoch=epoch)
        norm = self.method.update(loss)
        if self.constraint is not None:
            self.constraint.after_step()
        position.step += 1
        if self.average is not None:
            self.average.update(position.step)
        self.unseen.append((position.step, loss, norm, units, rows[self.process :: self.processes]))

    @property
    def _model(self) -> Any:
        """The task's model, unwrapped."""
        return self.task.model

    def _precision(self) -> torch.autocast:
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.dtype == torch.bfloat16)

    def _summed(self, tensor: torch.Tensor) -> torch.Tensor:
        """A tensor summed over the processes."""
        total: torch.Tensor = self.accelerator.reduce(tensor, reduction="sum")
        return total

    def _seed(self, step: int) -> None:
        """A seed of its own for each step and process."""
        sequence = np.random.SeedSequence(self.options.seed, spawn_key=(step, self.process))
        own = int(sequence.generate_state(1, np.uint64)[0])
        # Not torch.manual_seed: where there is no GPU it keeps each seed, with a stack trace, for the day one comes.
        torch.default_generator.manual_seed(own)
        if self.device.type != "cpu":
            torch.get_device_module(self.device).manual_seed(own)

    def _look(self) -> float | None:
        """Add the losses since the last look to the stretch's, and see that they are numbers.

        Returns: their mean per unit; None where there were none.
        """
        if not self.unseen:
            return self.last_loss
        steps, losses, norms, units, rows = zip(*self.unseen, strict=True)
        self.unseen = []
        values = torch.stack(losses).double().cpu()
        lengths = torch.stack([n for n in norms if n is not None]).double().cpu() if norms[0] is not None else values
        broken = ~(torch.isfinite(values) & torch.isfinite(lengths))
        if broken.any():
            first = int(broken.nonzero()[0])
            what = "loss" if not math.isfinite(values[first]) else "gradient"
            of_all = "" if self.plan.steps is None else f" of {self.plan.steps:,}"
            self._diverged(
                f"the {what} is no number at step {steps[first]:,}{of_all}{self._culprit(rows[first])}",
                step=steps[first] - 1,
            )
        self.position.loss_sum += float(values.sum())
        self.position.loss_units += sum(units)
        self.last_loss = float(values.sum()) / max(sum(units), 1)
        return self.last_loss

    def _culprit(self, rows: np.ndarray) -> str:
        """Which of a step's rows broke it."""
        row = broken_row(
            self.task, rows,
            label_smoothing=self.options.label_smoothing, device=self.device, precision=self._precision,
        )  # fmt: skip
        if row is None:
            return ", and with no row of the batch alone"
        return f", and with row {row + 1:,} of the training data alone (counted from 1)"

    def _diverged(self, what: str, *, step: int) -> None:
        options, rate = self.options, self.plan.rate(step)
        kept = (
            f"the state of an earlier step is kept in {self.state.folder}"
            if self.state.exists
            else "no state had been saved yet"
        )
        raise OptionUnfit(
            f"training diverged: {what} (learning rate {rate:g}); {kept}",
            mend=f"--learning-rate {(options.learning_rate or rate) / 10:g}, or --clip-norm 1 and more warm-up, "
            "into another --out",
        )

    def _end_stretch(self) -> None:
        """Evaluate, and keep the weights if they are the best."""
        position = self.position
        try:
            with self._averaged():
                evaluation = self._evaluate()
        except _StopAsked:
            self._leave_if_asked()
        loss, units = sums_over_processes(self.accelerator, [position.loss_sum, position.loss_units])
        position.history.append(
            {
                "epoch": self.plan.epoch_of(position.step),
                "step": position.step,
                "seconds": self.seconds,
                "train_loss": loss / units if units else None,
                "train_n": round(units),
                "evaluation": evaluation,
            }
        )
        position.loss_sum, position.loss_units = 0.0, 0
        if evaluation is None:
            return
        if self.options.early_stopping is not None and (
            position.best_loss is None or evaluation["loss"] < position.best_loss
        ):
            position.best_loss, position.best_step = evaluation["loss"], position.step
            if self.accelerator.is_main_process:
                with self._averaged():
                    self.state.save_best(position.step, self._model)
        self._tell("evaluated", loss=evaluation["loss"], accuracy=evaluation.get("accuracy"))

    def _averaged(self) -> AbstractContextManager[None]:
        """While a `with` lasts, the model has the weights that would be saved now."""
        return nullcontext() if self.average is None else self.average.in_place()

    def _evaluate(self) -> dict[str, Any] | None:
        """Mean of each measure over the evaluation rows, with n; None without such rows."""
        if self.task.evaluation is None:
            return None
        try:
            return evaluate(
                self.task, self.task.evaluation, self.options,
                accelerator=self.accelerator, precision=self._precision, after=self._evaluated,
            )  # fmt: skip
        except LossIsNoNumber:
            step = self.position.step
            self._diverged(f"the evaluation loss is no number after step {step:,}", step=step - 1)
            raise

    def _evaluated(self, rows: int, seconds: float) -> None:
        self.pace.evaluated(rows, seconds)
        if self.report.due():
            self._tell("evaluating")
        if self.stop.asked:
            raise _StopAsked  # the state is saved when the model has its own weights again

    def _patience_is_out(self) -> bool:
        patience, best = self.options.early_stopping, self.position.best_step
        if patience is None or best is None:
            return False
        return sum(entry["step"] > best for entry in self.position.history) >= patience

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
            self.state.save(position, self.identity, self._model, self.method.optimizer, self.average)
        self.saved_at = time.monotonic()
        self.saving_took = self.saved_at - begun

    @property
    def seconds(self) -> float:
        """Wall time of all sessions up to now."""
        return self.seconds_before + time.monotonic() - self.began

    def _watch_the_clock(self) -> None:
        """See whether the time is up; one process's clock speaks for all."""
        if self.plan.seconds is None or self.position.step == 0:
            return
        over = float(self.seconds >= self.plan.seconds)
        if self.processes > 1:
            over = sums_over_processes(self.accelerator, [over])[0]
        self.time_is_up = self.time_is_up or over > 0

    def _state_is_due(self) -> bool:
        if self.plan.is_over(self.position.step):
            return False  # the evaluation and the end follow
        if self.options.checkpoint_every is not None:
            return self.position.step % self.options.checkpoint_every == 0
        return time.monotonic() - self.saved_at >= max(STATE_SECONDS, self.saving_took / STATE_SHARE)

    def _leave_if_asked(self) -> None:
        if self.stop.asked:
            self.save(closing=True)
            raise KeyboardInterrupt

    def _tell(
        self, stage: Literal["training", "evaluating", "evaluated"], *, loss: float | None = None,
        accuracy: float | None = None,
    ) -> None:  # fmt: skip
        if self.accelerator.is_main_process:
            self.tell(
                Progress(
                    stage=stage,
                    step=self.position.step,
                    steps=self.plan.steps,
                    epoch=self.plan.epoch_of(self.position.step),
                    epochs=self.plan.epochs,
                    loss=loss,
                    accuracy=accuracy,
                    epsilon=self.method.epsilon(),
                    learning_rate=self.plan.rate(self.position.step - 1) if self.position.step else None,
                    examples_per_second=self.pace.examples_per_second,
                    seconds_left=self._seconds_left(),
                )
            )

    def _seconds_left(self) -> float | None:
        """Until the last step, or until the time is up."""
        until = [self.pace.seconds_left]
        if self.plan.seconds is not None:
            until.append(max(self.plan.seconds - self.seconds, 0.0))
        return min((seconds for seconds in until if seconds is not None), default=None)

    def _rows_left(self) -> int | None:
        if self.plan.steps is None:
            return None
        rows_per_step = len(self.task.training.lengths) / self.plan.steps_per_epoch
        return round((self.plan.steps - self.position.step) * rows_per_step)
