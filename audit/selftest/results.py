"""`selftest.json`: how every repetition of every control ended, and what that says of the audits.

The file is written after each repetition, so that an interrupted selftest goes on from there. Each repetition has
random numbers of its own (seed, audit, control, number): the order in which they are run does not matter.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field

from audit.evidence import Limit, judge
from audit.statistics import proportion
from reports.parts import Part
from reports.record import Environment, Tool
from reports.selftest import ControlFacts, SelftestFacts, TrialShare, TrialVerdict

FILE = "selftest.json"
SCHEMA_VERSION = "1.0"
Outcome = Literal["yes", "no", "error"]


class Limits(Part):
    """What intervals are held to."""

    min_power: float
    max_false_alarms: float


class ControlResult(ControlFacts):
    """One control with the outcome of each repetition: did the audit speak?"""

    options: dict[str, Any] = Field(default_factory=dict, description="of the audit, where they are not its defaults")
    sick: list[Outcome] = Field(default_factory=list)
    healthy: list[Outcome] = Field(default_factory=list)
    seconds: float = 0.0

    def judged(self, limits: Limits) -> ControlResult:
        """The same outcomes with their shares."""
        if not self.sick and not self.healthy:
            return self
        return self.model_copy(
            update={
                "power": _share(self.sick, "higher", limits.min_power),
                "false_alarms": _share(self.healthy, "lower", limits.max_false_alarms),
                "errors": [*self.sick, *self.healthy].count("error"),
            }
        )


class Selftest(Part):
    """`selftest.json`."""

    schema_version: str = SCHEMA_VERSION
    tool: Tool
    environment: Environment
    repetitions: int
    limits: Limits
    interval_method: str = "Clopper-Pearson, 95%, two-sided"
    controls: list[ControlResult] = Field(default_factory=list)
    without_controls: list[str] = Field(default_factory=list)
    broken: dict[str, str] = Field(default_factory=dict, description="audits and controls that do not load, and why")
    complete: bool = False
    started: str
    finished: str | None = None
    seconds: float = 0.0

    @property
    def verdict(self) -> TrialVerdict:
        """Pass when every control that was run passes, and something was run, and all of it."""
        verdicts = {control.verdict for control in self.controls} - {None}
        if "fail" in verdicts or self.broken:
            return "fail"
        return "pass" if verdicts == {"pass"} and self.complete else "inconclusive"

    def facts(self, *, file: str, sha256: str) -> SelftestFacts:
        """What a record says of it."""
        return SelftestFacts(
            version=self.tool.version,
            measured=self.finished or self.started,
            profile=self.environment.profile,
            seed=self.environment.seed,
            complete=self.complete,
            interval_method=self.interval_method,
            controls=[
                ControlFacts(**{name: getattr(control, name) for name in ControlFacts.model_fields})
                for control in self.controls
            ],
            without_controls=self.without_controls,
            file=file,
            sha256=sha256,
        )

    def to_json(self) -> str:
        """The bytes of the file."""
        return self.model_dump_json(indent=2) + "\n"


def _share(outcomes: Sequence[Outcome], better: Literal["lower", "higher"], limit: float) -> TrialShare:
    ended = [outcome == "yes" for outcome in outcomes if outcome != "error"]
    found = proportion(sum(ended), len(ended), method="clopper-pearson")
    verdict = judge(found, better=better, limit=Limit(limit, "selftest"))
    return TrialShare(value=found.value, interval=found.interval, n=len(ended), limit=limit, verdict=verdict.value)
