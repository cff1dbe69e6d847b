"""Parts of the record that people write: whose limits were applied, who waived one, and what was said of it later.

A policy and its waivers are known before the run and stand inside the record's content hash. What people attest or
decide afterwards (`People`) stands outside it: it is about the record, and each part carries the hash of its own file.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from reports.language import _, moment

Scalar = str | int | float | bool | None


class Part(BaseModel):
    """Base of every part of the record: frozen, and strict about unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_enum_values=False, allow_inf_nan=False)


class Waiver(Part):
    """A person lets something through for a while, although its limit does not hold. It never becomes a pass."""

    person: str
    role: str | None = None
    reason: str
    expires: str = Field(description="last day on which it counts, YYYY-MM-DD")
    audit: str | None = None
    metric: str | None = None
    slice: dict[str, str] = Field(default_factory=dict)

    @property
    def about(self) -> str:
        """What is waived: "fairness, impact_ratio[sex=f]"."""
        inside = ", ".join(f"{k}={v}" for k, v in self.slice.items())
        metric = f"{self.metric}[{inside}]" if self.metric and inside else self.metric
        return ", ".join(part for part in (self.audit, metric) if part)

    @property
    def words(self) -> str:
        """Who, until when and why, in one line."""
        person = f"{self.person} ({self.role})" if self.role else self.person
        return _(
            "waived by %(person)s until %(date)s: %(reason)s",
            person=person, date=moment(self.expires), reason=self.reason,
        )  # fmt: skip


class LimitFacts(Part):
    """One limit of a policy, whether or not a number of the run was held against it."""

    metric: str
    limit: float
    slice: dict[str, str] = Field(default_factory=dict)
    audit: str | None = None


class PolicyFacts(Part):
    """Whose limits were applied."""

    name: str
    sha256: str | None = None
    modified: str | None = None
    file: str | None = Field(None, description="the file's name, or that of the starter policy")
    limits: list[LimitFacts] | None = None
    required: list[str] | None = Field(None, description="audits and metrics that must have been measured")
    most_findings: dict[str, int] | None = Field(None, description="findings of a severity that it lets through")
    waivers: list[Waiver] | None = None


class Attestation(Part):
    """What a person said in answer to a question that no measurement answers."""

    question: str = Field(description="a question's id (eu-ai-act/art-14.4/stop), or words of its own")
    asked: str | None = Field(None, description="the question's words when it was answered")
    answer: Literal["yes", "no", "partly", "not applicable", "unknown"]
    statement: str | None = None
    name: str
    role: str | None = None
    independence: Literal["developer", "same organisation", "external"] | None = None
    date: str
    valid_until: str | None = None
    evidence: list[EvidenceFile] = Field(default_factory=list)
    left_out: dict[str, list[str]] = Field(
        default_factory=dict, description="categories that the person decided to leave out, by group column"
    )
    checkpoint: str | None = Field(None, description="sha256 of the checkpoint that it was given for")
    stale: list[str] = Field(default_factory=list, description="why it may no longer hold; empty when nothing says so")


class EvidenceFile(Part):
    """A file that an attestation points to."""

    file: str
    sha256: str | None = None
    note: str | None = None


class ReviewFile(Part):
    """A review queue as it came back."""

    file: str
    sha256: str
    decisions: int


class Review(Part):
    """What people decided on rows of the review queue, counted."""

    files: list[ReviewFile]
    rows: int = Field(description="rows with at least one decision")
    rows_queued: int
    reviewers: list[str]
    decisions: dict[str, int]
    confirms_label: int = Field(description="decisions that are the row's label in the data")
    confirms_model: int = Field(description="decisions that are what the model said")
    rows_by_several: int
    alpha: float | None = Field(description="Krippendorff's alpha, nominal")
    interval: tuple[float, float] | None = None
    interval_method: str | None = None
    reason: str | None = Field(None, description="why alpha or its interval is absent")


class People(Part):
    """What people said of this record after the run. Outside the content hash."""

    attestations: list[Attestation] | None = None
    attestations_file: str | None = None
    attestations_sha256: str | None = None
    review: Review | None = None
