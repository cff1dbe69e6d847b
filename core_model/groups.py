"""The column of groups that a mitigation balances: each training row's group, by number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from core_model.errors import ColumnMissing, OptionUnfit

if TYPE_CHECKING:
    from core_model.data import Table


@dataclass(frozen=True, eq=False)
class Groups:
    """Who each row speaks of.

    Attributes:
        column: as the data call it.
        names: (groups,) the values of the column, sorted; "(missing)" is one of them where rows have none.
        codes: (rows,) int64, which of `names` each row has.
    """

    column: str
    names: tuple[str, ...]
    codes: np.ndarray


def groups_of(tables: Sequence[Table], column: str, *, option: str) -> Groups:
    """The groups of all rows of several tables.

    Args:
        option: which option names the column, for letters.
    Raises: OptionUnfit when the column is the label or has one value; ColumnMissing when it was not opened.
    """
    data, flag = tables[0], "--" + option.replace("_", "-")
    if column == data.label_column:
        raise OptionUnfit(
            f"{option} = {column!r} is the label column of {data.name}: a label cannot be made independent of itself",
            mend=f"{flag} with a column of groups",
        )
    if column not in data.groups:
        has = ", ".join(map(repr, data.group_columns)) or "none"
        raise ColumnMissing(
            f"{data.name} was opened without the group column {column!r} (asked for by {option}). It has: {has}",
            mend=f"open_table(..., group_columns=[{column!r}])",
        )
    names, codes = np.unique(np.concatenate([table.groups[column] for table in tables]), return_inverse=True)
    if len(names) < 2:
        raise OptionUnfit(
            f"{option}: column {column!r} of {data.name} has one value, {names[0]!r}: there is nothing to balance",
            mend=f"{flag} with a column of two groups or more, or leave it out",
        )
    return Groups(column, tuple(map(str, names)), codes.astype(np.int64))
