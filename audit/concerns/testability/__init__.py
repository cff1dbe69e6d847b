"""Testability: can this model be tested, and would the tests notice if it broke?

What it measures  A behavioural suite made of the given rows by CheckList's kinds: MFT, minimum functionality (texts cut
                  to what goes most with their label); INV, invariance (spaces, an ending, a link, another name); DIR,
                  direction (a run of words of another class is added). Then the suite and the labelled rows are tried
                  on a dozen mutants of the model, copies with one thing broken: which do they notice? And what the
                  rows cannot test: labels, words, groups that too few of them hold.
How to read it    All tests are synthetic: rows edited by rules. A failed INV test is the model's; a failed MFT or DIR
                  test may be the test's, for which words go with a label was counted. A break is noticed by an exact
                  paired test at 5%; equivalent mutants show its false alarms. The mutants are few and chosen
                  beforehand: their score compares suites, and is no chance of noticing the next real break.
                  Severity: medium where edits that should not matter turn answers beyond the limit, where most breaks
                  stay unnoticed, or where a label cannot be tested at all; low otherwise.
How to mend it    `aboveboard behave CHECKPOINT --suite behavioural_suite.csv` runs the suite, which lies beside the
                  report, on the next version; `assert_behaviour` does it in pytest. More rows of the labels named.
Source            Ribeiro et al. 2020, doi:10.18653/v1/2020.acl-main.442; Ma et al. 2018, arXiv:1805.05206; Humbatova
                  et al. 2021, doi:10.1145/3460319.3471825.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from audit.concerns.testability.findings import findings_of
from audit.concerns.testability.lines import failure_figure, failure_lines, mutant_figure, mutation_lines
from audit.concerns.testability.mutants import try_mutants
from audit.concerns.testability.suite import TEMPLATES, drawn_rows, make_suite, most_tests, why_no_labels
from audit.concerns.testability.untested import untested_lines
from audit.evidence import Limit
from audit.plugin import Concern, Evidence, Need, Options, Size, audit
from core_model.behaviour import judge, questions
from core_model.predictions import Predictions, SpanAnswers
from core_model.tasks import Task

if TYPE_CHECKING:
    from audit.subject import Subject

TABLE = "behavioural_suite"


class TestabilityOptions(Options):
    """How large the suite is, and how many broken copies it is tried on."""

    rows: int = Field(
        60, ge=1, description="rows drawn for the suite, at most half of all; each gives about seven tests"
    )
    mutants: int = Field(12, ge=0, description="broken copies of the model, each asked the rows named below; 0: none")
    mutant_suite_rows: int = Field(
        20, ge=1, description="rows of which one INV and one DIR test are run on each mutant, beside all MFT tests"
    )
    labelled_rows: int = Field(60, ge=1, description="labelled rows that are run on each mutant, for comparison")
    held_out_rows: int = Field(30, ge=1, description="other rows, which show whether a mutant changes answers at all")
    least_changed: float = Field(
        0.05, gt=0, le=1, description="share of the held-out rows that a mutant must answer otherwise to be counted"
    )
    max_invariance_failures: float = Field(0.05, ge=0, le=1, description="share of invariance tests that may fail")
    largest_break: float = Field(
        0.1, gt=0, le=1, description="share of a label's rows that may break unnoticed before it is named as thin"
    )


def _planned(size: Size, options: TestabilityOptions) -> Mapping[str, int]:
    classified = size.task is Task.CLASSIFICATION
    rows = drawn_rows(options.rows, size.rows)
    tests = most_tests(rows, size.classes if classified else 0)
    planned = {"data": size.rows, "behavioural tests": tests}
    if classified and size.gradients and options.mutants:
        part = min(options.mutant_suite_rows, rows)
        tests = rows // 2 + TEMPLATES * size.classes + 2 * part
        each = tests + min(options.labelled_rows, size.rows) + options.held_out_rows
        planned["mutants"] = (options.mutants + 2) * each
    return planned


@audit(
    concern=Concern.TESTABILITY,
    uses={Need.LABELS, Need.GROUPS, Need.TRAINING_DATA, Need.GRADIENTS},
    tasks={Task.CLASSIFICATION, Task.QUESTION_ANSWERING},
    forward_passes=_planned,
    profiles={
        "quick": {"rows": 20, "mutants": 6, "mutant_suite_rows": 10, "labelled_rows": 30, "held_out_rows": 20},
        "full": {"rows": 300, "mutants": 36, "mutant_suite_rows": 100, "labelled_rows": 200, "held_out_rows": 100},
    },
)
def testability(subject: Subject, options: TestabilityOptions, random: np.random.Generator) -> Evidence:
    """The suite on the model, then on its mutants; and what no row reaches."""
    making, resampling, mutating = random.spawn(3)
    suite = make_suite(subject, options.rows, making)
    texts, pairs = questions(suite.cases)
    judged = judge(suite.cases, _asked(subject, texts, pairs), subject.labels)
    trials = try_mutants(
        subject, suite, mutating, mutants=options.mutants, suite_rows=options.mutant_suite_rows,
        labelled=options.labelled_rows, held_out=options.held_out_rows,
    )  # fmt: skip
    limit = Limit(options.max_invariance_failures, "options.max_invariance_failures")
    metrics = [
        *failure_lines(suite, judged.passed, resampling, why_no_labels=why_no_labels(subject), limit=limit),
        *mutation_lines(trials, least=options.least_changed),
        *untested_lines(subject),
    ]
    figures = [figure for figure in (failure_figure(metrics), mutant_figure(trials)) if figure is not None]
    return Evidence(
        metrics=metrics,
        findings=findings_of(
            subject, suite, judged, trials, metrics, least=options.least_changed, largest_break=options.largest_break
        ),
        figures=figures,
        notes=_notes(suite.counted, len(suite.cases), trials.tests, trials.rows),
        tables={TABLE: [case.row() for case in suite.cases]},
        forward_passes=trials.passes,
    )


def _asked(subject: Subject, texts: list[str], pairs: list[str] | None) -> Predictions | SpanAnswers:
    if subject.task is Task.CLASSIFICATION:
        return subject.predict(texts, pairs)
    return subject.predictor.answer(texts, pairs or [])


def _notes(counted: str, cases: int, tests: int, rows: int) -> list[str]:
    notes = [
        f"The suite's {cases:,} tests are synthetic: rows edited by rules. It lies beside the report as {TABLE}.csv.",
        f"Which words go with a label was counted in the {counted}."
        if counted.endswith("rows")
        else f"No test of labels was made: {counted}.",
    ]
    if tests:
        notes.append(
            f"Each mutant was asked {tests:,} tests of the suite and {rows:,} labelled rows: a run of the whole "
            "suite, or of more rows, notices smaller breaks."
        )
    return notes
