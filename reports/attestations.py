"""Attestations: what people said of a checkpoint, in a YAML file of their own, held against the record it is about.

    schema: aboveboard/attestations/1
    checkpoint: {name: loan-triage, sha256: 9f2c...}
    answers:
      - question: eu-ai-act/art-14.4/stop      # an id of a framework's question, or words of your own
        answer: "yes"                          # yes, no, partly, not applicable, unknown
        statement: The button was tried in staging.
        name: M. Kaya
        role: Product owner
        date: 2026-11-20
        evidence:
          - {file: evidence/override-test.pdf, sha256: b71e...}

Answers are added at the end, and the last one to a question counts: the file keeps who said what before. An answer to
another checkpoint is refused; one that is older than the checkpoint, has run out, or whose evidence changed is marked
as stale, and stays.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from reports.errors import AttestationsUnfit
from reports.parts import Attestation, EvidenceFile, People
from reports.plain_yaml import PlainYamlError, read_yaml
from reports.record import Record
from reports.text import terminal_text

SCHEMA = "aboveboard/attestations/1"
_EXAMPLE = "question, answer, name and date; see docs/attestations.md"


class About(BaseModel):
    """Which checkpoint the answers are about."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = ""
    sha256: str


class AttestationsFile(BaseModel):
    """What the file may hold."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_: str = Field(alias="schema")
    checkpoint: About
    answers: list[Attestation] = Field(default_factory=list)


def read_attestations(path: Path, record: Record) -> People:
    """The answers of a file, each with the reasons for which it may no longer hold.

    Raises: AttestationsUnfit when the file is missing, is not YAML, has a key or value that does not fit, or was
        written for another checkpoint.
    """
    try:
        content = path.read_bytes()
        text = content.decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise AttestationsUnfit(
            f"the attestations {path} cannot be read as text: {error}",
            mend="aboveboard attest --from audit.json writes them",
        ) from error
    found = parse_attestations(text, where=str(path))
    if found.checkpoint.sha256 != record.subject.sha256:
        raise AttestationsUnfit(
            f"the attestations {path} are for another checkpoint: theirs has sha256 "
            f"{terminal_text(found.checkpoint.sha256[:12])}, the record's {record.subject.sha256[:12]}",
            mend="aboveboard attest --from audit.json --carry-over; answers given before then count as stale",
        )
    answers = [
        answer.model_copy(update={"stale": _stale(answer, record, folder=path.parent)}) for answer in found.answers
    ]
    return People(
        attestations=answers,
        attestations_file=path.name,
        attestations_sha256=hashlib.sha256(content).hexdigest(),
    )


def parse_attestations(text: str, *, where: str) -> AttestationsFile:
    """The file's content.

    Raises: AttestationsUnfit.
    """
    try:
        document = read_yaml(text)
        found = AttestationsFile(**document)
    except PlainYamlError as error:
        raise AttestationsUnfit(f"the attestations {where} are not YAML: {error}", mend="correct that line") from error
    except TypeError as error:
        raise AttestationsUnfit(f"the attestations {where} hold no keys", mend=_EXAMPLE) from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        mend = 'answer: "yes", in quotes' if isinstance(first["input"], bool) else _EXAMPLE
        raise AttestationsUnfit(f"the attestations {where}: {place}: {first['msg']}", mend=mend) from error
    if found.schema_ != SCHEMA:
        raise AttestationsUnfit(
            f"the attestations {where} have the schema {terminal_text(found.schema_, longest=80)}; this reads {SCHEMA}",
            mend=f"schema: {SCHEMA}",
        )
    for number, answer in enumerate(found.answers):
        _refuse_no_day(answer, where=f"{where}: answers.{number}")
    return found


def header(record: Record) -> str:
    """The beginning of a new file, to which answers are added."""
    about = {"schema": SCHEMA, "checkpoint": {"name": record.subject.name, "sha256": record.subject.sha256}}
    return (
        "# What people attest of a checkpoint. Answers are added at the end; the last one to a question counts.\n"
        + yaml.safe_dump(about, sort_keys=False, allow_unicode=True)
        + "answers:\n"
    )


def with_answer(text: str, answer: Attestation, *, where: str) -> str:
    """The file's text with one more answer; whatever stood there, comments too, stays as it is.

    Raises: AttestationsUnfit when something stands behind the answers, so that none can be added at the end.
    """
    _refuse_no_day(answer, where=f"{where}: {answer.question}")
    before = parse_attestations(_closed(text), where=where)
    said = {key: value for key, value in answer.model_dump(exclude={"stale"}).items() if value not in (None, [], {})}
    said["evidence"] = [{k: v for k, v in file.items() if v} for file in said.get("evidence", [])]
    if not said["evidence"]:
        said.pop("evidence")
    entry = yaml.dump([said], Dumper=_Quoting, sort_keys=False, allow_unicode=True, width=100)
    opened = text.removesuffix("answers: []\n") + "answers:\n" if text.endswith("answers: []\n") else text
    after = (opened if opened.endswith("\n") else opened + "\n") + entry
    try:
        fits = parse_attestations(after, where=where).answers == [*before.answers, answer]
    except AttestationsUnfit:
        fits = False
    if not fits:
        raise AttestationsUnfit(
            f"the attestations {where} cannot be added to: something stands behind `answers`",
            mend="make `answers` the last key, one answer a dash, without indentation",
        )
    return after


def carried_over(text: str, record: Record, *, where: str) -> str:
    """The file's text for another checkpoint; each answer keeps the name of the one it was given for."""
    found = parse_attestations(text, where=where)
    old = found.checkpoint.sha256
    return text.replace(old, record.subject.sha256, 1)


def file_hash(path: Path) -> str:
    """SHA-256 of an evidence file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def evidence_of(path: Path, *, beside: Path) -> EvidenceFile:
    """An evidence file as an answer names it: relative to the attestations, with its hash.

    Raises: AttestationsUnfit when it cannot be read.
    """
    try:
        digest = file_hash(path)
    except OSError as error:
        raise AttestationsUnfit(
            f"the evidence {path} cannot be read: {error.strerror}", mend="check --evidence"
        ) from error
    here, there = path.resolve(), beside.resolve()
    name = here.relative_to(there).as_posix() if here.is_relative_to(there) else path.name
    return EvidenceFile(file=name, sha256=digest)


def _closed(text: str) -> str:
    """A file that ends in `answers:` has none yet."""
    return text.rstrip("\n") + " []\n" if text.rstrip("\n").endswith("\nanswers:") else text


def _stale(answer: Attestation, record: Record, *, folder: Path) -> list[str]:
    """Why an answer may no longer hold."""
    why = []
    made = record.subject.made
    if made is not None and answer.date < made[:10]:
        why.append(f"given on {answer.date}, before this copy of the weights was written ({made[:10]})")
    if answer.checkpoint is not None and answer.checkpoint != record.subject.sha256:
        why.append(f"given for another checkpoint (sha256 {answer.checkpoint[:12]})")
    if answer.valid_until is not None and answer.valid_until < record.run.started[:10]:
        why.append(f"valid until {answer.valid_until}, before the run of {record.run.started[:10]}")
    for file in answer.evidence:
        path = folder / file.file
        if "://" in file.file or file.sha256 is None:
            continue
        if not path.is_file():
            why.append(f"its evidence {file.file} is not there")
        elif file_hash(path) != file.sha256:
            why.append(f"its evidence {file.file} has changed")
    return why


def _refuse_no_day(answer: Attestation, *, where: str) -> None:
    for key in ("date", "valid_until"):
        day = getattr(answer, key)
        if day is not None and not _is_day(day):
            raise AttestationsUnfit(
                f"the attestations {where}: {key} is {terminal_text(day, longest=40)!r}, not a day",
                mend=f"{key}: 2026-11-20",
            )


def _is_day(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


class _Quoting(yaml.SafeDumper):
    """Quotes what YAML 1.1 would take for something else: yes, no, dates."""


def _represent(dumper: yaml.SafeDumper, text: str) -> Any:
    plain = text.replace("_", "").isalpha() and text.lower() not in ("yes", "no", "on", "off", "true", "false", "null")
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if plain else '"')


_Quoting.add_representer(str, _represent)


def answers_by_question(people: People | None) -> Mapping[str, list[Attestation]]:
    """The answers of each question, in the order in which they were given."""
    found: dict[str, list[Attestation]] = {}
    for answer in (people.attestations if people else None) or []:
        found.setdefault(answer.question, []).append(answer)
    return found
