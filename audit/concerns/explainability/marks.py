"""What an audit of the same checkpoint says of a method: pictures of one that did not beat chance are marked so."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from audit.own_record import own_record
from reports.numbers import number

if TYPE_CHECKING:
    from core_model.checkpoint import Checkpoint
    from reports.record import Metric, Record


NOT_FAITHFUL = " Not faithful on this model: the scores behind this chart do not beat a random order."
"""What the caption of a chart ends with, where that is so."""


@dataclass(frozen=True)
class Mark:
    """What stands on every picture of a method.

    Attributes:
        faithful: whether it beat a random order by its whole interval; None where that was not measured.
        statement: the same in a sentence, with the numbers.
    """

    faithful: bool | None
    statement: str


def mark_from(path: Path, checkpoint: Checkpoint, method: str) -> Mark:
    """What the record at `path` says of a method.

    Raises: as `own_record`.
    """
    return mark_of(own_record(path, checkpoint, only="explainability"), method)


def mark_of(record: Record, method: str) -> Mark:
    """The paired difference of the method against a random order, as the record has it."""
    result = record.audit("explainability")
    line = next((one for one in result.metrics if _is_of(one, method)), None) if result is not None else None
    if line is None or line.value is None or line.interval is None:
        return Mark(None, f"The audit's record does not say whether {method} is faithful on this model.")
    low, high = line.interval
    measured = (
        f"in an audit of {line.n:,} rows, deleting the words that it ranks first cost {_signed(line.value)} more "
        f"{line.unit} than deleting words at random ({line.confidence:.0%} interval {_signed(low)} to {_signed(high)})"
    )
    if low > 0:
        return Mark(True, f"{method} beats a random order on this model: {measured}.")
    return Mark(False, f"Not faithful on this model: {method} is not shown to beat a random order; {measured}.")


def _is_of(line: Metric, method: str) -> bool:
    return line.name == "comprehensiveness_over_random" and line.slice == {"method": method}


def _signed(value: float) -> str:
    return f"{'+' if value > 0 else ''}{number(value, decimals=3)}"
