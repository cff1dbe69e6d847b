"""A record that somebody names beside a checkpoint: is it of this very checkpoint?"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from core_model.errors import OptionUnfit
from reports.reading import read_record

if TYPE_CHECKING:
    from core_model.checkpoint import Checkpoint
    from reports.record import Record


def own_record(file: Path, checkpoint: Checkpoint, *, only: str | None = None) -> Record:
    """The record of an audit of this checkpoint.

    Args:
        only: the audit that the record is wanted for.
    Raises: as `reports.reading.read_record`; OptionUnfit when it is of another checkpoint.
    """
    record = read_record(file)
    if record.subject.sha256 != checkpoint.sha256:
        wanted = "" if only is None else f" --only {only}"
        raise OptionUnfit(
            f"{file} is of {record.subject.name} ({record.subject.sha256[:12]}), not of {checkpoint.name} "
            f"({checkpoint.sha256[:12]}): a record of another checkpoint",
            mend=f"aboveboard audit {shlex.quote(checkpoint.location)} --data FILE{wanted}, and its audit.json",
        )
    return record
