"""Accounting: how much privacy have all the noisy steps spent together?

What it holds    A ledger of phases: so many steps with this noise and this sampling. It is written down as JSON and
                 read again after a restart, so that nothing spent is ever forgotten.
How to read it   (epsilon, delta): seeing the model multiplies the odds that a given row was in the training data by at
                 most e^epsilon, except with probability delta. Epsilons are composed over phases, never added.
Neighbours       Poisson sampling: data sets that differ by one row added or removed. Without it: one row replaced by
                 an empty one that contributes nothing ("zero-out"): a removed row would shift all batches behind it.
Not covered      Phases chosen after a look at the private data or at earlier phases' results need a privacy filter
                 (Feldman and Zrnic 2021, arXiv:2008.11193); the calibration here fixes them beforehand.
Source           Abadi et al. 2016, arXiv:1607.00133; Dong, Roth and Su 2019, arXiv:1905.02383 (Gaussian composition).
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass
from math import inf, isfinite, sqrt
from typing import Any, Literal

from core_model.errors import CheckpointDamaged, OptionUnfit
from privacy.accountants import Release, prv_epsilon, rdp_epsilon

Accountant = Literal["prv", "rdp"]
Sampling = Literal["poisson", "none"]
ACCOUNTANTS = {"prv": prv_epsilon, "rdp": rdp_epsilon}
KIND = "privacy ledger"
LEAST_NOISE = 1e-6  # far below any that protects, and accountants still compute with it


@dataclass(frozen=True)
class Phase:
    """Steps that share their noise and their sampling.

    Attributes:
        noise_multiplier: standard deviation of the noise over the clipping norm; 0 is no noise, and infinite epsilon.
        sampling_rate: probability with which each row enters a step, independently of the others; in (0, 1].
        steps: noisy steps, at least 1.
        sampling: "poisson", or "none" for any other order of rows (shuffled, weighted, fixed). Then the rate is kept
            for the record but amplifies nothing: each step counts as if every row were in it, which holds for every
            order that does not depend on the rows.
    Raises: OptionUnfit for a value that cannot be.
    """

    noise_multiplier: float
    sampling_rate: float
    steps: int
    sampling: Sampling = "poisson"

    def __post_init__(self) -> None:
        if not (self.noise_multiplier == 0 or LEAST_NOISE <= self.noise_multiplier < inf):
            raise OptionUnfit(
                f"noise multiplier is {self.noise_multiplier}",
                mend=f"0 (no noise), or a number of {LEAST_NOISE:g} or more",
            )
        if not 0 < self.sampling_rate <= 1:
            raise OptionUnfit(f"sampling rate is {self.sampling_rate}", mend="batch size / rows, above 0 and at most 1")
        if not isinstance(self.steps, int) or self.steps < 1:
            raise OptionUnfit(f"steps is {self.steps}", mend="a whole number of steps, at least 1")
        if self.sampling not in ("poisson", "none"):
            raise OptionUnfit(f"sampling is {self.sampling!r}", mend="'poisson' or 'none'")


@dataclass(frozen=True)
class Budget:
    """The most that may be spent: both numbers belong together, and epsilon alone means nothing.

    Raises: OptionUnfit unless epsilon > 0 and 0 < delta < 1.
    """

    epsilon: float
    delta: float

    def __post_init__(self) -> None:
        if not (isfinite(self.epsilon) and self.epsilon > 0):
            raise OptionUnfit(f"epsilon is {self.epsilon}", mend="--epsilon with a number above 0, such as 8")
        check_delta(self.delta)

    def covers(self, other: Budget) -> bool:
        """Whether (epsilon, delta) of the other follow from these; False where each has one smaller number."""
        return other.epsilon <= self.epsilon and other.delta <= self.delta


@dataclass(frozen=True)
class Ledger:
    """What was spent, phase after phase. `spend` returns the next ledger; this one stays as it is."""

    phases: tuple[Phase, ...] = ()

    @property
    def steps(self) -> int:
        """Noisy steps in all phases."""
        return sum(phase.steps for phase in self.phases)

    def spend(self, phase: Phase) -> Ledger:
        """This ledger and one phase more; equal neighbours are joined."""
        if self.phases and _mechanism(self.phases[-1]) == _mechanism(phase):
            last = self.phases[-1]
            joined = Phase(last.noise_multiplier, last.sampling_rate, last.steps + phase.steps, last.sampling)
            return Ledger((*self.phases[:-1], joined))
        return Ledger((*self.phases, phase))

    def epsilon(self, delta: float, *, accountant: Accountant = "prv") -> float:
        """Epsilon of all phases together, at this delta.

        Returns: epsilon >= 0; infinite where a step had no noise; 0 where nothing was spent.
        Raises: OptionUnfit for a delta outside (0, 1), an unknown accountant, or what PRV cannot compute.
        """
        check_delta(delta)
        if accountant not in ACCOUNTANTS:
            raise OptionUnfit(f"there is no accountant {accountant!r}", mend=f"one of {', '.join(ACCOUNTANTS)}")
        if any(phase.noise_multiplier == 0 for phase in self.phases):
            return inf
        return ACCOUNTANTS[accountant](self.releases(), delta)

    def releases(self) -> list[Release]:
        """The phases as accountants take them: order does not matter to composition, so equal ones are joined.

        Steps without Poisson sampling become one Gaussian release to everybody (rate 1): k of them with noise s have
        the privacy loss of one with noise s / sqrt(k), exactly (Dong, Roth and Su 2019, corollary 3.3).
        """
        sampled: Counter[tuple[float, float]] = Counter()
        precision = 0.0  # of the one Gaussian: the sum of 1 / noise^2
        for phase in self.phases:
            if phase.sampling == "poisson" and phase.sampling_rate < 1:
                sampled[phase.noise_multiplier, phase.sampling_rate] += phase.steps
            else:
                precision += phase.steps / phase.noise_multiplier**2
        gaussian = [(1 / sqrt(precision), 1.0, 1)] if precision else []
        return [(noise, rate, steps) for (noise, rate), steps in sampled.items()] + gaussian

    def would_exceed(self, budget: Budget, *, after: Phase | None = None, accountant: Accountant = "prv") -> bool:
        """Whether epsilon at the budget's delta is above the budget's epsilon, once `after` is spent, too."""
        ledger = self if after is None else self.spend(after)
        return ledger.epsilon(budget.delta, accountant=accountant) > budget.epsilon

    def to_json(self) -> str:
        """As text that `from_json` reads back without losing a bit."""
        state = {"kind": KIND, "version": 1, "steps": self.steps, "phases": [asdict(phase) for phase in self.phases]}
        return json.dumps(state, indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str, *, name: str = "the privacy ledger") -> Ledger:
        """The ledger that was written. A damaged one is refused: to begin again at 0 would forget what was spent.

        Raises: CheckpointDamaged, naming `name`.
        """
        try:
            state: dict[str, Any] = json.loads(text)
            if state["kind"] != KIND or state["version"] != 1:
                raise ValueError(f"kind {state['kind']!r}, version {state['version']!r}")
            ledger = cls(tuple(Phase(**phase) for phase in state["phases"]))
            if ledger.steps != state["steps"]:
                raise ValueError(f"its phases hold {ledger.steps} steps, and it says {state['steps']}")
        except (ValueError, TypeError, KeyError, RecursionError, OptionUnfit) as error:
            raise CheckpointDamaged(
                f"{name} cannot be read as a privacy ledger ({error}); what was spent is not known",
                mend="the ledger of an earlier checkpoint of this run, or a training from the start",
            ) from error
        return ledger


def automatic_delta(rows: int) -> float:
    """1 / (10 n): over all n rows together, the chance that even one is left unprotected stays below a tenth.

    Delta must be well below 1/n, because a mechanism that publishes each row with probability 1/n is (0, 1/n)-private
    (Dwork and Roth 2014, section 2.3). The other custom, n^-1.1, is laxer below ten thousand million rows.

    Raises: OptionUnfit without rows.
    """
    if rows < 1:
        raise OptionUnfit(f"{rows} rows", mend="training data with rows")
    return 1 / (10 * rows)


def check_delta(delta: float) -> None:
    """Raises: OptionUnfit unless 0 < delta < 1."""
    if not 0 < delta < 1:
        raise OptionUnfit(f"delta is {delta}", mend="--delta auto, or a number above 0 and well below 1 / rows")


def _mechanism(phase: Phase) -> tuple[float, float, str]:
    return phase.noise_multiplier, phase.sampling_rate, phase.sampling
