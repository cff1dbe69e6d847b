"""The ledger on disk, written before each step that it pays for.

A step whose weights were lost with a killed process was not released, but its loss may have been seen; it is counted
all the same. So a training that is killed and resumed never spends a step that stands nowhere.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from core_model.errors import CheckpointDamaged
from core_model.files import write_atomically
from privacy.accounting import Ledger, Phase

NAME = "privacy_ledger.json"


class WrittenLedger:
    """A ledger that is on disk before a step begins.

    Args:
        folder: of the training state; made with the first step.
    Attributes:
        ledger: what was spent, over all sessions.
        clipping_norm: the one that stood in the last step; None before the first.
    Raises: CheckpointDamaged when the file there is no ledger: to begin again at 0 would forget what was spent.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME
        self.ledger = Ledger()
        self.clipping_norm: float | None = None
        if self.path.exists():
            text = self.path.read_text(encoding="utf-8")
            self.ledger = Ledger.from_json(text, name=str(self.path))
            self.clipping_norm = _norm_in(text, self.path)

    def spend(self, phase: Phase, *, clipping_norm: float) -> None:
        """Write one step down; only then may it be done.

        Raises: OutputUnwritable when the disk is full; the step must not be done then.
        """
        following = self.ledger.spend(phase)
        state: dict[str, Any] = json.loads(following.to_json())
        write_atomically(self.path, json.dumps({**state, "clipping_norm": clipping_norm}, indent=1))
        self.ledger, self.clipping_norm = following, clipping_norm


def _norm_in(text: str, path: Path) -> float | None:
    found = json.loads(text).get("clipping_norm")
    if found is not None and not (isinstance(found, int | float) and found > 0):
        raise CheckpointDamaged(f"{path}: clipping_norm is {found!r}", mend="train from the start, into another --out")
    return found
