"""What each part of this audit hands on, and the estimate of what was counted whole."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from audit.statistics import Estimate
from reports.record import Figure, Finding, Metric, Mitigation, Severity

CENSUS = "every file counted; no sampling error"
EVERY_NUMBER = "every number of the weights compared; no sampling error"
YES_OR_NO = "1 where yes, 0 where no"
AGAIN = "aboveboard audit CHECKPOINT --data FILE --only shareability"
SIGN = "aboveboard sign audit-out --key key.pem --checkpoint CHECKPOINT"
PACKAGE = "aboveboard package CHECKPOINT --licence LICENCE --out to-share"


@dataclass
class Part:
    """Metrics, findings, figures and notes of one question."""

    metrics: list[Metric] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    forward_passes: int = 0


def counted(value: float, n: int, *, method: str = CENSUS) -> Estimate:
    """What was counted whole; absent where there was nothing to count."""
    return Estimate.counted(value, n, method) if n else Estimate.absent("there is nothing to count")


def finding(
    identity: str,
    severity: Severity,
    statement: str,
    *,
    metrics: Sequence[str],
    command: str,
    why: str,
    examples: Iterable[dict[str, str | int | float | bool | None]] = (),
) -> Finding:
    """One of this audit's findings; the engine keeps as many examples as a reader reads."""
    rows = list(examples)
    return Finding(
        id=f"shareability-{identity}", severity=severity, statement=statement, metrics=list(metrics),
        mitigation=Mitigation(command=command, why=why), examples=rows, examples_total=len(rows) or None,
    )  # fmt: skip


def with_own_licence(found: Finding, licence: str | None) -> Finding:
    """The finding; its command names no licence where the checkpoint does, which `package` would hold against it."""
    if licence is None or licence.startswith("see ") or found.mitigation is None:
        return found
    command = found.mitigation.command.replace(" --licence LICENCE", "")
    return found.model_copy(update={"mitigation": found.mitigation.model_copy(update={"command": command})})


def some(names: Sequence[str], most: int = 3) -> str:
    """A few names, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def plural(count: int, one: str, many: str | None = None) -> str:
    """`1 file`, `2 files`."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"
