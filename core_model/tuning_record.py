"""`tuning.json`: what was searched, every trial that was run, and how far the winner can be believed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

NAME = "tuning.json"

CURSE = (
    "The best of {trials} trials was chosen by its value on these evaluation rows: that value is optimistic, the more "
    "so the more trials there are and the fewer rows. Rows that no trial has seen (--test-data) give an honest one."
)
PRIVACY = (
    "Every trial read the training rows, and the choice between them read the evaluation rows: if they are private, "
    "the search costs privacy beyond what one training run does, and an epsilon of the chosen run alone does not cover "
    "it (Papernot and Steinke 2022, arXiv:2110.03620). No epsilon is claimed for this search."
)


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TrialRecord(_Part):
    """One trial.

    Attributes:
        ending: how it ended; "tried again" when it was cut off and another trial has its parameters.
        value: the objective on the evaluation rows at its end; null where it did not come to an end.
        curve: share of the trial's steps done (epochs done, where only a clock ends it), and the objective there.
        n: evaluation units (rows or tokens) that the value is a mean over.
        seconds: wall time of the session that ended it.
        reason: why it did not end well.
    """

    number: int
    ending: Literal["complete", "pruned", "infeasible", "diverged", "failed", "tried again"]
    parameters: dict[str, Any]
    value: float | None
    curve: list[tuple[float, float]]
    n: int | None
    seconds: float | None
    seed: int
    reason: str | None = None
    again: int | None = Field(None, description="the trial whose parameters these are, because it was cut off")


class Importance(_Part):
    """How much of the objective's variance over the space each parameter explains, by a model of the trials.

    Attributes:
        shares: parameter -> share, summing to 1; empty where it could not be computed, with the reason.
        intervals: parameter -> 5th to 95th percentile over resampled trials: their spread, without the forest's bias.
        n: complete trials that it rests on.
    """

    method: str
    shares: dict[str, float]
    intervals: dict[str, tuple[float, float]]
    n: int
    reason: str | None
    caveat: str


class TuningRecord(_Part):
    """What a study leaves beside its database. Absent values are null.

    Attributes:
        objective: what was optimised, on which rows, and whether lower or higher is better.
        space: parameter -> its range or choices.
        options: the options that all trials shared.
        trials_asked: how many trials were to be settled; those tried again do not count.
        best: the best trial's number, parameters, value, and sha256 of its weights in `best/`; null without one.
        usual: the trial of the default parameters, where they lie inside the space.
        test: the best checkpoint on rows that no trial has seen; null without such rows.
        privacy: what the search means where rows are private.
        seconds: wall time of all trials.
    """

    schema_version: str = "1.0"
    tool: dict[str, str | None]
    task: str
    objective: dict[str, Any]
    data: dict[str, Any]
    evaluation_data: dict[str, Any]
    base: dict[str, Any] | None
    architecture: dict[str, Any] | None
    space: dict[str, Any]
    options: dict[str, Any]
    seed: int
    sampler: str
    pruner: str
    trials_asked: int
    trials: list[TrialRecord]
    best: dict[str, Any] | None
    usual: dict[str, Any] | None
    importance: Importance
    test: dict[str, Any] | None = None
    privacy: dict[str, Any]
    seconds: float
    versions: dict[str, str | None]
    notes: list[str]

    def as_json(self) -> str:
        """As text, keys in this order; NaN is refused."""
        return json.dumps(self.model_dump(mode="json"), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def read_tuning_record(folder: Path) -> TuningRecord | None:
    """The record in a folder; None where there is none that this version understands."""
    try:
        return TuningRecord.model_validate_json((folder / NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
