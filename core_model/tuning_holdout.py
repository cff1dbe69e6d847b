"""Evaluation rows taken out of the training rows by their own content, so that the split needs no seed and never moves.

Rows with the same text (and pair) have the same hash: they stand on one side. Near duplicates may stand on both.
"""

from __future__ import annotations

import numpy as np

from core_model.data import Table
from core_model.errors import DataMissing, OptionUnfit


def hold_out(table: Table, share: float) -> tuple[Table, Table]:
    """Split a table by content hash.

    Args:
        share: of the rows that are held out, in expectation; in (0, 1).
    Returns: the rows to train on, and those held out.
    Raises: OptionUnfit for a share outside (0, 1); DataMissing when a side would be empty.
    """
    if not 0 < share < 1:
        raise OptionUnfit(f"--eval-share {share:g} is no share of the rows", mend="--eval-share 0.1")
    hashes = np.array([int(name[:16], 16) for name in table.row_ids], dtype=np.uint64)
    held = hashes < np.uint64(int(share * 2**64))
    if not held.any() or held.all():
        raise DataMissing(
            f"{table.name} has {table.rows} rows, and --eval-share {share:g} leaves {int(held.sum())} of them to "
            f"evaluate on and {int((~held).sum())} to train on",
            mend="--eval-data FILE, or another --eval-share",
        )
    return table.select(~held), table.select(held)
