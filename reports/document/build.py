"""The audit report: one HTML file from one record, the same bytes each time.

Nothing is measured here and no clock is read. The page carries its record, so that `reports.reading.extract_record`
gives it back, and a Content-Security-Policy that allows its own style sheet and script by their hashes, nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from reports.document import markup, states
from reports.document.comparison import comparison_html
from reports.document.page import page
from reports.document.rows import (
    MOST_EXAMPLES,
    Anchors,
    Examples,
    FigureView,
    FindingView,
    MetricRow,
    Table,
    figure_view,
    metric_rows,
    table,
)
from reports.document.selftest import selftest_table
from reports.document.states import State
from reports.document.vocabulary import meaning
from reports.frameworks.facts import agreement_words
from reports.language import ENGLISH, N_, Language, _, percent, speaking, translated
from reports.numbers import cell
from reports.policy_outcome import waived
from reports.reading import RECORD_ELEMENT, hash_matches
from reports.record import AuditResult, Finding, Metric, Record, Severity, Status
from reports.signing.bundle import Signed

__all__ = ["comparison_html", "report_html"]

MOST_ENTRIES = 300  # packages, files, options: lines of one appendix table that a page shows


@dataclass(frozen=True)
class Definition:
    """What a name stands for: in the page's language where the vocabulary has it, and in the record's own words."""

    name: str
    meaning: str
    definition: str
    interval: str
    source: str


@dataclass(frozen=True)
class AuditView:
    """One audit, its numbers sorted by what a reader asks first."""

    anchor: str
    audit: AuditResult
    title: str
    state: State
    tally: list[tuple[State, int]]
    first: list[MetricRow]
    held: list[MetricRow]
    sliced: list[MetricRow]
    absent: list[MetricRow]
    findings: list[FindingView]
    figures: list[FigureView]
    definitions: list[Definition]
    options: Table

    @property
    def open(self) -> bool:
        """Whether the section stands open: what passed, or was not measured, is folded."""
        return self.state not in (states.PASS, states.NOT_MEASURED)


def report_html(record: Record, *, language: Language = ENGLISH, signed: Signed | None = None) -> str:
    """The report as one HTML document that needs nothing else.

    Args:
        record: an audit's record, complete or not; a content hash that does not fit is shown on the first screen.
        language: of the fixed texts, the numbers and the dates; the record inside is the same in each.
        signed: what a signature vouches for that was verified, and is of this very record.
    """
    with speaking(language):
        return _report(record, signed)


def _report(record: Record, signed: Signed | None) -> str:
    anchors = Anchors()
    audits = [_audit_view(audit, anchors) for audit in record.audits]
    by_state = sorted(audits, key=lambda view: states.ORDER.index(view.state))
    findings = sorted(
        (finding for view in audits for finding in view.findings),
        key=lambda f: list(Severity).index(f.finding.severity),
    )
    broken = [(view, row) for view in audits for row in view.first if row.state is states.FAIL]
    limited = [m for a in record.audits for m in a.metrics if m.limit is not None]
    return page(
        "report.html",
        footer=markup.page_footer(record.subject.sha256, _("audit report")),
        embedded=markup.data_element(RECORD_ELEMENT, record.model_dump_json()),
        record=record,
        audits=by_state,
        findings=findings,
        severities=[(s.value, sum(f.finding.severity is s for f in findings)) for s in Severity],
        broken=broken,
        verdict=states.of_verdict(record.verdict),
        tally=states.tally(states.of_metric(m) for m in limited),
        limited=len(limited),
        unmeasured=[view for view in audits if view.audit.status is not Status.MEASURED],
        absent=[(view, row) for view in audits for row in view.absent],
        seal=_seal(record),
        signed=signed,
        waived=waived(record.audits),
        agreement_words=agreement_words,
        tables=_appendix(record),
        selftest=selftest_table(record),
    )


def _audit_view(audit: AuditResult, anchors: Anchors) -> AuditView:
    anchor = anchors.of("concern", audit.id)
    title = audit.title or audit.concern or audit.id
    rows = dict(zip((m.key for m in audit.metrics), metric_rows(audit.metrics), strict=True))
    places = {m.key: _place(m) for m in audit.metrics}
    groups = {
        place: [rows[key] for key in rows if places[key] == place] for place in ("first", "held", "sliced", "absent")
    }
    groups["first"].sort(key=lambda row: states.ORDER.index(row.state))
    return AuditView(
        anchor=anchor,
        audit=audit,
        title=title,
        state=states.of_audit(audit),
        tally=states.tally(states.of_metric(m) for m in audit.metrics if m.limit is not None),
        findings=[_finding_view(finding, audit, title, rows, anchors) for finding in audit.findings],
        figures=[figure_view(figure, anchors) for figure in audit.figures],
        definitions=_definitions(audit),
        options=_pairs(list(audit.options.items()), _("option"), _("value"), mono=_("option")),
        **groups,
    )


def _place(metric: Metric) -> str:
    """Which table of its section a number stands in."""
    state = states.of_metric(metric)
    if state is states.NOT_MEASURED:
        return "absent"
    if state is states.PASS:
        return "held"
    return "sliced" if state is states.INFORMATIVE and metric.slice else "first"


def _finding_view(
    finding: Finding, audit: AuditResult, title: str, rows: dict[str, MetricRow], anchors: Anchors
) -> FindingView:
    return FindingView(
        anchor=anchors.of("finding", finding.id),
        finding=finding,
        audit_id=audit.id,
        audit_title=title,
        metrics=[rows[key] for key in finding.metrics if key in rows],
        examples=_examples(finding),
    )


def _examples(finding: Finding) -> list[Examples]:
    """The worst rows and those drawn at random, each with how many there are in all; one table where nobody says."""
    rows, worst = finding.examples[:MOST_EXAMPLES], finding.examples_worst
    parts = [(N_("Rows"), rows)]
    if worst is not None:
        parts = [(N_("The worst"), rows[:worst]), (N_("Drawn at random, by the run's seed"), rows[worst:])]
    total = max(len(finding.examples), finding.examples_total or 0)
    return [Examples(caption, table(part, MOST_EXAMPLES, total=total)) for caption, part in parts if part]


def _definitions(audit: AuditResult) -> list[Definition]:
    """One line for each name: what the number is, whose method it is, and how its interval was made."""
    by_name: dict[str, list[Metric]] = {}
    for metric in audit.metrics:
        by_name.setdefault(metric.name, []).append(metric)
    return [
        Definition(
            name=name,
            meaning=meaning(name),
            definition=next((m.definition for m in some if m.definition), ""),
            interval=next((f"{m.interval_method} ({percent(m.confidence)})" for m in some if m.interval_method), ""),
            source=next((m.source for m in some if m.source), ""),
        )
        for name, some in list(by_name.items())[:MOST_ENTRIES]
    ]


def _seal(record: Record) -> str:
    """What the content hash says: "whole", "edited" or "none"."""
    if record.content_sha256 is None:
        return "none"
    return "whole" if hash_matches(record) else "edited"


def _appendix(record: Record) -> list[tuple[str, Table]]:
    """The plain tables of the appendix."""
    environment = record.environment
    facts = {**environment.model_dump(exclude={"packages"}), **record.subject.facts}
    sums = {
        N_("model (weights, config, tokenizer)"): record.subject.sha256,
        N_("data"): record.data.sha256,
        N_("training data"): record.training_data.sha256 if record.training_data else None,
        N_("policy"): record.policy.sha256 if record.policy else None,
        N_("evidence rows"): record.evidence.sha256 if record.evidence else None,
        N_("content of this record"): record.content_sha256,
    }
    named = [(translated(key) or key, value) for key, value in facts.items() if value not in (None, "")]
    hashes = [(_(key), value) for key, value in sums.items() if value]
    files, packages = list(record.subject.files.items()), list(environment.packages.items())
    return [
        (_("Where it ran"), _pairs(named, _("what"), _("value"))),
        ("SHA-256", _pairs(hashes, _("what"), _("hash"), mono=_("hash"))),
        (_("Files of the checkpoint"), _pairs(files, _("file"), "SHA-256", mono="SHA-256")),
        (_("Packages"), _pairs(packages, _("package"), _("version"))),
    ]


def _pairs(pairs: Sequence[tuple[str, object]], left: str, right: str, *, mono: str = "") -> Table:
    rows = [[(str(key), False), (cell(value) or str(value), False)] for key, value in pairs[:MOST_ENTRIES]]
    return Table([left, right], rows, len(pairs), mono=frozenset([mono]))
