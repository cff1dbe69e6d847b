"""Canary clients of a run: made up before its first round, half of them taking part, and what was seen of them then.

    canaries = CanaryRun(folder / NAME, count=200, length=10.0, seed=None)
    for update in canaries.of_round(1, rate=1.0, sampling="none", like=model): ...     # joins the clients' updates
    canaries.told(subtract(last, first))                                               # for the record

Each canary has a direction of its own and one fair coin for the whole run. Those whose coin fell so take part as any
client does: by the same secret coins of a round, or in turns. What they send is ten times as long as is allowed, and
goes through the clipping that the clients' updates go through: a run without clipping is found as one without noise is.
Directions and coins follow from a secret seed, which is set down first, so that a run that was killed goes on with the
same ones; when it is over they are no secret any more.

Source: Andrew et al. 2023, arXiv:2302.03098; Steinke, Nasr and Jagielski 2023, arXiv:2305.08846 (coins).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from math import floor
from pathlib import Path
from typing import Any

import numpy as np

from core_model.errors import CheckpointDamaged
from core_model.files import write_atomically
from federated.arrays import Update
from federated.canary_clients import canary_cosines, canary_updates
from privacy.accounting import Sampling
from privacy.units import secret_seed

NAME = "canary_clients.json"
KEY = "canary_clients"  # in the "privacy" section of the federated record
TOO_LONG = 10.0  # times the clipping norm: nothing but clipping makes it shorter
DIRECTION, COIN, ROUND = range(3)  # what the seed is spent on


class CanaryRun:
    """See the module's docstring.

    Args:
        file: where the seed is set down; read where it is there.
        count: of canaries, those that are left out included.
        length: of what each sends.
        seed: a published one, for tests alone; None: from the operating system's entropy.
    Attributes:
        included: (count,) bool, the coins.
    Raises: CheckpointDamaged when the file cannot be read; OutputUnwritable.
    """

    def __init__(self, file: Path, *, count: int, length: float, seed: int | None) -> None:
        self.count, self.length = count, length
        if not file.exists():
            write_atomically(file, json.dumps({"seed": secret_seed(seed)}))
        try:
            self.seed = int(json.loads(file.read_text(encoding="utf-8"))["seed"])
        except (ValueError, KeyError, TypeError) as error:
            raise CheckpointDamaged(
                f"{file} names no seed of canaries ({error}): nobody knows any more who took part",
                mend="begin again, into another --out",
            ) from error
        self.included = self._random(COIN).random(count) < 0.5

    def taking_part(self, server_round: int, *, rate: float, sampling: Sampling) -> np.ndarray:
        """Numbers of the canaries in a round.

        Args:
            rate, sampling: of the promise: chance of a secret coin ("poisson"), or share of the rounds, in turns.
        """
        if sampling == "poisson":
            comes = self._random(ROUND, server_round).random(self.count) < rate
        else:  # never in more than ceil(rounds rate) of the rounds, which is what a client pays for
            turns = [floor(server_round * rate + k / self.count) for k in range(self.count)]
            before = [floor((server_round - 1) * rate + k / self.count) for k in range(self.count)]
            comes = np.array(turns) > np.array(before)
        return np.flatnonzero(self.included & comes)

    def of_round(
        self, server_round: int, *, rate: float, sampling: Sampling, like: Mapping[str, np.ndarray]
    ) -> Iterator[Update]:
        """What the canaries of a round send, one at a time: each is as long as a model."""
        for canary in self.taking_part(server_round, rate=rate, sampling=sampling):
            yield self._update(int(canary), like)

    def told(self, released: Mapping[str, np.ndarray]) -> dict[str, Any]:
        """For the record: coins, and the cosine of every canary with the sum of all steps.

        Args:
            released: the last model less the first.
        """
        cosines = [float(canary_cosines([self._update(k, released)], released)[0]) for k in range(self.count)]
        return {
            "synthetic": True,
            "count": self.count,
            "length": self.length,
            "dimensions": int(sum(array.size for array in released.values())),
            "included": self.included.tolist(),
            "cosines": cosines,
            "seed": str(self.seed),  # 63 bits are more than a JSON number keeps
        }

    def _update(self, canary: int, like: Mapping[str, np.ndarray]) -> Update:
        return canary_updates(like, 1, length=self.length, random=self._random(DIRECTION, canary))[0]

    def _random(self, *purpose: int) -> np.random.Generator:
        return np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=purpose))
