"""The ledger of a federation: what was spent for each unit of privacy, written down before a round is sent.

    ledger = FederatedLedger(out / ".federation" / NAME)
    ledger.spend({"every client": Phase(noise, rate, 1)}, budget=budget)    # refuses first, then writes, then counts
    ledger.epsilon("every client", budget.delta)

A key stands for units that share one history: every client, where all enter each round by the same coin; or one
client, where only those that were asked pay. A round whose server was killed is in the ledger whether its model was
kept or not: somebody may have seen it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from core_model.errors import CheckpointDamaged, OptionUnfit
from core_model.files import write_atomically
from privacy.accounting import Accountant, Budget, Ledger, Phase

NAME = "privacy_ledger.json"
KIND = "federated privacy ledger"
EVERY_CLIENT = "every client"


class BudgetSpent(OptionUnfit):
    """The next round would exceed the budget of a unit of privacy; nothing was spent for it."""


class FederatedLedger:
    """See the module's docstring.

    Args:
        path: of the file; made with the first round.
    Attributes:
        ledgers: of each key that has spent something.
        clipping_norm: the one that stood in the last round; None before the first.
    Raises: CheckpointDamaged when the file there is no ledger: to begin again at 0 would forget what was spent.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.ledgers: dict[str, Ledger] = {}
        self.clipping_norm: float | None = None
        if path.exists():
            self._read(path)

    def __getitem__(self, key: str) -> Ledger:
        """What was spent for a key; an empty ledger where nothing was."""
        return self.ledgers.get(key, Ledger())

    def spend(self, phases: Mapping[str, Phase], *, budget: Budget, clipping_norm: float | None = None) -> None:
        """Write one round down; only then may it be sent. Either all keys pay or none does.

        Raises: BudgetSpent when a key would exceed the budget; OutputUnwritable when the disk is full. The round must
            not be sent then, and the ledger is as it was.
        """
        refused = self.beyond(phases, budget=budget)
        if refused:
            key = refused[0]
            after = self[key].spend(phases[key]).epsilon(budget.delta)
            raise BudgetSpent(
                f"the next round would take {key} to epsilon {after:.4g} at delta {budget.delta:.3g}, and the budget "
                f"is {budget.epsilon:g}",
                mend="--epsilon with a larger number, or fewer --rounds; the last model stands",
            )
        following = {**self.ledgers, **{key: self[key].spend(phase) for key, phase in phases.items()}}
        write_atomically(self.path, _to_json(following, clipping_norm))
        self.ledgers, self.clipping_norm = following, clipping_norm

    def beyond(self, phases: Mapping[str, Phase], *, budget: Budget) -> list[str]:
        """The keys that would exceed the budget by these phases: their units must not be asked."""
        return [key for key, phase in phases.items() if self[key].would_exceed(budget, after=phase)]

    def epsilon(self, key: str, delta: float, *, accountant: Accountant = "prv") -> float:
        """Epsilon of a key over all rounds and sessions; 0 where nothing was spent."""
        return self[key].epsilon(delta, accountant=accountant)

    def worst(self, delta: float) -> tuple[str, float] | None:
        """The key with the largest epsilon, and that epsilon; None where nothing was spent."""
        known = {key: ledger.epsilon(delta) for key, ledger in self.ledgers.items()}
        return max(known.items(), key=lambda pair: pair[1]) if known else None

    def _read(self, path: Path) -> None:
        text = path.read_text(encoding="utf-8")
        try:
            state: dict[str, Any] = json.loads(text)
            if state["kind"] != KIND or state["version"] != 1:
                raise ValueError(f"kind {state['kind']!r}, version {state['version']!r}")
            parts = {str(key): json.dumps(part) for key, part in state["ledgers"].items()}
            norm = state["clipping_norm"]
            if norm is not None and not (isinstance(norm, int | float) and norm > 0):
                raise ValueError(f"clipping_norm is {norm!r}")
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise CheckpointDamaged(
                f"{path} cannot be read as a federation's privacy ledger ({error}); what was spent is not known",
                mend="the ledger as this run wrote it, or a federation from the start, into another --out",
            ) from error
        self.ledgers = {key: Ledger.from_json(part, name=f"{path}: {key}") for key, part in parts.items()}
        self.clipping_norm = norm


def _to_json(ledgers: Mapping[str, Ledger], clipping_norm: float | None) -> str:
    state = {
        "kind": KIND,
        "version": 1,
        "clipping_norm": clipping_norm,
        "ledgers": {key: json.loads(ledger.to_json()) for key, ledger in ledgers.items()},
    }
    return json.dumps(state, indent=1) + "\n"
