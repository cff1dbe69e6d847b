"""Which rows of a finding a reader sees: the twenty worst, and twenty of the others at random.

The worst show what went wrong at its clearest, and mislead about how it usually looks; rows drawn at random show that.
Every finding about rows chooses them here, and says of how many they were taken. The draw depends on the run's seed and
the finding's id alone, so that the same run shows the same rows, and another seed shows others.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypedDict, TypeVar

import numpy as np

from core_model.predictions import Predictions
from reports.record import Finding, Scalar

if TYPE_CHECKING:
    from audit.subject import Subject

WORST, AT_RANDOM = 20, 20
LONGEST = 400  # characters of a text in an example; the data file has the rest

Line = dict[str, Scalar]
_Row = TypeVar("_Row")


class Shown(TypedDict):
    """The fields of a `Finding` that hold its rows."""

    examples: list[Line]
    examples_worst: int
    examples_total: int


def examples_of(
    ranked: Sequence[_Row] | np.ndarray, line: Callable[[_Row], Line], *, finding: str, seed: int, worst: int = WORST
) -> Shown:
    """The rows that a finding shows.

    Args:
        ranked: every row that the finding is about, worst first.
        line: one row as a reader sees it; made for the rows that are shown only.
        finding: its id.
        seed: of the run.
        worst: how many of the first; 0 where the rows have no order.
    """
    first, others = ranked[:worst], ranked[worst:]
    random = np.random.default_rng([seed, zlib.crc32(finding.encode("utf-8", "surrogatepass"))])
    drawn = np.sort(random.choice(len(others), size=min(AT_RANDOM, len(others)), replace=False))
    return {
        "examples": [line(row) for row in [*first, *(others[place] for place in drawn)]],
        "examples_worst": len(first),
        "examples_total": len(ranked),
    }


def within_bounds(finding: Finding, *, seed: int) -> Finding:
    """A finding with no more rows than a reader sees: what a plug-in hands on in full is taken as worst first."""
    if len(finding.examples) <= WORST + AT_RANDOM:
        return finding
    shown = examples_of(finding.examples, lambda row: row, finding=finding.id, seed=seed)
    total = max(shown["examples_total"], finding.examples_total or 0)
    return finding.model_copy(update={**shown, "examples_total": total})


def classified_line(subject: Subject) -> Callable[[int], Line]:
    """A row that a classifier answered: number, texts, label where there is one, answer and its probability."""
    data, answers = subject.data, subject.answers
    assert isinstance(answers, Predictions)  # noqa: S101 - a classifier's

    def line(row: int) -> Line:
        pair = {} if data.pairs is None else {"pair": shortened(data.pairs[row])}
        label = {"label": subject.labels[data.targets[row]]} if data.has_labels else {}
        return {
            "row": int(row) + 1,
            "text": shortened(data.texts[row]),
            **pair,
            **label,
            "predicted": subject.labels[answers.predicted[row]],
            "probability": round(float(answers.confidence[row]), 4),
        }

    return line


def most_confident_errors(subject: Subject, among: np.ndarray | None = None) -> np.ndarray:
    """Numbers of the rows that a classifier gets wrong, the surest answer first.

    Args:
        among: (rows,) bool; only these.
    """
    wrong = subject.predictions.predicted != subject.targets
    rows = np.flatnonzero(wrong if among is None else wrong & among)
    return rows[np.argsort(-subject.predictions.confidence[rows], kind="stable")]


def shortened(text: str) -> str:
    """At most 400 characters of a text."""
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
