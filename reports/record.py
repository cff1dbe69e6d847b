"""The record: what an audit run found, as one document that files, tests and readers rely on.

`audit.json` is this model, written with the keys as they stand here. Later versions may add keys; these keep
their names and meanings. What depends on the machine's clock or meter (`run`, `cost`, and the value of a metric
marked `volatile`) stands outside the content hash, so that the same subject, data, options and seed give the
same `content_sha256` (RFC 8785 canonical JSON, SHA-256).
"""

from __future__ import annotations

import hashlib
import math
import shlex
from enum import StrEnum
from typing import Any, Literal

import rfc8785
from pydantic import Field, field_validator, model_validator

from reports.parts import Part, People, PolicyFacts, Scalar, Waiver
from reports.selftest import SelftestFacts

SCHEMA_VERSION = "1.0"

LATER_KEYS: tuple[tuple[str | None, str], ...] = (
    (None, "generation"),
    ("subject", "smoothing"),
    ("redaction", "detector"),
    (None, "redaction"),
    *((part, key) for part in ("data", "training_data") for key in ("pair_column", "reference_column")),
    *(("policy", key) for key in ("file", "limits", "required", "most_findings", "waivers")),
)


class Verdict(StrEnum):
    """What a number says about its limit. What could not be measured has no verdict, and is never a pass."""

    PASS = "pass"  # noqa: S105 - a verdict, not a password
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"
    INFORMATIVE = "informative"


class Status(StrEnum):
    """How an audit ended."""

    MEASURED = "measured"
    NOT_MEASURED = "not_measured"
    ERRORED = "errored"


class Severity(StrEnum):
    """How much a finding matters; the rule that sets it is printed in the report's method section."""

    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


class Metric(Part):
    """One number with its uncertainty.

    `value` is null when the number could not be measured; `reason` then says why. It is never -1, 0 or NaN
    in the place of something absent.
    """

    name: str
    slice: dict[str, str] = Field(default_factory=dict)
    value: float | None
    interval: tuple[float, float] | None = None
    confidence: float = 0.95
    interval_method: str | None = None
    n: int
    unit: str
    better: Literal["lower", "higher", "none"] = "none"
    limit: float | None = None
    limit_source: str | None = None
    verdict: Verdict = Verdict.INFORMATIVE
    reason: str | None = None
    rows_needed: int | None = Field(None, description="rows that would decide an inconclusive verdict, about")
    definition: str | None = Field(None, description="one sentence: what the number is")
    source: str | None = Field(None, description="paper or standard of the method")
    p_value: float | None = Field(
        None, description="one-sided, of the limit being held; the method's, or from the interval's arm"
    )
    p_adjusted: float | None = Field(None, description="the p-value after the run's correction for many limits")
    volatile: bool = Field(False, description="depends on the clock or the meter: outside the content hash")
    waiver: Waiver | None = Field(None, description="who lets it through for now, although its limit does not hold")

    @model_validator(mode="after")
    def _consistent(self) -> Metric:
        if self.value is None and not self.reason:
            raise ValueError(f"{self.name}: a metric without a value must say why (reason)")
        if self.value is not None and self.n < 1:
            raise ValueError(f"{self.name}: a value needs n >= 1")
        if self.interval is not None and self.interval[0] > self.interval[1]:
            raise ValueError(f"{self.name}: interval {self.interval} is upside down")
        if self.verdict in (Verdict.PASS, Verdict.FAIL) and (self.limit is None or self.value is None):
            raise ValueError(f"{self.name}: verdict {self.verdict} needs a value and a limit")
        return self

    @property
    def key(self) -> str:
        """Name and slice in one line; unique within an audit."""
        inside = ", ".join(f"{k}={v}" for k, v in self.slice.items())
        return f"{self.name}[{inside}]" if inside else self.name


class Mitigation(Part):
    """What would mend a finding: a command of this suite, and why it helps."""

    command: str
    why: str


class Finding(Part):
    """One thing that a reader should act on. `metrics` holds keys (`Metric.key`) of the same audit."""

    id: str
    severity: Severity
    statement: str
    metrics: list[str] = Field(default_factory=list)
    mitigation: Mitigation | None = None
    examples: list[dict[str, Scalar]] = Field(default_factory=list)
    examples_total: int | None = Field(None, description="how many rows the examples were taken from")
    examples_worst: int | None = Field(
        None,
        description="so many examples are the worst, worst first; those after them were drawn at random, by the seed",
    )
    volatile: bool = False


class Figure(Part):
    """A chart as its table: the report draws it, and shows the table behind it.

    Kinds, and the columns that they read from `rows`:
      intervals    label, value, low, high [, limit, series, n]   dots with whiskers, one line a label
      reliability  confidence, accuracy, low, high, n             calibration against the diagonal
      lines        x, y [, low, high, series]                     curves with bands
      bars         label, value [, low, high, series]             counts or shares
      heatmap      x, y, value
    """

    id: str
    kind: Literal["intervals", "reliability", "lines", "bars", "heatmap"]
    title: str
    caption: str = Field(description="one sentence that says the result")
    x_label: str = ""
    y_label: str = ""
    scale: Literal["linear", "log"] = Field("linear", description="of both axes of `lines`; log draws what is above 0")
    rows: list[dict[str, Scalar]]
    volatile: bool = False


class Cost(Part):
    """What the audit cost. Outside the content hash."""

    seconds: float = 0.0
    forward_passes: int = 0
    energy_kwh: float | None = None


class AuditResult(Part):
    """All that one audit found, or why it found nothing."""

    id: str
    concern: str
    status: Status
    reason: str | None = None
    supply: str | None = Field(None, description="the flag or action that would make it measurable")
    title: str = ""
    about: str = Field("", description="what is measured, how to read it, how to mend it: the plug-in's own words")
    metrics: list[Metric] = Field(default_factory=list)
    findings: list[Finding] = Field(default_factory=list)
    figures: list[Figure] = Field(default_factory=list)
    notes: list[str] = Field(default_factory=list)
    options: dict[str, Any] = Field(default_factory=dict)
    signature: str = Field("", description="settings that could change the numbers")
    cost: Cost = Field(default_factory=Cost)
    waiver: Waiver | None = Field(None, description="who lets it through for now, although it was not measured")

    @model_validator(mode="after")
    def _explained(self) -> AuditResult:
        if self.status is not Status.MEASURED and not self.reason:
            raise ValueError(f"{self.id}: {self.status} needs a reason")
        keys = [m.key for m in self.metrics]
        twice = sorted({k for k in keys if keys.count(k) > 1})
        if twice:
            raise ValueError(f"{self.id}: metrics named twice: {twice}")
        for finding in self.findings:
            unknown = [k for k in finding.metrics if k not in keys]
            if unknown:
                raise ValueError(f"{self.id}: finding {finding.id} names unknown metrics {unknown}")
        return self


class Tool(Part):
    """Which program wrote the record."""

    name: str = "aboveboard"
    version: str


class SmoothingFacts(Part):
    """The wrapper through which a classifier was asked: votes of many looks at parts of each text (RanMASK)."""

    keep: float = Field(description="share of the words that a look shows")
    looks: int = Field(description="looks that vote for an answer, drawn by the seed and the text")
    mask: str | None = Field(None, description="what stands in the place of a hidden word; null: nothing")


class SubjectFacts(Part):
    """Which checkpoint was audited."""

    name: str
    sha256: str
    task: str
    architecture: str
    parameters: int
    licence: str | None = None
    labels: list[str] = Field(default_factory=list)
    files: dict[str, str] = Field(default_factory=dict, description="sha256 of each hashed file")
    facts: dict[str, Scalar] = Field(default_factory=dict, description="layers, hidden size, vocabulary, ...")
    location: str | None = None
    made: str | None = Field(None, description="when this copy of the weights was written; outside the content hash")
    smoothing: SmoothingFacts | None = Field(
        None, description="the wrapper that was audited around these weights; null: the checkpoint itself"
    )

    @property
    def called(self) -> str:
        """The name, for forms that hold no more than one: with the wrapper, where it was audited."""
        how = self.smoothing
        return self.name if how is None else f"{self.name} (smoothed: {how.looks} looks at {how.keep:.3g} of the words)"


class DataFacts(Part):
    """Which rows it was audited on."""

    name: str
    sha256: str
    rows: int
    text_column: str
    pair_column: str | None = Field(None, description="column of the second text: a context, a hypothesis")
    reference_column: str | None = Field(None, description="column of what the model should write")
    label_column: str | None = None
    group_columns: list[str] = Field(default_factory=list)
    synthetic: bool = Field(False, description="made by a program, not by people")
    sensitive: str | None = Field(None, description="a warning shown before any row is; rows are folded")
    source: str | None = None
    licence: str | None = None
    location: str | None = None
    guessed: dict[str, str] = Field(default_factory=dict, description="columns that were guessed, not named")


class Environment(Part):
    """Where it ran: whatever could move a number."""

    python: str
    platform: str
    packages: dict[str, str] = Field(default_factory=dict)
    hardware: str = ""
    device: str = "cpu"
    threads: int = 1
    dtype: str = "float32"
    seed: int = 0
    profile: str = "standard"


class GenerationFacts(Part):
    """How text was written, where the task is to write."""

    beams: int = Field(1, description="hypotheses kept by beam search; 1 is greedy search")
    max_new_tokens: int | None = Field(None, description="tokens written at most; null: what the checkpoint says")


class Claim(Part):
    """Something that the checkpoint says of itself, with the file that says it."""

    name: str
    value: Scalar
    file: str


class Evidence(Part):
    """The rows behind the numbers: a file beside the record, held to it by its hash."""

    file: str
    sha256: str
    rows: int


class Redaction(Part):
    """That the texts of evidence rows were taken out, and of which record."""

    method: str
    detector: str | None = Field(None, description="what found the personal data that was masked, and what it seeks")
    values: int = Field(description="texts, or pieces of them, that were taken out")
    of_content_sha256: str | None = Field(description="content hash of the record before")


class Multiplicity(Part):
    """How the many limits of one run are kept from failing by chance."""

    method: str
    compared: int
    explanation: str


class Run(Part):
    """When and how it was run. Outside the content hash."""

    started: str
    finished: str | None = None
    command: str | None = None
    seconds: float = 0.0


class Record(Part):
    """`audit.json`."""

    schema_version: str = SCHEMA_VERSION
    tool: Tool
    subject: SubjectFacts
    data: DataFacts
    training_data: DataFacts | None = None
    environment: Environment
    generation: GenerationFacts | None = None
    policy: PolicyFacts | None = None
    claims: list[Claim] = Field(default_factory=list)
    audits: list[AuditResult] = Field(default_factory=list)
    evidence: Evidence | None = None
    redaction: Redaction | None = Field(None, description="where texts of evidence rows were taken out")
    multiplicity: Multiplicity | None = None
    severity_rule: str | None = Field(None, description="how findings get their severity, in one sentence")
    verdict: Literal["pass", "fail", "inconclusive"] = "inconclusive"
    verdict_reason: str = ""
    complete: bool = True
    content_sha256: str | None = None
    run: Run
    people: People | None = Field(None, description="what people said of it later; outside the content hash")
    selftest: SelftestFacts | None = Field(
        None, description="how the audits themselves did on planted defects; outside the content hash"
    )

    @field_validator("audits")
    @classmethod
    def _ids_differ(cls, audits: list[AuditResult]) -> list[AuditResult]:
        ids = [a.id for a in audits]
        if len(set(ids)) != len(ids):
            raise ValueError(f"audits named twice: {sorted({i for i in ids if ids.count(i) > 1})}")
        return audits

    def audit(self, audit_id: str) -> AuditResult | None:
        """The result of one audit, or None when it is not in the record."""
        return next((a for a in self.audits if a.id == audit_id), None)

    def content(self) -> dict[str, Any]:
        """The part of the record that the content hash covers: no clock, no meter, no place on this disk."""
        document = self.model_dump(mode="json")
        for key in ("run", "content_sha256", "people", "selftest"):
            document.pop(key)
        for part in ("subject", "data", "training_data"):
            if document[part]:
                document[part].pop("location")
        document["subject"].pop("made")
        # Keys that came later count only where they say something: records without them keep their hash.
        for place, key in LATER_KEYS:
            within = document if place is None else document[place]
            if within:
                _drop_unsaid(within, key)
        for result in document["audits"]:
            result.pop("cost")
            _drop_unsaid(result, "waiver")
            result["figures"] = [f for f in result["figures"] if not f["volatile"]]
            result["findings"] = [f for f in result["findings"] if not f["volatile"]]
            for figure in result["figures"]:
                _drop_unsaid(figure, "scale", "linear")
            for finding in result["findings"]:
                _drop_unsaid(finding, "examples_worst")
                if finding["mitigation"]:
                    finding["mitigation"]["command"] = self.without_places(finding["mitigation"]["command"])
            for metric in result["metrics"]:
                _drop_unsaid(metric, "waiver")
                if metric["volatile"]:
                    for key in ("value", "interval", "verdict", "rows_needed", "reason", "n", "p_value", "p_adjusted"):
                        metric.pop(key)
        return document

    @property
    def places(self) -> dict[str, str]:
        """What the placeholders of a mend's command stand for in this run: CHECKPOINT, TEST_FILE, TRAIN_FILE."""
        found = {
            "CHECKPOINT": self.subject.location,
            "TEST_FILE": self.data.location,
            "TRAIN_FILE": self.training_data.location if self.training_data else None,
        }
        return {placeholder: shlex.quote(place) for placeholder, place in found.items() if place}

    def with_places(self, command: str) -> str:
        """A mend's command with this run's places in it, ready to copy."""
        for placeholder, place in self.places.items():
            command = f" {command} ".replace(f" {placeholder} ", f" {place} ")[1:-1]
        return command

    def without_places(self, command: str) -> str:
        """The inverse: where the files lay on this disk is no part of what was found."""
        for placeholder, place in self.places.items():
            command = f" {command} ".replace(f" {place} ", f" {placeholder} ")[1:-1]
        return command

    def sealed(self) -> Record:
        """This record with its content hash filled in."""
        digest = hashlib.sha256(rfc8785.dumps(self.content())).hexdigest()
        return self.model_copy(update={"content_sha256": digest})

    def _repr_html_(self) -> str:
        """A short card for a notebook: verdict, findings, numbers. No script, everything escaped."""
        from reports.notebook import card  # it reads records

        return card(self)

    def to_json(self) -> str:
        """The bytes of `audit.json`: two spaces, keys in the order above, one newline at the end."""
        return self.model_dump_json(indent=2) + "\n"


def _drop_unsaid(within: dict[str, Any], key: str, unsaid: object = None) -> None:
    if within[key] == unsaid:
        within.pop(key)


def finite(value: float | None) -> float | None:
    """The value, or None where it is NaN or infinite: a record never holds either."""
    return None if value is None or not math.isfinite(value) else float(value)
