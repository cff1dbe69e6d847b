"""The rows that a checkpoint is trained or audited on: texts, true labels, groups, and a hash that names them.

A table never changes. Texts are read when asked for, from Arrow mapped into memory where they are many, so that a file
may be larger than memory; targets and groups are small and held as arrays.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from core_model.data_hash import RowIds, hash_rows
from core_model.errors import ColumnMissing, DataDamaged, LabelsUnfit

MISSING = "(missing)"  # a group value that is absent is a group of its own


@dataclass(frozen=True, eq=False, kw_only=True)
class Table:
    """Rows of text with what is known of them. Made by `open_table` or `Table.from_rows`.

    Attributes:
        name: how reports call it: the file's name, or the hub's.
        location: where it was opened, as the user wrote it; None for rows in memory.
        texts: the text of each row, (rows,); a lazy sequence of str.
        pairs: the second text of each row (hypothesis, context of a question), or None.
        references: what the model should write for each row (translation, summary, answer), or None.
        label_names: the classes, in the order that `targets` counts them.
        groups: each group column's value in each row: column -> (rows,) array of str; "(missing)" where empty.
        text_column, pair_column, reference_column, label_column, group_columns: what these columns are called in the
            source.
        guessed: what was not said but taken by a well-known name: `{"text_column": "comment"}`.
        label_values: how the source's values were read: value -> index into `label_names`.
        synthetic: whether the rows were made up rather than collected.
        sensitive: why a reader may not wish to see the texts, in one sentence; None where nothing is known.
        source, licence: where the rows come from and under which licence, when known.
    """

    name: str
    texts: Sequence[str]
    location: str | None = None
    pairs: Sequence[str] | None = None
    references: Sequence[str] | None = None
    label_names: tuple[str, ...] = ()
    groups: Mapping[str, np.ndarray] = field(default_factory=dict)
    text_column: str = "text"
    pair_column: str | None = None
    reference_column: str | None = None
    label_column: str | None = None
    group_columns: tuple[str, ...] = ()
    guessed: Mapping[str, str] = field(default_factory=dict)
    label_values: Mapping[str, int] = field(default_factory=dict)
    synthetic: bool = False
    sensitive: str | None = None
    source: str | None = None
    licence: str | None = None
    target_indices: np.ndarray | None = None
    file_sha256: str | None = None
    taken_from: tuple[Table, np.ndarray] | None = field(default=None, repr=False)

    @classmethod
    def from_rows(
        cls,
        *,
        name: str,
        texts: Sequence[str],
        targets: Sequence[int] | np.ndarray | None = None,
        label_names: Sequence[str] = (),
        groups: Mapping[str, Sequence[str] | np.ndarray] | None = None,
        pairs: Sequence[str] | None = None,
        references: Sequence[str] | None = None,
        synthetic: bool = False,
        sensitive: str | None = None,
        source: str | None = None,
        licence: str | None = None,
        text_column: str = "text",
        pair_column: str = "pair",
        reference_column: str = "reference",
        label_column: str = "label",
    ) -> Table:
        """A table of rows in memory.

        Args:
            name: how reports call it.
            texts: (rows,) str, none of them blank.
            targets: (rows,) indices into `label_names`; None where there are no labels.
            label_names: the classes; "0", "1" ... when left out.
            groups: column -> (rows,) values.
            pairs: (rows,) second texts.
            references: (rows,) what the model should write.
        Raises: DataDamaged when a text is no text, or columns differ in length; LabelsUnfit when an index is no class.
        """
        rows = len(texts)
        columns: dict[str, Sequence[Any] | np.ndarray | None] = {
            "targets": targets, "pairs": pairs, "references": references, **(groups or {})
        }  # fmt: skip
        for column, values in columns.items():
            if values is not None and len(values) != rows:
                raise DataDamaged(
                    f"table {name!r}: {column!r} has {len(values)} values for {rows} texts",
                    mend="give each column one value a row",
                )
        blank = [row + 1 for row, text in enumerate(texts) if not isinstance(text, str) or not text.strip()]
        if blank:
            raise DataDamaged(
                f"table {name!r}: {len(blank)} texts are blank or no text (first: row {blank[0]}, counted from 1)",
                mend="drop or fill these rows",
            )
        indices: np.ndarray | None = None
        names = tuple(label_names)
        if targets is not None:
            indices = np.array(targets, dtype=np.int64)
            names = names or tuple(str(i) for i in range(int(indices.max(initial=-1)) + 1))
            outside = (indices < 0) | (indices >= len(names))
            if outside.any():
                row = int(outside.argmax())
                raise LabelsUnfit(
                    f"table {name!r}: row {row + 1} has target {indices[row]}; there are {len(names)} classes",
                    mend=f"targets from 0 to {len(names) - 1}",
                )
        return cls(
            name=name,
            texts=tuple(texts),
            pairs=None if pairs is None else tuple(pairs),
            references=None if references is None else tuple(references),
            target_indices=None if indices is None else frozen(indices),
            label_names=names,
            label_values={label: i for i, label in enumerate(names)} if indices is not None else {},
            groups={column: _strings(values) for column, values in (groups or {}).items()},
            text_column=text_column,
            pair_column=pair_column if pairs is not None else None,
            reference_column=reference_column if references is not None else None,
            label_column=label_column if indices is not None else None,
            group_columns=tuple(groups or ()),
            synthetic=synthetic,
            sensitive=sensitive,
            source=source,
            licence=licence,
        )

    def __len__(self) -> int:
        return len(self.texts)

    def __repr__(self) -> str:  # without the texts: they may be long, private or offensive
        return f"Table({self.name!r}, rows={self.rows:,}, labels={self.label_names}, groups={self.group_columns})"

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return len(self.texts)

    @property
    def has_labels(self) -> bool:
        """Whether each row's true class is known."""
        return self.target_indices is not None

    @property
    def targets(self) -> np.ndarray:
        """Index of each row's true class in `label_names`, (rows,) int64, read-only.

        Raises: LabelsUnfit when the table has no labels.
        """
        if self.target_indices is None:
            raise LabelsUnfit(f"{self.name} has no labels", mend="--label-column COLUMN")
        return self.target_indices

    @cached_property
    def sha256(self) -> str:
        """Content hash: of the file's bytes for a file (as `sha256sum` prints it), else over canonical JSON rows."""
        if self.file_sha256 is not None:
            return self.file_sha256
        labels = [self.label_names[i] for i in self.targets] if self.has_labels else None
        return hash_rows(self.texts, self.pairs, labels, self.groups, self.references)

    @cached_property
    def row_ids(self) -> RowIds:
        """A name for each row, made of its text and pair; the same wherever the row stands."""
        if self.taken_from is not None:
            whole, chosen = self.taken_from
            return whole.row_ids.take(chosen)
        return RowIds(self.texts, self.pairs)

    def select(self, indices: Sequence[int] | np.ndarray) -> Table:
        """Some rows, in the order asked for; they keep their `row_ids`. A boolean mask of (rows,) works, too.

        Texts stay lazy. The selection's sha256 is over its canonical JSON rows.
        """
        chosen = np.asarray(indices)
        chosen = np.flatnonzero(chosen) if chosen.dtype == bool else chosen.astype(np.int64)
        return replace(
            self,
            texts=_take(self.texts, chosen),
            pairs=None if self.pairs is None else _take(self.pairs, chosen),
            references=None if self.references is None else _take(self.references, chosen),
            target_indices=None if self.target_indices is None else frozen(self.target_indices[chosen]),
            groups={column: frozen(values[chosen]) for column, values in self.groups.items()},
            file_sha256=None,
            taken_from=(self, chosen),
        )

    def require_references(self, flag: str) -> Sequence[str]:
        """What the model should write for each row, (rows,).

        Raises: ColumnMissing when the table has none, with the flag that names the column.
        """
        if self.references is None:
            raise ColumnMissing(f"{self.name}: no column was named that holds what to write", mend=f"{flag} COLUMN")
        return self.references

    def require_two_classes(self) -> None:
        """Refuse rows that are all of one class: nothing can be told about a classifier from them.

        Raises: LabelsUnfit.
        """
        present = np.unique(self.targets)
        if len(present) < 2:
            only = self.label_names[present[0]] if len(present) else "none"
            raise LabelsUnfit(
                f"{self.name}: all {self.rows:,} rows are of one class, {only!r} (column {self.label_column!r})",
                mend="add rows of another class, or name another column with --label-column",
            )


def _strings(values: Sequence[Any] | np.ndarray) -> np.ndarray:
    """Group values as an array of str, read-only; "(missing)" where there is none."""
    return frozen(np.array([group_value(value) for value in values], dtype=object))


def group_value(value: object) -> str:
    """A group as text: "(missing)" where there is none; 1.0 and 1 are the same."""
    if value is None or value == "" or value != value:  # noqa: PLR0124  # NaN alone differs from itself
        return MISSING
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def frozen(array: np.ndarray) -> np.ndarray:
    """The array, read-only from here on."""
    array.setflags(write=False)
    return array


def _take(column: Sequence[str], indices: np.ndarray) -> Sequence[str]:
    take = getattr(column, "take", None)
    return take(indices) if take else tuple(column[int(i)] for i in indices)
