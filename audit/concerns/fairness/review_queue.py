"""The review queue: the rows that tell people most, for them to decide, relabel and comment.

Three kinds of rows take turns: confident errors of the groups that fare worst, rows whose label flips under the
identity swap, and rows on the edge of another answer in the groups that a gap lies between.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice, zip_longest

import numpy as np

from audit.concerns.fairness.counterfactual import Outcomes
from audit.concerns.fairness.gaps import Gap, plain
from audit.concerns.fairness.measured import Measured
from audit.concerns.fairness.rows import Rows
from reports.record import Scalar

_ERRORS = ("false_positive_rate_difference", "false_negative_rate_difference")

Queued = tuple[int, str]  # row, why


def review_queue(
    measured: Sequence[Measured], outcomes: Outcomes | None, rows: Rows, *, most: int
) -> list[dict[str, Scalar]]:
    """At most `most` rows, the most telling first, each once with every reason that queued it.

    Returns: one line a row, with empty `decision`, `reviewer` and `note` for people to fill in.
    """
    gaps = sorted(
        ((m, gap) for m in measured if not m.column.crossed for gap in m.gaps if gap.highest is not None),
        key=lambda pair: -(pair[1].estimate.value or 0.0),
    )
    kinds: list[Iterator[Queued]] = [
        _in_turn([_confident_errors(m, gap, rows) for m, gap in gaps if gap.name in _ERRORS]),
        _flips(outcomes, rows),
        _in_turn([_near(m, gap, rows) for m, gap in gaps if gap.name == "demographic_parity_difference"]),
    ]
    kinds = [islice(kind, 3 * most) for kind in kinds]  # further rows could only repeat a reason
    queue: dict[int, list[str]] = {}
    for row, why in _in_turn(kinds):
        if row in queue:
            if why not in queue[row]:
                queue[row].append(why)
        elif len(queue) < most:
            queue[row] = [why]
    return [
        {
            **rows.line(row, longest=None),
            "why_queued": "; ".join(reasons),
            "decision": "",
            "reviewer": "",
            "note": "",
        }
        for row, reasons in queue.items()
    ]


def _in_turn(sources: Sequence[Iterator[Queued]]) -> Iterator[Queued]:
    """One of each source, then the next of each."""
    for turn in zip_longest(*sources):
        yield from (queued for queued in turn if queued is not None)


def _confident_errors(measured: Measured, gap: Gap, rows: Rows) -> Iterator[Queued]:
    if gap.highest is None:
        return
    chosen = rows.predictions.predicted == measured.index
    kind = chosen if gap.rate.name == "false_positive_rate" else ~chosen & (rows.target == measured.index)
    group = measured.column.groups[gap.highest]
    why = f"confident error in {measured.column.name} {group}, the group with the highest {plain(gap.rate.name)}"
    for row in rows.most_confident(rows.wrong & kind & (measured.column.codes == gap.highest)):
        yield int(row), why


def _flips(outcomes: Outcomes | None, rows: Rows) -> Iterator[Queued]:
    if outcomes is None:
        return
    flips = np.flatnonzero(outcomes.flipped)
    for flip in flips[np.argsort(-np.abs(outcomes.shift[flips]), kind="stable")]:
        category = outcomes.swaps.categories[outcomes.swaps.category[flip]].replace("_", " ")
        becomes = rows.labels[outcomes.predicted[flip]]
        yield int(outcomes.swaps.rows[flip]), f"swapping {category} terms changes the answer to {becomes!r}"


def _near(measured: Measured, gap: Gap, rows: Rows) -> Iterator[Queued]:
    if gap.highest is None or gap.lowest is None:
        return
    inside = np.flatnonzero(np.isin(measured.column.codes, [gap.highest, gap.lowest]))
    high, low = (measured.column.groups[group] for group in (gap.highest, gap.lowest))
    why = f"near another answer, in one of the groups of {measured.column.name} that differ most ({high}, {low})"
    for row in inside[np.argsort(rows.margin[inside], kind="stable")]:
        yield int(row), why
