"""Maintainability: can the model be kept going, and does this version keep what the one before could?

What it measures  With --reference PREVIOUS, on the same rows: right answers lost (negative flips) and won, all answers
                  that differ (churn), lost ones over what two independent models would lose, of all rows and by group;
                  the change of accuracy, paired. Without it: what the libraries say while the checkpoint is opened,
                  such as that something will be removed.
How to read it    A version may be better on average and still break rows that somebody relies on. A relative negative
                  flip rate of 1 means that the two are no more alike than two models that err independently. Notices of
                  deprecation are errors of a version to come. Severity: high where a limit that was set is broken;
                  medium where accuracy surely fell; low otherwise.
How to mend it    Run the behavioural suite of the version before (`aboveboard behave --against`), look at lost rows,
                  train on from the version before rather than from its base.
Source            Yan et al. 2021, arXiv:2011.09161; Srivastava et al. 2020, arXiv:2008.04572.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from audit.answer_changes import answer_changes
from audit.concerns.maintainability.flips import Versions, flip_lines, flips_figure
from audit.evidence import Limit, metric
from audit.examples import classified_line, examples_of
from audit.mending import column_flags, train_command
from audit.plugin import Concern, Evidence, Need, Options, Size, audit
from audit.statistics import Estimate
from core_model.evaluation import EVALUABLE
from core_model.loading_notices import Notice, loading_notices
from core_model.onnx_graph import graph_of
from core_model.prediction import Predictor
from core_model.predictions import Predictions
from core_model.tasks import Task
from reports.record import Finding, Metric, Mitigation, Severity, Verdict

if TYPE_CHECKING:
    from audit.subject import Subject

CENSUS = "complete count of what was said; no sampling error"
KINDS = ("deprecation", "warning")
NO_PREVIOUS = "no version before was given: --reference PREVIOUS"
SHOWN = 3


class MaintainabilityOptions(Options):
    """How much may be lost."""

    max_negative_flips: float | None = Field(
        None, ge=0, le=1, description="share of rows that may be answered rightly before and wrongly now; none set"
    )


def _planned(size: Size, options: MaintainabilityOptions) -> Mapping[str, int]:
    return {"the version before": size.rows if size.reference else 0}


@audit(
    concern=Concern.MAINTAINABILITY,
    uses={Need.LABELS, Need.GROUPS, Need.REFERENCE_CHECKPOINT, Need.GRADIENTS},
    tasks=EVALUABLE,
    forward_passes=_planned,
)
def maintainability(subject: Subject, options: MaintainabilityOptions, random: np.random.Generator) -> Evidence:
    """Flips against the version before, and notices of the libraries."""
    versions, passes = _versions(subject)
    limit = None
    if options.max_negative_flips is not None:
        limit = Limit(options.max_negative_flips, "options.max_negative_flips")
    groups = subject.groups if subject.has(Need.GROUPS) else {}
    flips = flip_lines(versions, groups, random, limit=limit)
    notices, silent = _notices(subject)
    figure = flips_figure(flips)
    return Evidence(
        metrics=[*flips, *_notice_lines(notices, silent)],
        findings=[*_lost(subject, versions, flips), *_said(subject, notices)],
        figures=[] if figure is None else [figure],
        notes=[f"The libraries say: {notice.text}" for notice in notices[:SHOWN]],
        forward_passes=passes,
    )


def _versions(subject: Subject) -> tuple[Versions, int]:
    """Both versions' answers to the audit's rows, and what the one before took."""
    previous = subject.reference if subject.has(Need.REFERENCE_CHECKPOINT) else None
    if previous is None:
        return Versions(missing=NO_PREVIOUS), 0
    if previous.task is not subject.task:
        return Versions(missing="the reference is no version of this model: it has no head for the task"), 0
    worker = Predictor(previous, cache=None)
    before = subject.ask(subject.data, worker)
    turned = answer_changes(before, subject.answers).turned
    if turned is None:
        return Versions(missing="a likelihood decides nothing that could turn"), worker.forward_passes
    if not isinstance(before, Predictions) or not subject.has(Need.LABELS):
        return Versions(other=turned), worker.forward_passes
    right = [answers.predicted == subject.targets for answers in (before, subject.predictions)]
    return Versions(other=turned, before=right[0], now=right[1]), worker.forward_passes


def _notices(subject: Subject) -> tuple[Sequence[Notice], str | None]:
    """What was said, and why nothing could be heard."""
    if graph_of(subject.checkpoint) is not None:
        return (), "a graph is not opened by transformers; the PyTorch checkpoint, which gives gradients, is"
    if subject.checkpoint.path is None or subject.checkpoint.pickled:
        return (), "there is no folder of safetensors that transformers could open"
    try:
        return loading_notices(subject.checkpoint), None
    except Exception as error:  # transformers and its parts raise whatever they meet
        return (), f"transformers does not open it: {type(error).__name__}"


def _notice_lines(notices: Sequence[Notice], silent: str | None) -> list[Metric]:
    lines = []
    for kind in KINDS:
        count = sum(notice.kind == kind for notice in notices)
        lines.append(
            metric(
                "loading_notices",
                Estimate.absent(silent) if silent else Estimate.counted(count, 1, CENSUS),
                unit="notices", better="lower", slice={"kind": kind},
                definition="Different sentences of the libraries while model and tokenizer are opened.",
            )
        )  # fmt: skip
    return lines


def _lost(subject: Subject, versions: Versions, lines: Sequence[Metric]) -> list[Finding]:
    """Rows that were answered rightly and no longer are."""
    rate = next(line for line in lines if line.name == "negative_flip_rate" and not line.slice)
    if versions.lost is None or versions.won is None or not versions.lost.any() or rate.value is None:
        return []
    change = versions.change
    fell = change.high is not None and change.high < 0
    severity = Severity.HIGH if rate.verdict is Verdict.FAIL else Severity.MEDIUM if fell else Severity.LOW
    rows = np.flatnonzero(versions.lost)
    ranked = rows[np.argsort(-subject.predictions.confidence[rows], kind="stable")]
    name = "maintainability-negative-flips"
    return [
        Finding(
            id=name, severity=severity,
            statement=f"{int(versions.lost.sum())} of {rate.n:,} rows ({rate.value:.1%}) were answered rightly by the "
            f"version before and no longer are; {int(versions.won.sum())} were won. Accuracy "
            f"{'fell' if fell else 'changed'} by {change.value:+.1%}.",
            metrics=[rate.key, "accuracy_change"],
            mitigation=Mitigation(
                command="aboveboard behave CHECKPOINT --suite audit-out/behavioural_suite.csv --against PREVIOUS"
                if not fell else train_command(subject).replace("--base CHECKPOINT", "--base PREVIOUS"),
                why="tells kinds of break from chance, row by row"
                if not fell else "training on from the version before keeps more of what it could than a new beginning",
            ),
            **examples_of(ranked, classified_line(subject), finding=name, seed=subject.seed),
        )
    ]  # fmt: skip


def _said(subject: Subject, notices: Sequence[Notice]) -> list[Finding]:
    old = [notice for notice in notices if notice.kind == "deprecation"]
    if not old:
        return []
    rows = column_flags(subject)
    export = f"aboveboard export CHECKPOINT --data TEST_FILE {rows} --out exported"
    exports = subject.task is Task.CLASSIFICATION
    return [
        Finding(
            id="maintainability-deprecations", severity=Severity.LOW,
            statement=f"The libraries say of {len(old)} things that the checkpoint uses that they will go, such as: "
            f"{old[0].text}",
            metrics=["loading_notices[kind=deprecation]"],
            mitigation=Mitigation(
                command=export if exports else "aboveboard doctor",
                why="an exported graph does not hang on these libraries; else pin the versions that doctor names",
            ),
            examples=[{"what": "said while opening", "sentence": notice.text} for notice in old],
        )
    ]  # fmt: skip
