"""The numbers: how often tests fail, how many mutants are noticed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from audit.concerns.testability.mutants import Trial, Trials
from audit.concerns.testability.suite import CAPABILITIES, Suite
from audit.evidence import Limit, metric
from audit.statistics import Estimate, bootstrap_mean, proportion
from core_model.behaviour import KINDS
from reports.record import Figure, Metric, Scalar

CHECKLIST = "Ribeiro et al. 2020, doi:10.18653/v1/2020.acl-main.442"
DEEPMUTATION = "Ma et al. 2018, arXiv:1805.05206; Humbatova et al. 2021, doi:10.1145/3460319.3471825"
NOTICED_BY = ("suite", "labelled rows", "either")


def failure_lines(
    suite: Suite, passed: np.ndarray, random: np.random.Generator, *, why_no_labels: str | None, limit: Limit
) -> list[Metric]:
    """Failure rates of each kind, and of each of its capabilities.

    Args:
        passed: (cases,) bool.
        why_no_labels: why there is no test of a label.
        limit: for the invariance tests together.
    """
    kinds = np.array([case.kind for case in suite.cases], dtype=object)
    capabilities = np.array([case.capability for case in suite.cases], dtype=object)
    clusters = np.array([case.cluster for case in suite.cases], dtype=np.int64)
    lines = []
    for kind, draw in zip(KINDS, random.spawn(len(KINDS)), strict=True):
        chosen = kinds == kind
        missing = (why_no_labels if kind != "INV" else None) or "no row gives such a test"
        estimate = Estimate.absent(missing)
        if chosen.any():
            estimate = bootstrap_mean(
                (~passed[chosen]).astype(float), draw, clusters=clusters[chosen], bounds=(0.0, 1.0)
            )
        lines.append(_failures(estimate, {"kind": kind}, limit if kind == "INV" else None))
        for name in CAPABILITIES[kind]:
            some = chosen & (capabilities == name)
            rate = proportion(int((~passed[some]).sum()), int(some.sum())) if some.any() else Estimate.absent(missing)
            lines.append(_failures(rate, {"kind": kind, "capability": name}, None))
    return lines


def _failures(estimate: Estimate, part: dict[str, str], limit: Limit | None) -> Metric:
    return metric(
        "behavioural_failure_rate", estimate, unit="share of tests", better="lower", slice=part, limit=limit,
        definition="Tests that fail: minimum functionality (MFT), invariance (INV) or direction (DIR). The tests are "
        "synthetic, made from rows by rules; those of one row are resampled together.",
        source=CHECKLIST,
    )  # fmt: skip


def changes_answers(trial: Trial, least: float) -> bool:
    """Whether a mutant changes enough of the held-out rows' answers to count."""
    return trial.changed >= max(1.0, least * trial.held_out)


def mutation_lines(trials: Trials, *, least: float) -> list[Metric]:
    """The mutation score, and what it rests on.

    Args:
        least: share of held-out rows that a mutant must answer otherwise to count.
    """
    real = [trial for trial in trials.mutants if changes_answers(trial, least)]
    absent = None if trials.missing is None else Estimate.absent(trials.missing)
    lines = [
        metric(
            "mutants_that_change_answers", absent or _exact(len(real), len(trials.mutants), ""),
            unit="share of mutants", source=DEEPMUTATION,
            definition=f"Mutants that answer at least {least:.0%} of the held-out rows otherwise; the others are too "
            "mild for anybody to notice, and are not counted.",
        )
    ]  # fmt: skip
    for who in NOTICED_BY:
        noticed = sum(_noticed(trial, who) for trial in real)
        no_rows = who == "labelled rows" and trials.rows == 0
        score = Estimate.absent("needs labels: --label-column COLUMN") if no_rows and absent is None else None
        lines.append(
            metric(
                "mutation_score", absent or score or _exact(noticed, len(real), "no mutant changes answers"),
                unit="share of mutants", better="higher", slice={"noticed_by": who}, source=DEEPMUTATION,
                definition="Of the mutants that change answers, those that the tests notice: an exact paired test at "
                "5% (sign test over rows, kinds by Bonferroni; McNemar's for single rows).",
            )
        )  # fmt: skip
    alarms = sum(_noticed(trial, "either") for trial in trials.equivalent)
    return [
        *lines,
        metric(
            "mutation_false_alarm_rate",
            absent or _exact(alarms, len(trials.equivalent), "no equivalent mutant could be made"),
            unit="share of equivalent mutants", better="lower", source=DEEPMUTATION,
            definition="Equivalent mutants (the same model again; hidden units in another order) that are called "
            "broken by either; the rule lets at most 5% through for the suite, and at most 5% for the rows.",
        ),
    ]  # fmt: skip


def _exact(count: int, n: int, missing: str) -> Estimate:
    return proportion(count, n, method="clopper-pearson") if n else Estimate.absent(missing)


def _noticed(trial: Trial, who: str) -> bool:
    sides = {"suite": trial.by_suite, "labelled rows": bool(trial.by_rows)}
    return sides[who] if who in sides else any(sides.values())


def failure_figure(lines: Sequence[Metric]) -> Figure | None:
    """Failure rate of each capability."""
    rows: list[dict[str, Scalar]] = [
        {
            "label": f"{line.slice['kind']}: {line.slice['capability']}", "value": line.value,
            "low": line.interval[0], "high": line.interval[1], "n": line.n,
        }
        for line in lines
        if line.name == "behavioural_failure_rate" and "capability" in line.slice and line.interval
    ]  # fmt: skip
    if not rows:
        return None
    return Figure(
        id="testability-failures", kind="intervals", title="How often behavioural tests fail",
        caption="Invariance tests (INV) should never fail; of the others a failure may also be the test's, which was "
        "made by rules. Whiskers are 95% intervals.",
        x_label="share of tests", y_label="capability", rows=rows,
    )  # fmt: skip


def mutant_figure(trials: Trials) -> Figure | None:
    """What each mutant changes, and who noticed it."""
    rows: list[dict[str, Scalar]] = []
    for trial in trials.mutants:
        share = proportion(trial.changed, trial.held_out)
        rows.append(
            {
                "label": f"{trial.name.replace('_', ' ')}: {trial.noticed_by}", "value": share.value,
                "low": share.low, "high": share.high, "n": share.n,
            }
        )  # fmt: skip
    if not rows:
        return None
    return Figure(
        id="testability-mutants", kind="intervals", title="What broken copies of the model change, and who notices",
        caption="Behind each mutant stands who noticed it. One that changes many answers and is noticed by nobody is a "
        "break that would be shipped. "
        "Whiskers are 95% intervals.",
        x_label="share of held-out rows answered otherwise", y_label="mutant", rows=rows,
    )  # fmt: skip
