"""Is a report what it says? Its hashes are computed again, and a seeded sample of its numbers is measured again.

The record inside the report carries the hash of its own content, the evidence file's, the checkpoint's and the data's.
Where checkpoint and data are at hand, the audits that own the sampled numbers run again with the recorded options and
seed and an empty cache; a number agrees when value and interval are within `TOLERANCE` (another machine's arithmetic
differs in the last digits).
"""

from __future__ import annotations

import hashlib
import math
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from core_model.errors import BadInput
from core_model.tasks import Task
from reports.reading import hash_matches, read_record
from reports.record import Metric, Record, Status

if TYPE_CHECKING:
    from audit.session import Session

TOLERANCE = 1e-4

Outcome = Literal["agrees", "differs", "not checked"]


@dataclass(frozen=True)
class Line:
    """One thing that was checked, and how it came out."""

    what: str
    outcome: Outcome
    detail: str


def verify(
    report: Path,
    *,
    checkpoint: str | None = None,
    data: str | None = None,
    train_data: str | None = None,
    sample: int = 10,
    seed: int = 0,
) -> Iterator[Line]:
    """Check a report (or an audit.json).

    Args:
        report: the file.
        checkpoint, data, train_data: where they are now; by default where the record says they were.
        sample: how many numbers are measured again; 0 for none.
        seed: which numbers.
    Raises: BadInput or a ReportError when the file cannot be read at all.
    """
    record = read_record(report)
    yield _content(record)
    yield _evidence(record, report.parent)
    if not record.complete:
        yield Line("completeness", "differs", "the run was interrupted: some audits were never reached")
    checkpoint = checkpoint or record.subject.location
    data = data or record.data.location
    train_data = train_data or (record.training_data.location if record.training_data else None)
    session, lines = _open(record, checkpoint, data, train_data)
    yield from lines
    if sample <= 0:
        return
    if session is None:
        yield Line("numbers", "not checked", "checkpoint or data are not at hand; give --checkpoint and --data")
        return
    yield from _numbers(record, session, sample=sample, seed=seed)


def _content(record: Record) -> Line:
    if record.content_sha256 is None:
        return Line("content hash", "not checked", "the record carries none")
    if hash_matches(record):
        return Line("content hash", "agrees", record.content_sha256)
    return Line(
        "content hash", "differs", f"the record says {record.content_sha256}; its content hashes to another value"
    )


def _evidence(record: Record, folder: Path) -> Line:
    if record.evidence is None:
        return Line("evidence rows", "not checked", "the record names no evidence file")
    path = folder / record.evidence.file
    if path.name != record.evidence.file or not path.is_file():
        return Line("evidence rows", "not checked", f"{record.evidence.file} does not stand beside the report")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest == record.evidence.sha256:
        return Line("evidence rows", "agrees", f"{record.evidence.file}, {record.evidence.rows:,} rows")
    return Line(
        "evidence rows", "differs", f"{record.evidence.file} hashes to {digest[:16]}, not {record.evidence.sha256[:16]}"
    )


def _open(
    record: Record, checkpoint: str | None, data: str | None, train_data: str | None
) -> tuple[Session | None, list[Line]]:
    """The subject as it is now, prepared for the audits of the record, with what its hashes say."""
    from audit.configuration import Configuration
    from audit.session import prepare

    if checkpoint is None or data is None:
        return None, [Line("checkpoint and data", "not checked", "the record does not say where they are")]
    configuration = Configuration(
        data=data,
        train_data=train_data,
        text_column=record.data.text_column,
        pair_column=record.data.pair_column,
        reference_column=record.data.reference_column,
        label_column=record.data.label_column,
        task=Task(record.subject.task),
        **(record.generation.model_dump() if record.generation else {}),
        **_smoothing(record),
        group_columns=tuple(record.data.group_columns),
        only=tuple(a.id for a in record.audits if a.status is Status.MEASURED),
        profile=record.environment.profile,
        seed=record.environment.seed,
        threads=record.environment.threads,
        audits={a.id: a.options for a in record.audits if a.status is Status.MEASURED},
        out=tempfile.mkdtemp(prefix="aboveboard-verify-"),
    )
    try:
        session = prepare(checkpoint, configuration, cached=False)
    except BadInput as error:
        return None, [Line("checkpoint and data", "not checked", error.found)]
    now = session.frame()
    pairs = [
        ("checkpoint", record.subject.sha256, now.subject.sha256),
        ("data", record.data.sha256, now.data.sha256),
    ]
    if record.training_data is not None and now.training_data is not None:
        pairs.append(("training data", record.training_data.sha256, now.training_data.sha256))
    return session, [
        Line(what, "agrees", then) if then == here else Line(what, "differs", f"hashes to {here[:16]}, not {then[:16]}")
        for what, then, here in pairs
    ]


def _smoothing(record: Record) -> dict[str, Any]:
    """The wrapper that was audited, as a run is asked for it; nothing where it was the checkpoint itself."""
    facts = record.subject.smoothing
    return {} if facts is None else {f"smoothing_{name}": value for name, value in facts.model_dump().items()}


def _numbers(record: Record, session: Session, *, sample: int, seed: int) -> Iterator[Line]:
    """Measure a seeded sample of the record's numbers again."""
    from audit.engine import Engine

    numbers = [
        (a.id, m) for a in record.audits if a.status is Status.MEASURED for m in a.metrics
        if m.value is not None and not m.volatile
    ]  # fmt: skip
    if not numbers:
        yield Line("numbers", "not checked", "the record holds none that can be measured again")
        return
    random = np.random.default_rng(seed)
    chosen = [numbers[i] for i in sorted(random.choice(len(numbers), size=min(sample, len(numbers)), replace=False))]
    registry = session.registry.only(sorted({audit_id for audit_id, _ in chosen}))
    engine = Engine(registry=registry, options=session.options, seed=record.environment.seed)
    again = engine.run(session.subject, session.frame())
    for audit_id, then in chosen:
        result = again.audit(audit_id)
        now = next((m for m in result.metrics if m.key == then.key), None) if result else None
        yield _agreement(audit_id, then, now)


def _with_interval(numbers: list[float]) -> str:
    value, *interval = (f"{number:.6g}" for number in numbers)
    return f"{value} [{', '.join(interval)}]" if interval else value


def _agreement(audit_id: str, then: Metric, now: Metric | None) -> Line:
    what = f"{audit_id}: {then.key}"
    if now is None or now.value is None:
        return Line(what, "differs", "could not be measured again")
    before, after = [then.value, *(then.interval or ())], [now.value, *(now.interval or ())]
    same = len(before) == len(after) and all(
        b is not None and math.isclose(a, b, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
        for a, b in zip(after, before, strict=True)
    )
    words = f"{_with_interval(before)} in the record, {_with_interval(after)} now"
    return Line(what, "agrees" if same else "differs", words)
