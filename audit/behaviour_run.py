"""A behavioural suite, run on a checkpoint: how many tests of each kind fail, and whether it broke against another one.

    ran = run_suite("checkpoint", "behavioural_suite.csv", against="previous")
    ran.reasons(0.1)          # why it should not be released, each as one line; empty where nothing speaks against it

Against another checkpoint a break is told by the exact paired test of `audit.concerns.testability.noticing`; alone, by
the interval of a kind's failure rate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from audit.concerns.testability.noticing import ALPHA, chance_in_all, moved_by_kind
from audit.statistics import Estimate, bootstrap_mean
from core_model.behaviour import KINDS, Case, Judged, judge, questions, read_suite
from core_model.errors import TaskUnfit
from core_model.tasks import Task


@dataclass(frozen=True, eq=False)
class SuiteRun:
    """What came of a suite.

    Attributes:
        failures: failure rate of each kind that the suite holds, rows of one origin resampled together.
        moved: of each kind, origins with more failed tests than the other checkpoint has, and with fewer; None: no
            other.
    """

    name: str
    cases: Sequence[Case]
    judged: Judged
    failures: Mapping[str, Estimate]
    moved: Mapping[str, tuple[int, int]] | None = None

    @property
    def failed(self) -> list[int]:
        """Places of the tests that fail."""
        return [int(place) for place in np.flatnonzero(~self.judged.passed)]

    @property
    def chance(self) -> float | None:
        """The chance of so many worse, were nothing broken; None without another checkpoint."""
        return None if self.moved is None else chance_in_all(self.moved)

    @property
    def against_words(self) -> str:
        """What moved against the other checkpoint, in words."""
        return ", ".join(
            f"{kind} {worse} worse and {better} better" for kind, (worse, better) in (self.moved or {}).items()
        )

    def reasons(self, max_failures: float) -> list[str]:
        """What speaks against this checkpoint.

        Args:
            max_failures: share of a kind's tests that may fail; broken where the whole interval lies above it.
        """
        found = [
            f"{kind}: {rate.value:.1%} of {rate.n} tests fail ({rate.low:.1%} to {rate.high:.1%}); at most "
            f"{max_failures:.1%} may"
            for kind, rate in self.failures.items()
            if rate.value is not None and rate.low is not None and rate.high is not None and rate.low > max_failures
        ]
        if self.chance is not None and self.chance <= ALPHA:
            found.append(f"broken against the other checkpoint: {self.against_words} (p = {self.chance:.2g})")
        return found


def run_suite(checkpoint: str | Path, suite: str | Path, *, against: str | Path | None = None) -> SuiteRun:
    """Run a suite.

    Args:
        suite: file of tests, as an audit of testability writes it.
        against: a checkpoint that is known to be sound, such as the version before.
    Raises: BadInput for a file that holds no tests, or a checkpoint of another task or with other labels.
    """
    cases = read_suite(suite)
    name, judged = _judged(checkpoint, cases)
    origins = np.array([case.cluster for case in cases])
    failures = {}
    for kind, random in zip(KINDS, np.random.default_rng(0).spawn(len(KINDS)), strict=True):
        chosen = np.array([case.kind == kind for case in cases])
        if chosen.any():
            wrong = (~judged.passed[chosen]).astype(float)
            failures[kind] = bootstrap_mean(wrong, random, clusters=origins[chosen], bounds=(0.0, 1.0))
    moved = None
    if against is not None:
        _, other = _judged(against, cases)
        moved = moved_by_kind(other.passed, judged.passed, origins, [case.kind for case in cases])
    return SuiteRun(name, cases, judged, failures, moved)


def _judged(checkpoint: str | Path, cases: Sequence[Case]) -> tuple[str, Judged]:
    from core_model.checkpoint import open_checkpoint
    from core_model.prediction import Predictor

    opened = open_checkpoint(checkpoint)
    texts, pairs = questions(cases)
    predictor = Predictor(opened)
    if opened.task is Task.CLASSIFICATION:
        return opened.name, judge(cases, predictor.predict(texts, pairs), opened.labels)
    if opened.task is Task.QUESTION_ANSWERING and pairs is not None and all(case.kind == "INV" for case in cases):
        return opened.name, judge(cases, predictor.answer(texts, pairs))
    raise TaskUnfit(
        f"{opened.name} has the task {opened.task}, and these tests are not for it",
        mend="a classifier; or a model that answers questions, with INV tests that have a context in 'pair'",
    )
