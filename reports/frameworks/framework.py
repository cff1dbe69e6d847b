"""A framework as its data file says it: clauses, what they ask, what bears on them, what only a person can attest."""

from __future__ import annotations

import tomllib
from difflib import get_close_matches
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from reports.errors import FrameworkUnfit, FrameworkUnknown
from reports.plain_yaml import PlainYamlError, read_yaml
from reports.text import terminal_text

FactName = Literal[
    "checkpoint", "hashes", "data", "training data", "environment", "run", "policy", "findings", "not measured",
    "definitions", "claims", "comparison", "selftest", "review", "selection", "scoring",
]  # fmt: skip
_ID = r"^[a-z0-9][a-z0-9._-]*$"


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Evidence(_Model):
    """What bears on a clause: numbers of one audit, or a fact of the record."""

    audit: str | None = None
    metrics: tuple[str, ...] = Field((), description="names; without them, whatever has a limit or tells of all rows")
    fact: FactName | None = None
    about: str = ""
    command: str | None = Field(None, description="what gives it, where that is no audit")

    @model_validator(mode="after")
    def _one_of_two(self) -> Evidence:
        if (self.audit is None) == (self.fact is None):
            raise ValueError("evidence names an audit or a fact, and not both")
        return self


class Question(_Model):
    """What only a person can say."""

    id: str = Field(pattern=_ID)
    asks: str


class Clause(_Model):
    """One clause."""

    id: str = Field(pattern=_ID)
    clause: str
    asks: str = Field(description="in our own words")
    checked: str | None = Field(None, description="month in which a published text was read; else it is from memory")
    evidence: tuple[Evidence, ...] = ()
    attest: tuple[Question, ...] = ()


class Framework(_Model):
    """A law, a standard or a framework, with its edition."""

    id: str = Field(pattern=_ID)
    title: str
    edition: str
    status: str
    as_of: str
    source: str = ""
    note: str = ""
    tables: Literal["selection"] | None = None
    clauses: tuple[Clause, ...] = Field(min_length=1)

    @property
    def unchecked(self) -> int:
        """Clauses that were written down from memory."""
        return sum(clause.checked is None for clause in self.clauses)

    def questions(self) -> dict[str, tuple[Clause, Question]]:
        """Each question by its full id: "eu-ai-act/art-14.4/stop"."""
        return {f"{self.id}/{c.id}/{q.id}": (c, q) for c in self.clauses for q in c.attest}


def framework_names() -> list[str]:
    """The frameworks that come along."""
    files = resources.files("reports.frameworks").iterdir()
    return sorted(file.name.removesuffix(".toml") for file in files if file.name.endswith(".toml"))


def read_framework(name: str) -> Framework:
    """A framework by its name, or from a file of one's own (TOML or YAML).

    Raises: FrameworkUnknown with the nearest name; FrameworkUnfit with the place that does not fit.
    """
    known = framework_names()
    if name in known:
        text = resources.files("reports.frameworks").joinpath(f"{name}.toml").read_text(encoding="utf-8")
        return parse_framework(text, where=name)
    path = Path(name)
    if not path.is_file():
        near = get_close_matches(name, known, n=1) or [one for one in known if name.lower() in one]
        raise FrameworkUnknown(
            f"there is no framework {terminal_text(name, longest=80)!r}; there are {', '.join(known)}, or a file",
            mend=f"--framework {near[0] if near else known[0]}",
        )
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise FrameworkUnfit(f"the framework {path} cannot be read as text: {error}", mend="check the file") from error
    return parse_framework(text, where=str(path), yaml=path.suffix.lower() in (".yaml", ".yml"))


def parse_framework(text: str, *, where: str, yaml: bool = False) -> Framework:
    """A framework from its file's text.

    Raises: FrameworkUnfit when it is not TOML or YAML, a key does not fit, or a clause or question stands there twice.
    """
    try:
        document: Any = read_yaml(text) if yaml else tomllib.loads(text)
        framework = Framework(**document)
    except (tomllib.TOMLDecodeError, PlainYamlError) as error:
        kind = "YAML" if yaml else "TOML"
        raise FrameworkUnfit(f"the framework {where} is not {kind}: {error}", mend="correct that line") from error
    except TypeError as error:
        raise FrameworkUnfit(f"the framework {where} holds no keys", mend="id, title, edition, clauses") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        message = str(first["msg"]).removeprefix("Value error, ")
        raise FrameworkUnfit(f"the framework {where}: {place}: {message}", mend="see docs/frameworks.md") from error
    for kind, ids in (
        ("clause", [clause.id for clause in framework.clauses]),
        ("question", [f"{clause.id}/{question.id}" for clause in framework.clauses for question in clause.attest]),
    ):
        twice = sorted({name for name in ids if ids.count(name) > 1})
        if twice:
            raise FrameworkUnfit(
                f"the framework {where} has the {kind} {twice[0]!r} twice",
                mend=f"give each {kind} an id of its own, or remove one",
            )
    return framework
