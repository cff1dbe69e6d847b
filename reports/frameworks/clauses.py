"""A framework held against a record: for each clause, the evidence found, the evidence missing, and what people said.

Nothing is judged here. A clause has evidence or lacks it; the verdicts are those of single limits, and whether a duty
is met is for a person to say.
"""

from __future__ import annotations

import shlex
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from reports.document import states
from reports.document.rows import Anchors, MetricRow, in_words, metric_rows
from reports.document.states import State
from reports.document.vocabulary import fixed_words
from reports.frameworks.facts import Fact, fact
from reports.frameworks.framework import Clause, Evidence, Framework, Question
from reports.frameworks.selection import Selection
from reports.language import N_, _, translated
from reports.parts import Attestation
from reports.record import AuditResult, Metric, Record, Status

MOST_NUMBERS = 8  # of one audit under one clause; the report has them all

FOUND = State("informative", N_("evidence found"))
IN_PART = State("inconclusive", N_("evidence in part"))
MISSING = State("absent", N_("no evidence yet"))
PERSON = State("person", N_("a person's alone"))
EVIDENCE_STATES = (FOUND, IN_PART, MISSING, PERSON)

GIVEN = State("person", N_("attested"))
STALE = State("inconclusive", N_("stale"))
OPEN = State("absent", N_("open"))


@dataclass(frozen=True)
class EvidenceView:
    """One piece of evidence: numbers or lines; or why it is missing, and what gives it."""

    title: str
    about: str
    rows: list[MetricRow]
    more: int
    pairs: list[tuple[str, str]]
    missing: str
    command: str


@dataclass(frozen=True)
class QuestionView:
    """A question with the answers that were given to it, the last one last."""

    id: str
    asks: str
    answers: list[Attestation]
    state: State
    command: str


@dataclass(frozen=True)
class ClauseView:
    """A clause as a page shows it."""

    anchor: str
    clause: Clause
    found: list[EvidenceView]
    missing: list[EvidenceView]
    questions: list[QuestionView]
    state: State

    @property
    def tally(self) -> list[tuple[State, int]]:
        """Verdicts of the limited numbers that stand under this clause."""
        return states.tally(row.state for view in self.found for row in view.rows if row.limit)


def clause_views(
    framework: Framework,
    record: Record,
    *,
    installed: Collection[str] | None = None,
    selection: Selection | None = None,
) -> list[ClauseView]:
    """Every clause of the framework, in its order.

    Args:
        installed: ids of the audits that could be run; None where that is not known.
        selection: the tables of selection rates, where the framework asks for them.
    """
    anchors = Anchors()
    given = record.people.attestations if record.people and record.people.attestations else []
    return [_clause(framework, clause, record, given, installed, selection, anchors) for clause in framework.clauses]


def _clause(
    framework: Framework,
    clause: Clause,
    record: Record,
    given: Sequence[Attestation],
    installed: Collection[str] | None,
    selection: Selection | None,
    anchors: Anchors,
) -> ClauseView:
    views = [_evidence(evidence, record, installed, selection) for evidence in clause.evidence]
    found, missing = [v for v in views if not v.missing], [v for v in views if v.missing]
    state = (IN_PART if missing else FOUND) if found else MISSING if missing else PERSON
    questions = [_question(f"{framework.id}/{clause.id}/{q.id}", q, given) for q in clause.attest]
    return ClauseView(anchors.of("clause", clause.id), clause, found, missing, questions, state)


def _question(full_id: str, question: Question, given: Sequence[Attestation]) -> QuestionView:
    answers = [answer for answer in given if answer.question == full_id]
    state = OPEN if not answers else STALE if answers[-1].stale else GIVEN
    command = f"aboveboard attest --from audit.json --question {full_id}"
    return QuestionView(full_id, question.asks, answers, state, command)


def _evidence(
    evidence: Evidence, record: Record, installed: Collection[str] | None, selection: Selection | None
) -> EvidenceView:
    if evidence.fact is not None:
        said = fact(evidence.fact, record)
        if evidence.fact in ("selection", "scoring"):
            said = _of_selection(said, selection, scoring=evidence.fact == "scoring")
        return EvidenceView(
            said.title, evidence.about, [], 0, said.pairs, said.missing, record.with_places(said.command)
        )
    assert evidence.audit is not None  # noqa: S101 - the model allows nothing else
    view = _numbers(evidence, record, installed)
    return replace(view, command=evidence.command) if view.missing and evidence.command else view


def _of_selection(said: Fact, selection: Selection | None, *, scoring: bool) -> Fact:
    if selection is not None and not selection.missing and (selection.scored or not scoring):
        return said
    reason = selection.missing if selection is not None and selection.missing else ""
    return replace(
        said,
        title=_("Scoring rates") if scoring else _("Selection rates and impact ratios"),
        pairs=[],
        missing=reason or _("the tables were not computed"),
        command=selection.command if selection is not None else "",
    )


def _numbers(evidence: Evidence, record: Record, installed: Collection[str] | None) -> EvidenceView:
    name = evidence.audit or ""
    audit = record.audit(name)
    title = _("Audit of %(concern)s", concern=translated(name) or name)
    wanted = [fixed_words(in_words(metric)) or in_words(metric) for metric in evidence.metrics]
    asked = f" ({', '.join(wanted)})" if wanted else ""

    def without(why: str, command: str) -> EvidenceView:
        return EvidenceView(title + asked, evidence.about, [], 0, [], why, command)

    if audit is None:
        if installed is not None and name not in installed:
            return without(_("no audit of this name is installed"), "")
        return without(_("this run did not hold this audit"), _command(record, name))
    if audit.status is not Status.MEASURED:
        return without(
            f"{states.of_audit(audit).word}: {audit.reason}",
            _command(record, name, supply=audit.supply),
        )
    chosen = _chosen(audit, evidence.metrics)
    if not chosen:
        return without(_("the audit ran and gave none of these numbers"), "")
    rows = dict(zip((m.key for m in chosen), metric_rows(chosen), strict=True))
    shown = sorted(chosen, key=lambda m: (states.ORDER.index(rows[m.key].state), m.limit is None, "by" not in m.slice))
    return EvidenceView(
        title,
        evidence.about,
        [rows[m.key] for m in shown[:MOST_NUMBERS]],
        max(0, len(shown) - MOST_NUMBERS),
        [],
        "",
        "",
    )


def _chosen(audit: AuditResult, names: Sequence[str]) -> list[Metric]:
    if names:
        return [metric for metric in audit.metrics if metric.name in names]
    limited = [metric for metric in audit.metrics if metric.limit is not None]
    return limited or [metric for metric in audit.metrics if not metric.slice] or list(audit.metrics)


def _command(record: Record, audit: str, *, supply: str | None = None) -> str:
    """The command that would measure it, with this run's places in it."""
    data = record.data
    parts = ["aboveboard audit CHECKPOINT --data TEST_FILE", f"--text-column {shlex.quote(data.text_column)}"]
    if data.label_column:
        parts.append(f"--label-column {shlex.quote(data.label_column)}")
    parts += [f"--group-column {shlex.quote(column)}" for column in data.group_columns]
    if record.training_data is not None:
        parts.append("--train-data TRAIN_FILE")
    if supply and supply.startswith("--"):
        parts.append(supply.replace(", --", " --"))
    return record.with_places(" ".join([*parts, f"--only {shlex.quote(audit)}"]))
