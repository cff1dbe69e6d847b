"""What can go wrong, as one tree. Each error is a short letter: what was found, where, and what to type next.

AboveboardError            everything raised on purpose; `exit_code` is what the command line answers with
├── BadInput (2)           the user's input does not fit
│   ├── CheckpointMissing, CheckpointDamaged, CheckpointUnsafe, TokenizerUnfit, TaskUnfit
│   ├── DataMissing, DataDamaged, ColumnMissing, LabelsUnfit
│   ├── OptionUnfit        a flag, an option or a configuration file
│   └── OutputUnwritable   a folder that cannot be written, a full disk
└── BrokenPlugin (3)       an audit that does not keep its own contract
"""

from __future__ import annotations


class AboveboardError(Exception):
    """An error whose text is written for the person who reads it.

    Args:
        found: what was found and where, naming the file and the field.
        mend: what to type or change next.
    """

    exit_code = 3

    def __init__(self, found: str, *, mend: str) -> None:
        self.found = found
        self.mend = mend
        super().__init__(found, mend)

    def __str__(self) -> str:
        return f"{type(self).__name__}: {self.found}\n  Try: {self.mend}"


class BadInput(AboveboardError):
    """The user's input does not fit; the command line answers with exit code 2."""

    exit_code = 2


class CheckpointMissing(BadInput):
    """There is no checkpoint at this place."""


class CheckpointDamaged(BadInput):
    """A file of the checkpoint is truncated or does not fit the others; `offset` is the byte where, if it is known."""

    def __init__(self, found: str, *, mend: str, offset: int | None = None) -> None:
        super().__init__(found, mend=mend)
        self.offset = offset


class CheckpointUnsafe(BadInput):
    """Opening the checkpoint would run code that came with it."""


class TokenizerUnfit(BadInput):
    """The tokenizer is missing or belongs to another model."""


class TaskUnfit(BadInput):
    """The checkpoint's head cannot do what was asked."""


class DataMissing(BadInput):
    """There is no data at this place, or no row in it."""


class DataDamaged(BadInput):
    """A data file cannot be read as what it claims to be."""


class ColumnMissing(BadInput):
    """A named column is not in the data."""


class LabelsUnfit(BadInput):
    """The labels of the data do not fit the model or the measurement."""


class OptionUnfit(BadInput):
    """A flag, an option or a configuration file holds what it cannot hold."""


class OutputUnwritable(BadInput):
    """The output folder cannot be written, or the disk is full."""


class BrokenPlugin(AboveboardError):
    """An audit plug-in that does not keep the plug-in contract."""
