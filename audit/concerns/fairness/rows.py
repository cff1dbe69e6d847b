"""The rows behind a finding, as a reader sees them: text, label, answer, groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from reports.record import Scalar

if TYPE_CHECKING:
    from audit.subject import Subject
    from core_model.predictions import Predictions

LONGEST = 600  # characters of a text in an example, as many as a page shows; a review queue keeps the whole text
_OWN = ("row", "text", "pair", "label", "predicted", "probability", "why_queued", "decision", "reviewer", "note")


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows with their labels, answers and groups.

    Attributes:
        texts, pairs, ids: (rows,).
        labels: class names.
        target: true class of each row, (rows,).
        predictions: what the model said.
        groups: column -> (rows,) of str.
        seed: of the run; it draws the rows that findings show.
    """

    texts: Sequence[str]
    pairs: Sequence[str] | None
    ids: Sequence[str]
    labels: tuple[str, ...]
    target: np.ndarray
    predictions: Predictions
    groups: Mapping[str, np.ndarray]
    seed: int = 0

    @classmethod
    def of(cls, subject: Subject) -> Rows:
        """The rows of a subject."""
        return cls(
            texts=subject.texts,
            pairs=subject.data.pairs,
            ids=subject.data.row_ids,
            labels=subject.labels,
            target=subject.targets,
            predictions=subject.predictions,
            groups=subject.groups,
            seed=subject.seed,
        )

    def line(self, row: int, *, longest: int | None = LONGEST) -> dict[str, Scalar]:
        """One row as a reader sees it; `probability` is that of the predicted label."""
        row = int(row)
        pair = {} if self.pairs is None else {"pair": cut(self.pairs[row], longest)}
        return {
            "row": self.ids[row],
            "text": cut(self.texts[row], longest),
            **pair,
            "label": self.labels[self.target[row]],
            "predicted": self.labels[self.predictions.predicted[row]],
            "probability": round(float(self.predictions.confidence[row]), 4),
            **{heading(column): str(values[row]) for column, values in self.groups.items()},
        }

    @property
    def wrong(self) -> np.ndarray:
        """Which rows are predicted wrongly, (rows,) bool."""
        return self.predictions.predicted != self.target

    def most_confident(self, chosen: np.ndarray) -> np.ndarray:
        """The chosen rows (a mask), most confident answer first; ties in the order of the rows."""
        rows = np.flatnonzero(chosen)
        return rows[np.argsort(-self.predictions.confidence[rows], kind="stable")]

    @property
    def margin(self) -> np.ndarray:
        """Probability of the first class minus that of the second, (rows,): how far a row is from another answer."""
        ordered = np.sort(self.predictions.probabilities, axis=1)
        return ordered[:, -1] - ordered[:, -2]


def heading(column: str) -> str:
    """A group column's heading; one that would hide another column says that it is a group."""
    return f"group {column}" if column in _OWN else column


def cut(text: str, longest: int | None) -> str:
    """A text shortened to `longest` characters, saying how much is missing."""
    if longest is None or len(text) <= longest:
        return text
    return f"{text[:longest]}… ({len(text) - longest:,} more characters)"
