"""What a reader should act on: tests that fail, breaks that nobody would notice, classes that no test reaches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from audit.concerns.testability.lines import changes_answers
from audit.concerns.testability.mutants import Trials
from audit.concerns.testability.suite import Suite
from audit.examples import Line, examples_of, shortened
from audit.mending import audit_command, train_command
from core_model.behaviour import Judged
from core_model.tasks import Task
from reports.record import Finding, Metric, Mitigation, Severity, Verdict

if TYPE_CHECKING:
    from audit.subject import Subject

RUN_SUITE = "aboveboard behave CHECKPOINT --suite audit-out/behavioural_suite.csv"
SHOWN = 6


def findings_of(
    subject: Subject, suite: Suite, judged: Judged, trials: Trials, metrics: Sequence[Metric], *, least: float,
    largest_break: float,
) -> list[Finding]:  # fmt: skip
    """Gravest first."""
    found = [
        *_invariance(subject, suite, judged, metrics),
        *_unnoticed(trials, metrics, least),
        *_thin(subject, metrics, largest_break),
        *_others(subject, suite, judged, metrics),
    ]
    order = list(Severity)
    return sorted(found, key=lambda finding: order.index(finding.severity))


def _kind(metrics: Sequence[Metric], kind: str) -> Metric:
    return next(line for line in metrics if line.name == "behavioural_failure_rate" and line.slice == {"kind": kind})


def _failed(suite: Suite, judged: Judged, kind: str) -> list[int]:
    return [i for i in np.flatnonzero(~judged.passed).tolist() if suite.cases[i].kind == kind]


def _line(subject: Subject, suite: Suite, judged: Judged) -> Callable[[int], Line]:
    rows = subject.data.rows

    def line(place: int) -> Line:
        case = suite.cases[place]
        made_of: Line = {"row": case.cluster + 1} if case.cluster < rows else {}
        wanted = {
            "same": "the same answer", "is": f"{case.label}", "not above": f"{case.label} not more probable",
            "not below": f"{case.label} not less probable",
        }[case.expectation]  # fmt: skip
        return {
            **made_of, "capability": case.capability, "text": shortened(case.text),
            "expected": wanted, "answered": shortened(judged.answers[place]),
        }  # fmt: skip

    return line


def _invariance(subject: Subject, suite: Suite, judged: Judged, metrics: Sequence[Metric]) -> list[Finding]:
    failed, line = _failed(suite, judged, "INV"), _kind(metrics, "INV")
    if not failed or line.value is None:
        return []
    broken = line.verdict is Verdict.FAIL
    name = "testability-invariance"
    return [
        Finding(
            id=name, severity=Severity.MEDIUM if broken else Severity.LOW,
            statement=f"{line.value:.1%} of {line.n:,} edits that should not matter (spaces, a link, another name) "
            "turn the answer.",
            metrics=[line.key],
            mitigation=Mitigation(
                command=train_command(subject, "--augment noise"),
                why="trains on rows with such edits; run the audit again, and hold the suite against the result",
            ),
            **examples_of(failed, _line(subject, suite, judged), finding=name, seed=subject.seed, worst=0),
        )
    ]  # fmt: skip


def _others(subject: Subject, suite: Suite, judged: Judged, metrics: Sequence[Metric]) -> list[Finding]:
    """Tests of labels that fail: a failure may be the test's, and a person has to look."""
    found = []
    for kind, what in (
        ("MFT", "texts cut to what goes most with their label"),
        ("DIR", "added sentences that should move the answer one way"),
    ):
        failed, line = _failed(suite, judged, kind), _kind(metrics, kind)
        if not failed or line.value is None:
            continue
        name = f"testability-{'functionality' if kind == 'MFT' else 'direction'}"
        found.append(
            Finding(
                id=name, severity=Severity.LOW,
                statement=f"{line.value:.1%} of {line.n:,} tests with {what} fail: look at them, for the tests were "
                "made by rules.",
                metrics=[line.key],
                mitigation=Mitigation(
                    command=RUN_SUITE,
                    why="the suite lies beside the report: strike what is no fair test, and run what is left on each "
                    "version of the model",
                ),
                **examples_of(failed, _line(subject, suite, judged), finding=name, seed=subject.seed, worst=0),
            )
        )  # fmt: skip
    return found


def _unnoticed(trials: Trials, metrics: Sequence[Metric], least: float) -> list[Finding]:
    """Mutants that change answers, and that the labelled rows, or nobody, noticed."""
    real = [trial for trial in trials.mutants if changes_answers(trial, least)]
    missed = [trial for trial in real if trial.noticed_by == "nobody"]
    if not missed:
        return []
    scores = [line.key for line in metrics if line.name == "mutation_score"]
    names = ", ".join(trial.name.replace("_", " ") for trial in missed[:SHOWN])
    more = f" and {len(missed) - SHOWN} more" if len(missed) > SHOWN else ""
    return [
        Finding(
            id="testability-unnoticed", severity=Severity.MEDIUM if 2 * len(missed) > len(real) else Severity.LOW,
            statement=f"{len(missed)} of {len(real)} broken copies of the model that change answers are noticed "
            f"neither by {trials.tests} behavioural tests nor by {trials.rows} labelled rows: {names}{more}.",
            metrics=scores,
            mitigation=Mitigation(
                command=RUN_SUITE,
                why="runs the whole suite on each version of the model; more rows notice smaller breaks",
            ),
        )
    ]  # fmt: skip


def _thin(subject: Subject, metrics: Sequence[Metric], largest: float) -> list[Finding]:
    lines = [line for line in metrics if line.name == "smallest_noticed_break" and line.slice]
    thin = [line for line in lines if line.value is None or line.value > largest]
    if subject.task is not Task.CLASSIFICATION or not thin:
        return []
    named = ", ".join(f"{line.slice['label']} ({line.n} rows answered rightly)" for line in thin[:SHOWN])
    return [
        Finding(
            id="testability-thin-classes",
            severity=Severity.MEDIUM if any(line.value is None for line in thin) else Severity.LOW,
            statement=f"{len(thin)} of {len(lines)} labels have too few rows: a break of {largest:.0%} of them would "
            f"not be noticed: {named}.",
            metrics=[line.key for line in thin],
            mitigation=Mitigation(
                command=audit_command(subject, "--only testability", data="MORE_ROWS"),
                why="with about 70 rows of a label a break of a tenth of them is noticed in 8 of 10 cases",
            ),
        )
    ]  # fmt: skip
