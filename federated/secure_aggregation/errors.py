"""What can go wrong in a secure round.

AboveboardError
├── Refused           a client will not do what the server asks: the text travels back as the reason
└── RoundUnsafe       the server cannot finish: too few clients are left, or what they sent does not fit together
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from core_model.errors import AboveboardError


class Lost(NamedTuple):
    """A client that is not in the sum."""

    node: int
    stage: str
    reason: str


class Refused(AboveboardError):
    """A client refuses to go on, to protect its own update or its neighbours'."""


class RoundUnsafe(AboveboardError):
    """The round has no sum; nothing about a single client was learned.

    Attributes:
        stage: where it ended. dropped: who was lost before, with stage and reason.
    """

    def __init__(self, found: str, *, mend: str, stage: str, dropped: Sequence[Lost] = ()) -> None:
        super().__init__(found, mend=mend)
        self.stage, self.dropped = stage, tuple(dropped)


def too_few(have: int, need: int, *, stage: str, dropped: Sequence[Lost]) -> RoundUnsafe:
    """The letter for a round that lost too many."""
    lost = "; ".join(f"{one.node} ({one.stage}: {one.reason})" for one in dropped)
    return RoundUnsafe(
        f"secure aggregation: {have} clients are left after the stage {stage!r}, and {need} are needed."
        + (f" Lost: {lost}" if lost else ""),
        mend="more clients, a longer --deadline, or a smaller minimum of survivors",
        stage=stage,
        dropped=dropped,
    )
