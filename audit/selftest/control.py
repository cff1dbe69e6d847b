"""A control: one defect that is planted on purpose, its healthy twin, and what the audit has to say of the two.

What is true is known by construction, never from another audit: the defect is written into the weights, the rows or the
files. The twin is made by the same lines from the same random numbers, without the defect.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from audit.plugin import Evidence
from core_model.errors import BrokenPlugin
from reports.record import Verdict

if TYPE_CHECKING:
    from audit.subject import Subject


@dataclass(frozen=True)
class Sign:
    """What an audit says when it finds a defect: a finding, or a number that breaks its limit.

    Attributes:
        finding: the id of the finding, or how it begins.
        metric: the name of the metric whose limit must be broken, in any slice.
        accusation: how the ids of findings begin that would be false of the healthy twin; unset: the sign itself.
    """

    finding: str | None = None
    metric: str | None = None
    accusation: str | None = None

    def __post_init__(self) -> None:
        """Raises: BrokenPlugin when it is not exactly one of the two."""
        if (self.finding is None) == (self.metric is None):
            raise BrokenPlugin(
                f"a sign is a finding or a metric, and this is {self!r}",
                mend='Sign(finding="ID") or Sign(metric="NAME")',
            )

    @property
    def words(self) -> str:
        """In a few words, for the table."""
        return f"finding {self.finding}" if self.finding is not None else f"limit of {self.metric} broken"

    def found_in(self, evidence: Evidence) -> bool:
        """Whether the audit found the defect."""
        return self._speaks(evidence, self.finding)

    def accused_in(self, evidence: Evidence) -> bool:
        """Whether the audit accused the healthy twin."""
        return self._speaks(evidence, self.accusation or self.finding)

    def _speaks(self, evidence: Evidence, finding: str | None) -> bool:
        if finding is not None:
            return any(found.id.startswith(finding) for found in evidence.findings)
        return any(line.name == self.metric and line.verdict is Verdict.FAIL for line in evidence.metrics)


@dataclass(frozen=True)
class Case:
    """One subject to audit.

    Attributes:
        subject: what is audited.
        options: of the audit, where they follow from how the subject was made.
    """

    subject: Subject
    options: Mapping[str, object] = field(default_factory=dict)


Make = Callable[[bool, np.random.Generator, Path], Case]


@dataclass(frozen=True)
class Control:
    """One way in which a subject can be sick.

    Attributes:
        name: in a few words with hyphens; unique within an audit.
        defect: one sentence that says what is planted.
        sign: what must speak.
        make: from (sick, random, folder) one case. The folder is empty and goes when the case is done; for the twins of
            one repetition the random numbers are the same.
        options: of the audit; what is not under test may be made small.
        packages: modules that must be installed, or the control is not run.
        extra: the extra of this suite that installs them.
    """

    name: str
    defect: str
    sign: Sign
    make: Make
    options: Mapping[str, object] = field(default_factory=dict)
    packages: tuple[str, ...] = ()
    extra: str = ""
