"""Mitigations in training: rows are added or weighed so that the model leans less on who a text speaks of.

    mitigated = mitigate(table, TrainingOptions(augment="identity-swap", reweigh="sex"))
    mitigated.tables, mitigated.weights, mitigated.record["reweighing"]["cells"]

Identity swap   Each row that holds an identity term is trained on once more, with the term swapped and the same label
                (counterfactual data augmentation). That the label stays right is an assumption, not a finding.
                Lu et al. 2018, arXiv:1807.11714.
Reweighing      A row's loss is multiplied by P(group) P(label) / P(group, label), so that group and label are
                independent in the weighted rows. Kamiran and Calders 2012, Knowledge and Information Systems 33:1,
                doi:10.1007/s10115-011-0463-8.
Noise           Each row is trained on once more, with typos or other noise: `core_model.noisy_copies`.

With several, copies are weighed like rows: a copy has the group and the label of the row that it was made of.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from core_model.errors import OptionUnfit
from core_model.groups import Groups, groups_of
from core_model.identity_swap import Category, IdentityTerms, read_terms, swap, words_of
from core_model.noisy_copies import SOURCE as NOISY_SOURCE
from core_model.noisy_copies import forms_of, noisy_copies

if TYPE_CHECKING:
    from core_model.data import Table
    from core_model.training_options import TrainingOptions

FEW_ROWS = 30  # a cell with fewer rows is said to be small; its weight rests on them all the same
MOST_GROUPS_SHOWN = 50  # groups whose weights stand in the record, the largest first


@dataclass(frozen=True, eq=False)
class Mitigated:
    """Training rows after the mitigations that were asked for.

    Attributes:
        tables: the rows as they were opened; then, where asked for, their swapped and their noisy copies.
        weights: what each row's loss is multiplied by, (rows of all tables,) float32, mean 1; None: all count alike.
        record: what was done, by name, for training_record.json; empty when nothing was asked for.
        groups: of the rows of all tables, where a fairness constraint asks.
        notes: what a reader must know, one sentence each.
    """

    tables: tuple[Table, ...]
    weights: np.ndarray | None = None
    groups: Groups | None = None
    record: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def mitigate(data: Table, options: TrainingOptions) -> Mitigated:
    """The training rows, with what `options.augment` and `options.reweigh` ask for done to them, and their groups.

    Raises: OptionUnfit when no row holds an identity term, the term list cannot be read, or the column cannot be
        balanced; ColumnMissing when the table was opened without it.
    """
    tables: tuple[Table, ...] = (data,)
    weights: np.ndarray | None = None
    record: dict[str, Any] = {}
    notes: list[str] = []
    if "identity-swap" in options.augment:
        terms = read_terms(options.identity_terms)
        copies, counts = swapped_copies(data, terms)
        tables = (data, copies)
        record["identity_swap"] = {
            "source": "Lu et al. 2018, arXiv:1807.11714",
            "rows": data.rows,
            "rows_added": copies.rows,
            "rows_added_by_category": counts,
            "identity_terms": terms.name,
            "identity_terms_sha256": terms.sha256,
        }
        notes.append(
            f"{copies.rows:,} of {data.rows:,} training rows hold an identity term of {terms.name}; each epoch has "
            "them a second time, swapped, under the same label. Nobody checked that the label stays right."
        )
    for kind in [kind for kind in ("typos", "noise") if kind in options.augment]:
        tables = (*tables, noisy_copies(data, kind, seed=options.seed))
        record[f"{kind}_copies"] = {
            "source": NOISY_SOURCE,
            "rows_added": data.rows,
            "noises": sorted({noise.name for noise, _ in forms_of(kind)}),
        }
    if options.reweigh is not None:
        weights, table, more = reweigh(tables, options.reweigh)
        record["reweighing"] = table
        notes += more
    column = options.fairness_column
    groups = None if column is None else groups_of(tables, column, option="fairness_column")
    return Mitigated(tables, weights, groups, record, notes)


def terms_sha256(options: TrainingOptions) -> str | None:
    """The hash of the list of identity terms that training reads; None when it reads none.

    Raises: OptionUnfit when the list cannot be read.
    """
    return read_terms(options.identity_terms).sha256 if "identity-swap" in options.augment else None


def swapped_copies(data: Table, terms: IdentityTerms) -> tuple[Table, dict[str, int]]:
    """A copy of each row that holds an identity term, with the term swapped; and how many copies there are by category.

    A row with terms of several categories has one copy, too: such rows take their categories in turn, since the
    counterfactual that an audit asks about swaps one category at a time. Texts are swapped when they are read.

    Raises: OptionUnfit when no row holds a term.
    """
    rows, chosen, several = [], [], 0
    for row, text in enumerate(data.texts):
        parts = [text] if data.pairs is None else [text, data.pairs[row]]
        held = _categories_in(parts, terms)
        if len(held) > 1:
            several += 1
        if held:
            rows.append(row)
            chosen.append(held[several % len(held)])
    if not rows:
        raise OptionUnfit(
            f"augment = identity-swap: no row of {data.name} holds an identity term of {terms.name}",
            mend="--identity-terms FILE with the terms of your texts, or leave --augment out",
        )
    origin = data.select(np.array(rows, dtype=np.int64))
    copies = replace(
        origin,
        texts=_Swapped(origin.texts, chosen, terms),
        pairs=None if origin.pairs is None else _Swapped(origin.pairs, chosen, terms),
        taken_from=None,  # copies are texts of their own and must not go by their origin's row ids
    )
    used = np.bincount(chosen, minlength=len(terms.categories))
    return copies, {c.name: int(n) for c, n in zip(terms.categories, used, strict=True) if n}


def _categories_in(texts: Sequence[str], terms: IdentityTerms) -> list[int]:
    """Places of the categories of which a term stands in one of the texts."""
    read = [(text, words_of(text)) for text in texts]
    return [
        place
        for place, category in enumerate(terms.categories)
        if any(swap(text, category, terms, words) is not None for text, words in read)
    ]


class _Swapped(Sequence[str]):
    """Texts with the terms of one category each swapped, made when they are read: they need no memory."""

    def __init__(self, texts: Sequence[str], chosen: Sequence[int], terms: IdentityTerms) -> None:
        self.texts, self.terms = texts, terms
        self.categories: list[Category] = [terms.categories[place] for place in chosen]

    def __len__(self) -> int:
        return len(self.texts)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        text = self.texts[index]
        swapped = swap(text, self.categories[index], self.terms)
        return text if swapped is None else swapped  # of a pair, one part may hold no term

    def __iter__(self) -> Iterator[str]:
        return (self[i] for i in range(len(self)))


def cell_weights(counts: np.ndarray) -> np.ndarray:
    """The weight of a row in each cell of group and label: P(group) P(label) / P(group, label).

    Args:
        counts: rows of each group (first axis) and label (second), (groups, labels) int; at least one row.
    Returns: (groups, labels) float64, scaled so that the mean over rows is 1; 0 for a cell without a row. Where no
        cell is empty, weighted counts have exactly independent margins; a group's empty cell no weight can fill.
    Source: Kamiran and Calders 2012, reweighing.
    """
    expected = counts.sum(axis=1, keepdims=True) * counts.sum(axis=0, keepdims=True) / counts.sum()
    weights = np.divide(expected, counts, out=np.zeros(counts.shape), where=counts > 0)
    mean = (weights * counts).sum() / counts.sum()  # below 1 when cells are empty
    return np.asarray(weights / mean)


def reweigh(tables: Sequence[Table], column: str) -> tuple[np.ndarray, dict[str, Any], list[str]]:
    """The weight of each row of all tables, float32; the table of weights for the record; and notes.

    Small groups are not merged and weights are not clipped: each row has the weight of its own cell.

    Raises: ColumnMissing; OptionUnfit when the column is the label, has one value, or no group has two labels.
    """
    data, found = tables[0], groups_of(tables, column, option="reweigh")
    names, groups = found.names, found.codes
    labels = np.concatenate([table.targets for table in tables])
    counts = np.zeros((len(names), len(data.label_names)), dtype=np.int64)
    np.add.at(counts, (groups, labels), 1)
    if ((counts > 0).sum(axis=1) < 2).all():
        raise OptionUnfit(
            f"reweigh: each of the {len(names):,} groups of column {column!r} of {data.name} has rows of one label "
            "only; no weights can part group from label",
            mend="rows of every label in every group, or --reweigh with another column",
        )
    by_cell = cell_weights(counts)
    record = _weights_table(column, names, data.label_names, counts, by_cell)
    return by_cell[groups, labels].astype(np.float32), record, _notes(column, record)


def _weights_table(
    column: str, groups: Sequence[str], labels: Sequence[str], counts: np.ndarray, weights: np.ndarray
) -> dict[str, Any]:
    used = np.flatnonzero(counts.sum(axis=0)).tolist()  # a class of the base that the data never has is no empty cell
    shown = sorted(np.argsort(-counts.sum(axis=1), kind="stable")[:MOST_GROUPS_SHOWN].tolist())
    inside = counts[:, used]
    return {
        "source": "Kamiran and Calders 2012, doi:10.1007/s10115-011-0463-8",
        "column": column,
        "rows": int(counts.sum()),
        "groups": len(groups),
        "groups_shown": len(shown),
        "cells": [
            {
                "group": groups[group],
                "label": labels[label],
                "rows": int(counts[group, label]),
                "weight": float(weights[group, label]) if counts[group, label] else None,  # null: there is no row
            }
            for group in shown
            for label in used
        ],
        "smallest_weight": float(weights[counts > 0].min()),
        "largest_weight": float(weights.max()),
        "cells_without_rows": int((inside == 0).sum()),
        "cells_with_few_rows": int(((inside > 0) & (inside < FEW_ROWS)).sum()),
        "few_rows": FEW_ROWS,
    }


def _notes(column: str, record: dict[str, Any]) -> list[str]:
    lowest, highest = record["smallest_weight"], record["largest_weight"]
    few, empty = record["cells_with_few_rows"], record["cells_without_rows"]
    notes = [
        f"Rows are weighed by {column!r}: a row counts {lowest:.3g} to {highest:.3g} times in the training loss. "
        "Evaluation is not weighed."
    ]
    if few:
        notes.append(
            f"{few:,} cells of {column!r} and label have fewer than {FEW_ROWS} rows; they keep the weight of their own "
            "few rows, which may tell little."
        )
    if empty:
        notes.append(
            f"{empty:,} cells of {column!r} and label have no row: there the weights cannot make group and label "
            "independent; add such rows."
        )
    return notes
