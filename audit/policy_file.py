"""What a policy file may hold, as TOML or YAML, and what is said of one that holds something else."""

from __future__ import annotations

import tomllib
from datetime import date
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from core_model.errors import OptionUnfit
from reports.plain_yaml import PlainYamlError, read_yaml
from reports.record import Metric

LIMIT_EXAMPLE = '[[limits]] with metric = "equalized_odds_difference" and limit = 0.1'


class PolicyLimit(BaseModel):
    """One limit of a policy."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    metric: str
    limit: float
    slice: dict[str, str] = Field(default_factory=dict)
    audit: str | None = None
    better: Literal["lower", "higher"] | None = Field(
        None, description="for a number that has no better direction of its own, such as a rate"
    )
    why: str = ""

    def applies(self, audit_id: str, metric: Metric) -> bool:
        """Whether this limit is about that metric."""
        return (
            metric.name == self.metric
            and self.audit in (None, audit_id)
            and all(metric.slice.get(key) == value for key, value in self.slice.items())
            and (metric.better != "none" or self.better is not None)
        )


class PolicyWaiver(BaseModel):
    """A person lets a limit, or a whole audit, go by for a while."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)

    metric: str | None = None
    slice: dict[str, str] = Field(default_factory=dict)
    audit: str | None = None
    person: str = Field(min_length=1)
    role: str | None = None
    reason: str = Field(min_length=1)
    expires: date

    @model_validator(mode="after")
    def _about_something(self) -> PolicyWaiver:
        if self.metric is None and self.audit is None:
            raise ValueError("a waiver names a metric or an audit")
        return self

    def covers(self, audit_id: str, metric: Metric) -> bool:
        """Whether it lets this metric go by; one that names an audit alone covers what was not measured, no number."""
        return (
            metric.name == self.metric
            and self.audit in (None, audit_id)
            and all(metric.slice.get(key) == value for key, value in self.slice.items())
        )


class Required(BaseModel):
    """What must have been measured."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    audits: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()


class MostFindings(BaseModel):
    """How many findings of each severity are let through; None is any number."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    high: int | None = Field(None, ge=0)
    medium: int | None = Field(None, ge=0)
    low: int | None = Field(None, ge=0)


class PolicyFile(BaseModel):
    """What a policy file may hold."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = ""
    about: str = ""
    dated: str | None = Field(None, description="day from which these limits stand, as the file says")
    limits: tuple[PolicyLimit, ...] = ()
    required: Required = Required()
    findings: MostFindings = MostFindings()
    waivers: tuple[PolicyWaiver, ...] = ()

    @field_validator("dated", mode="before")
    @classmethod
    def _as_text(cls, value: object) -> object:
        return value.isoformat() if isinstance(value, date) else value


def parse_policy(content: bytes, *, where: str, yaml: bool) -> PolicyFile:
    """A policy from its file's bytes.

    Args:
        where: the file, for the letters.
        yaml: whether it is YAML; else it is TOML.
    Raises: OptionUnfit with the line that is broken, or the field that does not fit.
    """
    kind = "YAML" if yaml else "TOML"
    try:
        text = content.decode("utf-8")
        document: Any = read_yaml(text) if yaml else tomllib.loads(text)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, PlainYamlError) as error:
        raise OptionUnfit(f"the policy {where} is not {kind}: {error}", mend="correct that line of the file") from error
    if not isinstance(document, dict):
        raise OptionUnfit(f"the policy {where} holds no keys", mend=LIMIT_EXAMPLE)
    try:
        return PolicyFile(**document)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        mend = LIMIT_EXAMPLE
        if "waivers" in place:
            mend = '[[waivers]] with metric = "...", person = "...", reason = "...", expires = 2027-01-31'
        elif first["type"] == "extra_forbidden" and len(first["loc"]) == 1:
            mend = f"one of {', '.join(PolicyFile.model_fields)}"
        message = str(first["msg"]).removeprefix("Value error, ")
        raise OptionUnfit(f"the policy {where}: {place}: {message}", mend=mend) from error


def is_yaml(path: Path) -> bool:
    """Whether a file's name says that it is YAML."""
    return path.suffix.lower() in (".yaml", ".yml")
