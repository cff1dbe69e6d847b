"""What a compression cost and what it gained: the contract of `compression.json`, drawn by `reports.document.trade`.

Each line is one number before and after, with the change between them. A change is called better or worse only where
its whole interval lies on one side of no change, or where both sides were counted rather than sampled.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, computed_field, model_validator

from reports.record import DataFacts, Environment, Figure, Part, SubjectFacts, Tool

COUNTED = "counted"


class Number(Part):
    """One number with its uncertainty; without a value, the reason."""

    value: float | None
    interval: tuple[float, float] | None = None
    confidence: float = 0.95
    n: int = 0
    method: str | None = Field(None, description='how the interval was made; "counted" where there is no chance in it')
    reason: str | None = None

    @model_validator(mode="after")
    def _explained(self) -> Number:
        if self.value is None and not self.reason:
            raise ValueError("a number without a value must say why (reason)")
        return self


class Line(Part):
    """One number of both checkpoints."""

    kind: Literal["size", "speed", "quality"]
    name: str
    unit: str
    better: Literal["lower", "higher", "none"]
    before: Number
    after: Number
    change: Number = Field(description="after - before, or after / before")
    change_is: Literal["difference", "ratio"]
    paired: bool = Field(False, description="both sides answered the same rows, and each resample served both")

    @computed_field  # type: ignore[prop-decorator]
    @property
    def conclusion(self) -> Literal["better", "worse", "changed", "unchanged", "no evidence of change", "not measured"]:
        """What the change's interval allows to say."""
        change, none = self.change, 1.0 if self.change_is == "ratio" else 0.0
        if change.value is not None and change.interval is None and change.method != COUNTED:
            # Every row says the same on both sides: resampling rows shows no spread, and no change either.
            return "no evidence of change" if change.value == none else "not measured"
        if change.value is None:
            return "not measured"
        low, high = change.interval or (change.value, change.value)
        if low <= none <= high:
            return "unchanged" if change.method == COUNTED else "no evidence of change"
        if self.better == "none":
            return "changed"
        return "better" if (low > none) == (self.better == "higher") else "worse"


class Trade(Part):
    """`compression.json`: changes are after against before."""

    schema_version: str = "1.0"
    tool: Tool
    method: str
    settings: dict[str, Any] = Field(default_factory=dict)
    before: SubjectFacts
    after: SubjectFacts
    data: DataFacts = Field(description="the rows that both answered")
    environment: Environment
    lines: list[Line]
    figure: Figure
    notes: list[str] = Field(default_factory=list)
    command: str | None = None

    def to_json(self) -> str:
        """The bytes of `compression.json`."""
        return self.model_dump_json(indent=2) + "\n"
