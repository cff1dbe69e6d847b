"""The way of the rows: read, clean, filter; remove duplicates; split. Texts stay on disk all along.

First the rows stream through cleaning and filters into a file without a name. Then the numbers that are kept of each
decide which repeat others and which part each goes to.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from core_model.errors import OptionUnfit
from core_model.preprocessing.clusters import sizes
from core_model.preprocessing.deduplication import Tell, Ways, linked, without_exact
from core_model.preprocessing.intake import Intake
from core_model.preprocessing.keys import sides_compared
from core_model.preprocessing.options import PreparationOptions
from core_model.preprocessing.reading import Input
from core_model.preprocessing.rows import WaitingRows
from core_model.preprocessing.splitting import PARTS, leaking, parts_of, smallest_members
from core_model.preprocessing.steps import Step, refuse_nothing_left


@dataclass
class Prepared:
    """What the steps decided, before anything is written.

    Attributes:
        rows: those that cleaning and filters let through; parts: (rows,) places in PARTS, -1 where dropped.
        labels: (rows that have a part,) cluster numbers, by near duplicates; None where a column splits.
        steps: the accounts, in order.
        rows_sha256: over the input's rows as JSON lines, where they are no single file.
    """

    rows: WaitingRows
    parts: np.ndarray
    labels: np.ndarray | None
    steps: list[Step]
    rows_sha256: str | None


def run_steps(given: Input, options: PreparationOptions, folder: Path, tell: Tell) -> Prepared:
    """Read, clean, filter, compare and split.

    Args:
        folder: for temporary files; it needs as much room as the rows, and 512 bytes for each text compared.
    Raises: BadInput; when a step drops every row, it names the step and the option.
    """
    sides = tuple(given.sides)
    if options.duplicates_by not in ("row", "either", *sides):
        raise OptionUnfit(
            f"duplicates by {options.duplicates_by!r}: task {options.task} has the sides {', '.join(sides)}",
            mend=f"--duplicates-by {' or '.join(dict.fromkeys(('row', 'either', *sides)))}",
        )
    rows = WaitingRows(list(given.sides.values()), folder)
    try:
        intake = Intake(given, options)
        steps = intake.take(rows, tell)
        kept = np.arange(len(rows))
        ways = sides_compared(options.duplicates_by, sides)
        kept = _without_duplicates(rows, kept, ways, options, steps, folder, tell)
        parts, labels = _split(rows, kept, options, steps, folder, tell)
        return Prepared(rows, parts, labels, steps, intake.rows_sha256)
    except BaseException:
        rows.close()
        raise


def _without_duplicates(
    rows: WaitingRows, kept: np.ndarray, ways: Ways, options: PreparationOptions, steps: list[Step], folder: Path,
    tell: Tell,
) -> np.ndarray:  # fmt: skip
    by = {"by": options.duplicates_by}
    if options.exact_duplicates == "remove":
        step = Step("exact duplicates", by, "--exact-duplicates keep --near-duplicates keep")
        tell("looking for exact duplicates", len(kept))
        left, contradicting = without_exact(rows, kept, ways)
        if contradicting:
            step.found["removed rows with another label than the row that stays"] = contradicting
        steps.append(_account(step, rows, kept, left, f"the same {options.duplicates_by} as an earlier one"))
        kept = left
    if options.near_duplicates == "remove":
        step = Step("near duplicates", by | {"similarity": options.similarity}, "--near-duplicates keep")
        found = linked(rows, kept, ways, threshold=options.similarity, folder=folder, tell=tell)
        left = kept[np.sort(np.unique(found.labels, return_index=True)[1])]
        clusters = sizes(found.labels)
        step.found["clusters of two rows and more"] = int((clusters > 1).sum())
        step.found["rows of the largest cluster"] = int(clusters[0])
        step.found["texts that only a chain links to the row that stays"] = found.chained
        steps.append(_account(step, rows, kept, left, f"nearly the same {options.duplicates_by} as an earlier one"))
        kept = left
    return kept


def _split(
    rows: WaitingRows, kept: np.ndarray, options: PreparationOptions, steps: list[Step], folder: Path, tell: Tell
) -> tuple[np.ndarray, np.ndarray | None]:
    """Each row's part, with a step of its own where a column splits; and the clusters, where none does."""
    each_side: Ways = [(side,) for side in range(len(rows.columns))]
    labels = None
    if options.split_column is None:
        labels = linked(rows, kept, each_side, threshold=options.similarity, folder=folder, tell=tell).labels
        keys = smallest_members(labels, rows.row_keys[kept])
    else:
        keys = rows.groups[kept]
    chosen = parts_of(keys, seed=options.seed, validation=options.validation, test=options.test)
    if options.split_column is not None:
        leaks = leaking(rows, kept, chosen, each_side, threshold=options.similarity, folder=folder, tell=tell)
        step = Step("stands in another part", {"similarity": options.similarity}, "more rows, or another --seed")
        steps.append(_account(step, rows, kept, kept[~leaks], "nearly repeats a row of a part before: train, test"))
        kept, chosen = kept[~leaks], chosen[~leaks]
    parts = np.full(len(rows), -1, np.int8)
    parts[kept] = chosen
    _refuse_empty_parts(parts, options)
    return parts, labels


def _account(step: Step, rows: WaitingRows, before: np.ndarray, after: np.ndarray, reason: str) -> Step:
    """The account of a step that looks at all rows at once."""
    step.rows_in, step.rows_out = len(before), len(after)
    for position in np.setdiff1d(before, after, assume_unique=True):
        step.drop(int(rows.numbers[position]), reason)
    refuse_nothing_left(step, len(before))
    return step


def _refuse_empty_parts(parts: np.ndarray, options: PreparationOptions) -> None:
    wanted: dict[str, Any] = {"train": 1.0, "test": options.test, "validation": options.validation}
    for place, part in enumerate(PARTS):
        if wanted[part] > 0 and not (parts == place).any():
            raise OptionUnfit(
                f"no row went to {part}: {int((parts >= 0).sum()):,} rows are few, or belong to few clusters",
                mend="more rows, another --seed, or other shares"
                + ("" if part == "train" else f" (--{part} 0 leaves it out)"),
            )
