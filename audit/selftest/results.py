"""`selftest.json`: how every repetition of every control ended, and what that says of the audits.

The file is written after each repetition, so that an interrupted selftest goes on from there. Each repetition has
random numbers of its own (seed, audit, control, number): the order in which they are run does not matter.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from audit.evidence import Limit, judge
from audit.statistics import proportion
from core_model.errors import DataDamaged, DataMissing, OptionUnfit
from reports.parts import Part
from reports.record import Environment, Tool
from reports.selftest import ControlFacts, SelftestFacts, TrialShare, TrialVerdict

FILE = "selftest.json"
SCHEMA_VERSION = "1.0"
LARGEST_FILE = 20_000_000  # bytes; a selftest of 20 controls has some 20,000
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


def read_selftest(path: Path) -> Selftest:
    """A selftest from its file.

    Raises: DataMissing, DataDamaged (truncated, not JSON, not a selftest), OptionUnfit for one of a later version.
    """
    again = "aboveboard selftest --out DIR writes one"
    if path.is_dir():
        raise DataMissing(f"{path} is a folder", mend=f"--selftest {path / FILE}")
    if not path.is_file():
        raise DataMissing(f"there is no selftest at {path}", mend=again)
    if path.stat().st_size > LARGEST_FILE:
        raise DataDamaged(f"{path} is larger than any selftest ({path.stat().st_size:,} bytes)", mend=again)
    try:
        text = path.read_text(encoding="utf-8")
        document = json.loads(text)
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        raise DataDamaged(f"{path} is not a selftest: it is not JSON ({error})", mend=again) from error
    version = document.get("schema_version") if isinstance(document, dict) else None
    if not isinstance(version, str):
        raise DataDamaged(f"{path} is not a selftest: it has no schema_version", mend=again)
    if version != SCHEMA_VERSION:
        raise OptionUnfit(f"{path} has schema {version[:20]!r}; this version reads {SCHEMA_VERSION}", mend=again)
    try:
        return Selftest.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(step) for step in first["loc"])[:200]
        raise DataDamaged(f"{path} is not a selftest: {place}: {first['msg']}", mend=again) from error
