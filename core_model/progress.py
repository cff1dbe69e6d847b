"""How far long work has come: what a callback is told, and when it will be done."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Progress:
    """What a training run tells of itself, at least every few seconds.

    Attributes:
        stage: what is done now.
        step, steps: optimizer steps done, and to do in all; None when only the clock ends the run.
        epoch, epochs: the epoch under way, counted from 1, and how many there will be, likewise.
        loss: mean over the steps since the last report; None where there was none.
        examples_per_second: rows trained on per second of training steps, in this session.
        seconds_left: until the run is done, evaluations included; None until a step was timed.
        accuracy: of the evaluation that just ended, where the task has one.
        epsilon: of a private training: what was spent so far, by the last accounting.
        learning_rate: of the last step.
    """

    stage: Literal["training", "evaluating", "evaluated", "saving", "done"]
    step: int
    steps: int | None
    epoch: int
    epochs: int | None
    loss: float | None = None
    examples_per_second: float | None = None
    seconds_left: float | None = None
    accuracy: float | None = None
    epsilon: float | None = None
    learning_rate: float | None = None


Tell = Callable[[Progress], None]


class Pace:
    """Measures how fast rows pass, to say how long the rest will take.

    Args:
        rows_left: to train on; None when only the clock ends the run.
    """

    def __init__(self, *, rows_left: int | None, evaluation_rows_left: int) -> None:
        self.rows_left = rows_left
        self.evaluation_rows_left = evaluation_rows_left
        self.rows = self.evaluation_rows = 0
        self.seconds = self.evaluation_seconds = 0.0

    def trained(self, rows: int, seconds: float) -> None:
        """Some rows went through a training step."""
        self.rows, self.seconds = self.rows + rows, self.seconds + seconds
        if self.rows_left is not None:
            self.rows_left -= rows

    def evaluated(self, rows: int, seconds: float) -> None:
        """Some rows went through an evaluation."""
        self.evaluation_rows += rows
        self.evaluation_rows_left -= rows
        self.evaluation_seconds += seconds

    @property
    def examples_per_second(self) -> float | None:
        """Rows trained on per second of training."""
        return self.rows / self.seconds if self.seconds else None

    @property
    def seconds_left(self) -> float | None:
        """Training and evaluation that are left. An evaluation never seen is taken as a third of training's cost:
        a forward pass without its backward pass, which costs twice as much.
        """
        if not self.rows or self.rows_left is None:
            return None
        row = self.seconds / self.rows
        evaluation_row = self.evaluation_seconds / self.evaluation_rows if self.evaluation_rows else row / 3
        return max(self.rows_left, 0) * row + max(self.evaluation_rows_left, 0) * evaluation_row


class Now:
    """Says when it is time again."""

    def __init__(self, every_seconds: float) -> None:
        self.every = every_seconds
        self.last = time.monotonic()

    def due(self) -> bool:
        """Whether so many seconds have passed since this was last true."""
        now = time.monotonic()
        if now - self.last < self.every:
            return False
        self.last = now
        return True
