"""Evaluation rows taken out of the training rows by their own content, so that the split needs no seed and never moves.

Rows with the same text (and pair) have the same hash: they stand on one side. Near duplicates may stand on both.
"""

from __future__ import annotations

import hashlib

import numpy as np

from core_model.data import Table
from core_model.errors import DataMissing, OptionUnfit

# With a salt of its own: a table that is itself what another split by hash left over has no low hashes any more.
SALT = b"held out for tuning\x1f"


def hold_out(table: Table, share: float) -> tuple[Table, Table]:
    """Split a table by content hash.

    Args:
        share: of the rows that are held out, in expectation; in (0, 1).
    Returns: the rows to train on, and those held out.
    Raises: OptionUnfit for a share outside (0, 1); DataMissing when a side would be empty.
    """
    if not 0 < share < 1:
        raise OptionUnfit(f"--eval-share {share:g} is no share of the rows", mend="--eval-share 0.1")
    held = np.array([_place(name[:16]) < share for name in table.row_ids], dtype=bool)
    if not held.any() or held.all():
        raise DataMissing(
            f"{table.name} has {table.rows} rows, and --eval-share {share:g} leaves {int(held.sum())} of them to "
            f"evaluate on and {int((~held).sum())} to train on",
            mend="--eval-data FILE, or another --eval-share",
        )
    return table.select(~held), table.select(held)


def _place(name: str) -> float:
    """Where a row's hash lies between 0 and 1."""
    return int.from_bytes(hashlib.sha256(SALT + name.encode()).digest()[:8], "big") / 2**64
