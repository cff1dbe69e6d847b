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
    Raises: as `reports.reading.read_record`; OptionUnfit when it is of another checkpoint, or of a wrapper around it.
    """
    record = read_record(file)
    wanted = "" if only is None else f" --only {only}"
    mend = f"aboveboard audit {shlex.quote(checkpoint.location)} --data FILE{wanted}, and its audit.json"
    if record.subject.sha256 != checkpoint.sha256:
        raise OptionUnfit(
            f"{file} is of {record.subject.name} ({record.subject.sha256[:12]}), not of {checkpoint.name} "
            f"({checkpoint.sha256[:12]}): a record of another checkpoint",
            mend=mend,
        )
    if record.subject.smoothing is not None:
        raise OptionUnfit(
            f"{file} is of the smoothed classifier around {checkpoint.name}: its numbers are not the checkpoint's own",
            mend=f"without --smoothing-keep: {mend}",
        )
    return record
