"""What a record says of the selftest of its tool: are the audits themselves known to find what is wrong?

It was measured before or after the run, on other checkpoints, and stands outside the record's content hash; it carries
the hash of its own file.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from reports.parts import Part

TrialVerdict = Literal["pass", "fail", "inconclusive"]


class TrialShare(Part):
    """A share of repetitions with its interval, held against its limit."""

    value: float | None = Field(description="null where no repetition ended")
    interval: tuple[float, float] | None
    confidence: float = 0.95
    n: int = Field(description="repetitions that ended")
    limit: float
    verdict: TrialVerdict


class ControlFacts(Part):
    """One control: a planted defect, and how often the audit found it and accused its healthy twin."""

    audit: str
    control: str
    defect: str = Field(description="what is planted, in one sentence")
    sign: str = Field(description="what the audit has to say")
    power: TrialShare | None = Field(None, description="share of the sick ones that were found, at least `limit`")
    false_alarms: TrialShare | None = Field(
        None, description="share of healthy ones that were accused, at most `limit`"
    )
    errors: int = Field(0, description="audits that ended in an error; they count as neither")
    reason: str | None = Field(None, description="why it was not run, or the first error")

    @property
    def verdict(self) -> TrialVerdict | None:
        """Pass when both intervals hold their limits and nothing went wrong; None when it was not run."""
        if self.power is None or self.false_alarms is None:
            return None
        verdicts = {self.power.verdict, self.false_alarms.verdict}
        if self.errors or "fail" in verdicts:
            return "fail"
        return "inconclusive" if "inconclusive" in verdicts else "pass"


class SelftestFacts(Part):
    """The selftest that a record cites."""

    version: str = Field(description="of the tool that was tested")
    measured: str = Field(description="when it ended, UTC")
    profile: str
    seed: int
    complete: bool = Field(description="whether every repetition was run")
    interval_method: str
    controls: list[ControlFacts]
    without_controls: list[str] = Field(default_factory=list, description="audits that no control holds to anything")
    file: str
    sha256: str = Field(description="of the file")
