"""A search in the planted world: small learning rates learn nothing there, large ones do. Synthetic."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from core_model.tasks import Task
from core_model.tuning import TuningOptions, TuningResult, tune
from core_model.tuning_space import read_space
from tests.core_model.training_world import planted_table, tiny_base

SEARCH = ("learning_rate=1e-6..3e-2,log", "batch_size=16,32")
TRIALS = 6


def search(out: Path, *, trials: int = TRIALS, space: tuple[str, ...] = SEARCH, **changes: Any) -> TuningResult:
    """A study of a few seconds."""
    given: dict[str, Any] = {
        "data": planted_table(), "evaluation": planted_table(40, 1), "base": tiny_base(), "fixed": {"epochs": 4}
    }  # fmt: skip
    read = read_space(space, task=Task.CLASSIFICATION, from_scratch=False)
    options = TuningOptions(trials=trials, objective=changes.pop("objective", "loss"), seed=changes.pop("seed", 0))
    return tune(options, space=read, out=out, **(given | changes))


def small_search(out: Path, **changes: Any) -> TuningResult:
    """A study of a second, which learns nothing."""
    quick: dict[str, Any] = {
        "space": ("learning_rate=1e-6..3e-2,log", "batch_size=16,32"), "data": planted_table(48, 0),
        "fixed": {"epochs": 2},
    }  # fmt: skip
    return search(out, **(quick | changes))


def trials_of(result: TuningResult) -> list[tuple[Any, ...]]:
    """What two studies must share to be the same: trials tried again, and times, aside."""
    return [
        (trial.ending, trial.parameters, trial.value, trial.curve)
        for trial in result.record.trials
        if trial.ending != "tried again"
    ]
