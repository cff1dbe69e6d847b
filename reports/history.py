"""Many records in one line of time: the contract of `history.json`, drawn by `reports.document.history`.

A number that a run does not hold has no point there, and one that could not be measured has a point without a value and
with its reason: neither is ever 0. A change is held to its interval and to the correction for all changes of the
history together, so that nobody searches fifty numbers until one has moved by chance. A limit that moved stands beside
the number, with what the last value would be by the limit before.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from reports.comparison import Conclusion
from reports.record import DataFacts, Multiplicity, Part, Verdict

SCHEMA_VERSION = "1.0"
ALPHA = 0.05  # two-sided, after the correction


class HistoryRun(Part):
    """One record of the history."""

    number: int = Field(description="its place in the history, from 1")
    name: str
    sha256: str = Field(description="of the checkpoint")
    started: str
    content_sha256: str | None
    seal: Literal["whole", "edited", "none"] = Field(description="whether its content fits its own hash")
    complete: bool
    verdict: Literal["pass", "fail", "inconclusive"]
    verdict_reason: str
    findings: dict[str, int] = Field(description="number of each severity")
    policy: str | None = None
    data: DataFacts


class Point(Part):
    """One number in one run."""

    run: int
    value: float | None
    interval: tuple[float, float] | None = None
    n: int = 0
    limit: float | None = None
    verdict: Verdict = Verdict.INFORMATIVE
    waived: bool = False
    reason: str | None = None

    @model_validator(mode="after")
    def _explained(self) -> Point:
        if self.value is None and not self.reason:
            raise ValueError(f"run {self.run}: a point without a value must say why (reason)")
        return self


class Change(Part):
    """What happened to one number between two runs: later minus earlier."""

    earlier: int
    later: int
    difference: float | None = None
    interval: tuple[float, float] | None = None
    confidence: float = 0.95
    method: str | None = None
    paired: bool = Field(False, description="both values were computed on the same rows, joined by row")
    n: int = 0
    p_value: float | None = Field(None, description='two-sided, of "nothing changed", from the interval\'s arm')
    p_adjusted: float | None = Field(None, description="after the correction for all changes of the history")
    conclusion: Conclusion
    reason: str | None = None

    @model_validator(mode="after")
    def _held_to_its_interval(self) -> Change:
        if self.conclusion == "not comparable":
            if not self.reason:
                raise ValueError("not comparable needs a reason")
            return self
        if self.difference is None or self.interval is None or self.p_adjusted is None:
            raise ValueError(f"{self.conclusion!r} needs a difference, its interval and an adjusted p-value")
        low, high = self.interval
        evidence = not low <= 0 <= high and self.p_adjusted <= ALPHA
        if evidence != (self.conclusion != "no evidence of change"):
            raise ValueError(f"{self.conclusion!r} does not follow from {self.interval}, p {self.p_adjusted}")
        return self

    @property
    def is_evidence(self) -> bool:
        """Whether it shows that something changed."""
        return self.conclusion in ("better", "worse", "changed")

    @property
    def only_alone(self) -> bool:
        """Whether its interval excludes zero, and the correction for many changes takes that back."""
        return (
            self.conclusion == "no evidence of change"
            and self.interval is not None
            and not self.interval[0] <= 0 <= self.interval[1]
        )


class LimitMove(Part):
    """A limit that is not what it was."""

    earlier: int
    later: int
    before: float | None
    after: float | None
    direction: Literal["softer", "stricter", "set", "taken away", "other"]


class HistoryLine(Part):
    """One number through all the runs that hold it."""

    audit: str
    name: str
    slice: dict[str, str] = Field(default_factory=dict)
    unit: str = ""
    better: Literal["lower", "higher", "none"] = "none"
    volatile: bool = False
    points: list[Point] = Field(description="in the order of the runs; none for a run that does not hold the number")
    overall: Change = Field(description="from the first run with a value to the last one with a value")
    last_step: Change = Field(description="from the last run but one to the last run")
    limits: list[LimitMove] = Field(default_factory=list)
    first_limit: float | None = Field(None, description="the first limit that any run set, where it moved since")
    by_first_limit: Verdict | None = Field(None, description="of the newest value by that first limit")
    came: int | None = Field(None, description="first run that holds it, where that is not the first of all")
    went: int | None = Field(None, description="first run after the last that holds it")

    @property
    def key(self) -> str:
        """Audit, name and slice in one line."""
        inside = ", ".join(f"{k}={v}" for k, v in self.slice.items())
        return f"{self.audit}.{self.name}" + (f"[{inside}]" if inside else "")

    @property
    def limited(self) -> bool:
        """Whether any run held it against a limit."""
        return any(point.limit is not None for point in self.points)

    @property
    def is_evidence(self) -> bool:
        """Whether one of its two changes shows that something changed."""
        return self.overall.is_evidence or self.last_step.is_evidence

    def point(self, run: int) -> Point | None:
        """The number in one run; None where that run does not hold it."""
        return next((point for point in self.points if point.run == run), None)


class StepChange(Part):
    """What else is different between two runs that follow each other, in sentences."""

    earlier: int
    later: int
    policy: list[str] = Field(default_factory=list, description="limits, requirements and waivers")
    settings: list[str] = Field(default_factory=list, description="whatever else could move a number")


class History(Part):
    """`history.json`: changes are later minus earlier."""

    schema_version: str
    task: str
    order: Literal["date", "given"]
    same_data: bool = Field(description="whether all runs were measured on the same rows")
    runs: list[HistoryRun]
    lines: list[HistoryLine] = Field(default_factory=list)
    steps: list[StepChange] = Field(default_factory=list)
    multiplicity: Multiplicity | None = None
    command: str | None = None

    @model_validator(mode="after")
    def _runs_exist(self) -> History:
        numbers = [run.number for run in self.runs]
        if numbers != list(range(1, len(numbers) + 1)):
            raise ValueError(f"runs are numbered from 1 without a gap, not {numbers}")
        for line in self.lines:
            held = [point.run for point in line.points]
            if held != sorted(set(held)) or not set(held) <= set(numbers):
                raise ValueError(f"{line.key}: its points are not in the order of the runs: {held}")
        return self

    def to_json(self) -> str:
        """The bytes of `history.json`."""
        return self.model_dump_json(indent=2) + "\n"
