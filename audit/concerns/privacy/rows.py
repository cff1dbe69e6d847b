"""Who is on trial: training rows drawn by lot, as many as there are held-out rows, and rows that stand in both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from core_model.duplicates import normalised
from reports.record import Scalar

if TYPE_CHECKING:
    from core_model.data import Table


@dataclass(frozen=True)
class Trial:
    """Rows to attack.

    Attributes:
        members: rows of the training data; `member_rows` are their places in it, counted from 0.
        others: held-out rows, none of which was trained on, if there is no overlap.
        overlapping: (held-out rows, all of them) bool, whether the text stands in the training data, too.
        repeated: (training rows, all of them) bool, whether the text stood in an earlier training row.
    """

    members: Table
    member_rows: np.ndarray
    others: Table
    overlapping: np.ndarray
    repeated: np.ndarray


def draw_trial(training: Table, held_out: Table, *, most: int, random: np.random.Generator) -> Trial:
    """At most `most` rows of each side, and no more members than others.

    Texts are the same if they differ in nothing but case, blanks and Unicode form (`core_model.duplicates`).
    """
    seen: set[str] = set()
    repeated = np.zeros(training.rows, dtype=bool)
    for row, text in enumerate(whole_texts(training)):
        plain = normalised(text)
        repeated[row] = plain in seen
        seen.add(plain)
    overlapping = np.array([normalised(text) in seen for text in whole_texts(held_out)], dtype=bool)
    others = held_out if held_out.rows <= most else held_out.select(_some(held_out.rows, most, random))
    member_rows = _some(training.rows, others.rows, random)
    members = training if len(member_rows) == training.rows else training.select(member_rows)
    return Trial(members, member_rows, others, overlapping, repeated)


def whole_texts(table: Table) -> Sequence[str]:
    """What the model reads of each row: its text, and its second text where it has one."""
    if table.pairs is None:
        return table.texts
    return [f"{text}\n{pair}" for text, pair in zip(table.texts, table.pairs, strict=True)]


def all_words(table: Table) -> list[str]:
    """All that is known of each row as one text: what is read, what should be written, and its label."""
    columns = [whole_texts(table)]
    if table.references is not None:
        columns.append(table.references)
    if table.has_labels:
        columns.append([f"label={table.label_names[target]}".replace(" ", "_") for target in table.targets])
    return [" ".join(parts) for parts in zip(*columns, strict=True)]


def as_rows(table: Table, chosen: np.ndarray) -> list[dict[str, Scalar]]:
    """The chosen rows under the columns that they came from, ready to be audited again."""
    rows: list[dict[str, Scalar]] = []
    for row in (int(r) for r in np.flatnonzero(chosen)):
        line: dict[str, Scalar] = {table.text_column: table.texts[row]}
        if table.pairs is not None and table.pair_column:
            line[table.pair_column] = table.pairs[row]
        if table.references is not None and table.reference_column:
            line[table.reference_column] = table.references[row]
        if table.has_labels:
            line[table.label_column or "label"] = table.label_names[table.targets[row]]
        rows.append({**line, **{column: str(values[row]) for column, values in table.groups.items()}})
    return rows


def _some(rows: int, most: int, random: np.random.Generator) -> np.ndarray:
    """Places of at most so many rows, drawn by lot, ascending."""
    return np.arange(rows) if rows <= most else np.sort(random.permutation(rows)[:most])
