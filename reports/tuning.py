"""A hyperparameter search as its page reads it: the keys of `tuning.json` that are shown; others are passed over."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Ending = Literal["complete", "pruned", "infeasible", "diverged", "failed", "tried again"]


class _Shown(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class Objective(_Shown):
    """What was optimised."""

    name: str
    direction: Literal["lower", "higher"]
    of: str = ""


class Rows(_Shown):
    """Rows that were read."""

    name: str
    sha256: str
    rows: int
    synthetic: bool = False


class Base(_Shown):
    """What was fine-tuned."""

    name: str
    sha256: str


class Trial(_Shown):
    """One trial: a value only where it came to its end, a reason where it did not."""

    number: int
    ending: Ending
    parameters: dict[str, str | int | float | bool | None]
    value: float | None
    curve: list[tuple[float, float]] = Field(default_factory=list)
    seconds: float | None = None
    reason: str | None = None

    @model_validator(mode="after")
    def _value_where_complete(self) -> Trial:
        if (self.value is not None) != (self.ending == "complete"):
            raise ValueError(f"trial {self.number} is {self.ending}, and its value is {self.value}")
        return self


class Winner(_Shown):
    """The best trial."""

    trial: int
    value: float
    n: int | None = None
    model_sha256: str | None = None


class Usual(_Shown):
    """The trial of the default parameters; no value where it did not come to its end."""

    trial: int
    value: float | None


class Importance(_Shown):
    """How much of the objective's variance each parameter explains; a reason where that is not known."""

    method: str
    shares: dict[str, float]
    intervals: dict[str, tuple[float, float]]
    n: int
    reason: str | None
    caveat: str


class Measure(_Shown):
    """One number of the best checkpoint on rows that no trial has seen."""

    name: str
    value: float | None
    interval: tuple[float, float] | None
    confidence: float
    method: str
    n: int
    unit: str
    reason: str | None = None


class Test(_Shown):
    """The best checkpoint on rows that no trial has seen."""

    data: Rows
    rows_left_out: int
    measures: list[Measure]


class Privacy(_Shown):
    """What the search means where rows are private."""

    note: str


class Search(_Shown):
    """`tuning.json`."""

    task: str
    objective: Objective
    data: Rows
    evaluation_data: Rows
    base: Base | None
    architecture: dict[str, Any] | None
    space: dict[str, dict[str, Any]]
    options: dict[str, Any]
    seed: int
    sampler: str
    pruner: str
    trials_asked: int
    trials: list[Trial]
    best: Winner | None
    usual: Usual | None
    importance: Importance
    test: Test | None
    privacy: Privacy
    seconds: float
    notes: list[str]
