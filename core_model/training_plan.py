"""When things happen in a run: how many steps it has, when it is evaluated, how fast it learns, and when it ends.

Everything here follows from the options and the number of steps in an epoch; only the time limit reads a clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from core_model.optimization import learning_rate

if TYPE_CHECKING:
    from core_model.training_options import TrainingOptions

End = Literal["the last epoch", "the last step", "the time limit", "early stopping"]


@dataclass(frozen=True)
class Plan:
    """The plan of one run; steps are counted from 0, and `done` is how many were done.

    Attributes:
        options: with their defaults filled in.
        steps_per_epoch: steps in a pass over the data.
    """

    options: TrainingOptions
    steps_per_epoch: int

    @property
    def steps(self) -> int | None:
        """Steps of the whole run; None when only the time limit ends it."""
        ends = [self._epochs_end, self.options.max_steps]
        return min((end for end in ends if end is not None), default=None)

    @property
    def epochs(self) -> int | None:
        """Epochs that the run begins; None when nobody knows."""
        return None if self.steps is None else self.epoch_of(self.steps)

    @property
    def warmup(self) -> int:
        """Steps in which the rate rises."""
        if self.options.warmup_steps is not None:
            return self.options.warmup_steps
        return round((self.options.warmup_share or 0.0) * (self.steps or 0))

    @property
    def seconds(self) -> float | None:
        """The time limit."""
        return None if self.options.max_minutes is None else 60 * self.options.max_minutes

    @property
    def steps_between_evaluations(self) -> int:
        """Of one evaluation to the next, the end apart."""
        return self.options.evaluate_every or self.steps_per_epoch

    def epoch_of(self, done: int) -> int:
        """The epoch, counted from 1, that the last of these steps belongs to."""
        return -(-done // self.steps_per_epoch)

    def rate(self, step: int) -> float:
        """The learning rate of a step."""
        options = self.options
        return learning_rate(
            step, self.steps, peak=options.learning_rate or 0.0, warmup=self.warmup, schedule=options.schedule
        )

    def evaluates_after(self, done: int) -> bool:
        """Whether an evaluation follows after so many steps; the time limit apart."""
        return done % self.steps_between_evaluations == 0 or self.is_over(done)

    def is_over(self, done: int) -> bool:
        """Whether these were all steps."""
        return self.steps is not None and done >= self.steps

    def evaluations_left(self, done: int) -> int:
        """How many follow after so many steps; 0 when nobody knows."""
        if self.steps is None or self.is_over(done):
            return 0
        return -(-self.steps // self.steps_between_evaluations) - done // self.steps_between_evaluations

    def end(self) -> End:
        """What it is called when the last step was done."""
        return "the last epoch" if self.steps == self._epochs_end else "the last step"

    @property
    def _epochs_end(self) -> int | None:
        return None if self.options.epochs is None else self.options.epochs * self.steps_per_epoch
