"""Running a sample several times over under the meter, and what the repeats say."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from audit.statistics.estimate import Estimate
from core_model.energy import ESTIMATE_ERROR, EnergyUse, measure_energy
from core_model.predictions import Generations, Scores

if TYPE_CHECKING:
    from audit.subject import PredictorLike, Subject
    from core_model.data import Table

WARM_UP_ROWS = 32


@dataclass(frozen=True)
class Repeats:
    """One sample run several times over. Arrays are (repeats,).

    Attributes:
        rows: rows a repeat. seconds: wall time of each. uses: what the meter found in each.
        processor: seconds that this process's threads computed in each; what else runs on the machine is not in them.
        tokens: (rows,) tokens written or foreseen for each row; None where a row is no matter of tokens.
    """

    rows: int
    seconds: np.ndarray
    uses: Sequence[EnergyUse]
    processor: np.ndarray
    tokens: np.ndarray | None = None

    @property
    def problem(self) -> str | None:
        """Why there is no energy, if there is none."""
        return next((use.reason or "the meter gave no number" for use in self.uses if use.energy_kwh is None), None)

    def kwh_per_1000(self, part: str | None = None) -> np.ndarray:
        """Energy per 1,000 inferences of each repeat: of all parts, or of one."""
        kwh = [(use.energy_kwh or 0.0) if part is None else (use.parts_kwh or {}).get(part, 0.0) for use in self.uses]
        return np.array(kwh) * 1000 / self.rows

    @property
    def estimated_share(self) -> float:
        """Share of the energy that no counter gave."""
        counted = sum((use.parts_kwh or {}).get(part, 0.0) for use in self.uses for part in use.counted)
        total = sum(use.energy_kwh or 0.0 for use in self.uses)
        return 1.0 - min(counted / total, 1.0) if total > 0 else 1.0


def run_repeats(subject: Subject, worker: PredictorLike, sample: Table, *, repeats: int, country: str) -> Repeats:
    """The sample, run once for nothing (the first call loads the model), then `repeats` times.

    A row is asked what the subject's task asks: to be labelled, written, answered or foreseen, as a whole.
    """
    answers = subject.ask(sample.select(np.arange(min(WARM_UP_ROWS, sample.rows))), worker)
    device = str(getattr(worker, "device", "cpu"))
    uses, seconds, processor = [], [], []
    for _ in range(repeats):
        with measure_energy(country=country, interval_seconds=1.0, device=device) as use:
            started, computed = time.perf_counter(), time.process_time()
            answers = subject.ask(sample, worker)
            processor.append(time.process_time() - computed)
            seconds.append(time.perf_counter() - started)
        uses.append(use)
    tokens = answers.tokens if isinstance(answers, Generations | Scores) else None
    return Repeats(sample.rows, np.array(seconds), uses, np.array(processor), tokens)


def mean_of_repeats(values: np.ndarray) -> Estimate:
    """Mean of repeats with Student's t interval, cut at 0: neither energy nor speed is negative.

    Args:
        values: (repeats,), two or more.
    """
    from scipy.stats import t

    n, mean = len(values), float(np.mean(values))
    arm = float(t.ppf(0.975, n - 1) * np.std(values, ddof=1) / np.sqrt(n))
    return Estimate(mean, max(0.0, mean - arm), mean + arm, n, "Student's t over repeats, cut at 0")


def with_method_error(estimate: Estimate, estimated_share: float, error: float = ESTIMATE_ERROR) -> Estimate:
    """The same mean, and an interval that also holds the truth when the estimated part is wrong by `error` of it.

    An estimate e that is off by at most `error` of the truth comes from a truth in [e / (1 + error), e / (1 - error)].
    Counted parts are taken as they are.

    Args:
        estimate: mean with the interval of its repeats.
        estimated_share: share of the value that no counter gave, in [0, 1].
        error: largest relative error, in (0, 1).
    """
    if estimate.value is None or estimate.low is None or estimate.high is None:
        return estimate
    counted = 1 - estimated_share
    low = estimate.low * (counted + estimated_share / (1 + error))
    high = estimate.high * (counted + estimated_share / (1 - error))
    how = f"{estimate.method}; estimated parts widened by a method error of {error:.0%} (arXiv:2509.22092)"
    return Estimate(estimate.value, low, high, estimate.n, how)


def scaled(estimate: Estimate, factor: float) -> Estimate:
    """The estimate in another unit."""
    if estimate.value is None or estimate.low is None or estimate.high is None:
        return estimate
    value, low, high = (x * factor for x in (estimate.value, estimate.low, estimate.high))
    return Estimate(value, low, high, estimate.n, estimate.method)
