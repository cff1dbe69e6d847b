"""Which replies are believed: those with the right names and shapes, finite numbers, and no outlandish length.

A reply that is not believed is named in the record with the reason, and never averaged. Lengths are held against a
limit that was set, or against the round's own median: one client that multiplies its update by a thousand cannot move
the median. What passes can still be poison of ordinary length; for that there are Krum, the median and trimmed means.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from federated.arrays import Update, norm

if TYPE_CHECKING:
    from federated.proof import Proof

SHOWN_NAMES = 3
LEAST_FOR_MEDIAN = 3  # of two lengths nobody can say which one is the outlier


@dataclass(frozen=True)
class Answer:
    """A client's update that is whole.

    Attributes:
        rows: what it weighs in a mean.
        loss: mean training loss; None where it is not told.
        within: whether the update was no longer than the clipping norm before it was clipped; None: not told.
        proof: what the client says it applied.
    """

    client: int
    name: str
    update: Update
    rows: int
    loss: float | None = None
    within: bool | None = None
    proof: Proof | None = None


@dataclass(frozen=True)
class Rejection:
    """A client that was asked and is not counted, and why."""

    client: int
    name: str
    why: str

    def as_dict(self) -> dict[str, str | int]:
        """For the record."""
        return {"client": self.client, "name": self.name, "why": self.why}


def fault_of(update: Mapping[str, np.ndarray], like: Mapping[str, np.ndarray]) -> str | None:
    """Why an update cannot be added to the model; None where it can."""
    if update.keys() != like.keys():
        lacking, strange = sorted(like.keys() - update.keys()), sorted(update.keys() - like.keys())
        parts = [f"lacks {_some(lacking)}"] if lacking else []
        parts += [f"has {_some(strange)}, which the model has not"] if strange else []
        return f"wrong names: it {' and '.join(parts)}"
    for name, array in update.items():
        if array.shape != like[name].shape:
            return f"wrong shapes: {name} is {array.shape}, the model's is {like[name].shape}"
        if array.dtype != np.float32:
            return f"wrong type: {name} is {array.dtype}, float32 was asked for"
    broken = [name for name, array in update.items() if not np.isfinite(array).all()]
    return f"not finite: {_some(broken)}" if broken else None


def too_long(
    answers: Sequence[Answer], *, max_norm: float | None, outlier_factor: float
) -> tuple[list[Answer], list[Rejection]]:
    """Set aside the answers whose update is too long.

    Args:
        max_norm: the longest that is believed; None: no limit but the median's.
        outlier_factor: times the median length of the round's updates, where there are at least three.
    Returns: the others, in their order; and those set aside.
    """
    lengths = [norm(answer.update) for answer in answers]
    limits = [(max_norm, "--max-norm")] if max_norm is not None else []
    if len(answers) >= LEAST_FOR_MEDIAN and (median := float(np.median(lengths))) > 0:
        limits.append((outlier_factor * median, f"{outlier_factor:g} times the round's median"))
    sound, aside = [], []
    for answer, length in zip(answers, lengths, strict=True):
        over = next(((limit, what) for limit, what in limits if length > limit), None)
        if over is None:
            sound.append(answer)
        else:
            why = f"its update is too long: norm {length:.4g}, more than {over[0]:.4g} ({over[1]})"
            aside.append(Rejection(answer.client, answer.name, why))
    return sound, aside


def _some(names: Sequence[str]) -> str:
    more = len(names) - SHOWN_NAMES
    return ", ".join(names[:SHOWN_NAMES]) + (f" and {more} more" if more > 0 else "")
