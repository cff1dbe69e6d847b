"""Secrets, personal data and traces of people and machines in the text files; where and of what kind, never what."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.util import find_spec

from audit.concerns.shareability.part import AGAIN, PACKAGE, Part, counted, finding, plural, some
from audit.evidence import Limit, metric
from audit.statistics import Estimate
from core_model.packaging import RECORDS
from core_model.secret_scan import INSTALL, find_secrets
from core_model.sharing.traces import Trace, is_text, lines_of, too_large, traces_in
from core_model.supply_chain.folder import Entry
from reports.errors import LibraryMissing
from reports.personal_data import Detector, presidio
from reports.record import Finding, Metric, Severity

STRING = re.compile(r'"((?:[^"\\]|\\.)*)"')
TELLING = re.compile(r"@|\d|[0-9A-Fa-f]{2}[:-][0-9A-Fa-f]{2}[:-]")  # without, no pattern fits
HASH = re.compile(r"[0-9a-fA-F]{32,128}")


@dataclass(frozen=True)
class _Kind:
    """How one kind of finding is counted and told."""

    name: str
    identity: str
    severity: Severity
    one: str
    many: str
    definition: str
    why: str


SECRETS = _Kind(
    "secrets_in_files", "secrets", Severity.HIGH, "secret", "secrets",
    "Keys, tokens and passwords in the folder's text files, by their shapes and the words before them.",
    "take it out, and make it void, for it may be known already; then look again",
)  # fmt: skip
PERSONAL = _Kind(
    "personal_data_in_files", "personal-data", Severity.MEDIUM, "piece of personal data", "pieces of personal data",
    "E-mail addresses, telephone and account numbers and the like in the folder's text files, by their patterns; names "
    "have none and are not found.",
    "take out what nobody agreed to publish, then look again; `aboveboard package` takes addresses out of records",
)  # fmt: skip
MACHINE = _Kind(
    "machine_traces", "machine-traces", Severity.LOW, "trace of people and machines", "traces of people and machines",
    "Lines of text files, and headers of weights, that name home folders, other paths of a machine, git remotes or "
    "runs of an experiment tracker.",
    "package takes paths out of the records; edit the other files where the examples say, then look again",
)  # fmt: skip


def traces_part(files: list[Entry], limit: Limit, *, personal_data: bool) -> Part:
    """Counts over every text file, vocabularies aside.

    Args:
        limit: for secrets. personal_data: whether to look for it.
    """
    texts = [entry for entry in files if is_text(entry)]
    machine = traces_in(files)
    part = Part()
    _add(part, SECRETS, _secrets(texts), len(texts), None if find_spec("detect_secrets") else
         f"secrets were not looked for: {INSTALL}", limit)  # fmt: skip
    detector, why_not = _detector() if personal_data else (None, "not asked for: --set shareability.personal_data=true")
    _add(part, PERSONAL, _personal(texts, detector), len(texts), why_not)
    _add(part, MACHINE, machine, len(texts), None)
    if detector is not None:
        part.notes.append(f"Personal data was looked for by {detector.name}.")
    if large := too_large(files):
        part.notes.append(f"Too large to be searched: {some(large)}.")
    part.notes.append("Vocabularies are not searched for traces: their tokens look like anything.")
    return part


def _detector() -> tuple[Detector | None, str | None]:
    try:
        return presidio(), None
    except LibraryMissing:
        return None, "personal data was not looked for: pip install 'aboveboard[redaction]'"


def _secrets(texts: list[Entry]) -> list[Trace]:
    if find_spec("detect_secrets") is None:
        return []
    return [Trace(entry.name, found.line, found.kind) for entry in texts for found in find_secrets(entry.path)]


def _personal(texts: list[Entry], detector: Detector | None) -> list[Trace]:
    if detector is None:
        return []
    return [
        Trace(entry.name, number, span.kind)
        for entry in texts
        for number, line in lines_of(entry)
        for text in _readable(entry, line)
        if TELLING.search(text)
        for span in detector.spans(text)
    ]


def _readable(entry: Entry, line: str) -> Iterable[str]:
    """What people may have written in a line: of JSON its strings, for its numbers look like telephones; no hashes."""
    texts = STRING.findall(line) if entry.name.endswith(".json") else [line]
    return [HASH.sub(" ", text) for text in texts]


def _add(
    part: Part, kind: _Kind, found: list[Trace], texts: int, why_not: str | None, limit: Limit | None = None
) -> None:
    """Its metrics, by kind and together, and its finding."""
    part.metrics.append(_line(kind, len(found), texts, why_not, limit=limit))
    by_kind = Counter(trace.kind for trace in found)
    part.metrics += [_line(kind, count, texts, None, of=name) for name, count in sorted(by_kind.items())]
    if found:
        part.findings.append(_finding(kind, found, by_kind))


def _line(
    kind: _Kind, count: int, texts: int, why_not: str | None, *, of: str | None = None, limit: Limit | None = None
) -> Metric:
    return metric(
        kind.name, counted(count, texts) if why_not is None else Estimate.absent(why_not, n=texts), unit="places",
        better="lower", slice={"kind": of} if of else None, limit=limit, definition=kind.definition,
    )  # fmt: skip


def _finding(kind: _Kind, found: list[Trace], by_kind: Counter[str]) -> Finding:
    files = list(dict.fromkeys(trace.file for trace in found))
    in_records = kind is MACHINE and set(files) <= set(RECORDS)
    kinds = ", ".join(f"{name} {count}" for name, count in by_kind.most_common(4))
    return finding(
        kind.identity, kind.severity,
        f"{plural(len(found), kind.one, kind.many)} would be given away ({kinds}), in {some(files)}.",
        metrics=[kind.name], command=PACKAGE if in_records else AGAIN, why=kind.why,
        examples=[{"file": trace.file, "line": trace.line, "kind": trace.kind} for trace in found],
    )  # fmt: skip
