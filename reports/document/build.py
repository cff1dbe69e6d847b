"""The audit report: one HTML file from one record, the same bytes each time.

Nothing is measured here and no clock is read. The page carries its record, so that `reports.reading.extract_record`
gives it back, and a Content-Security-Policy that allows its own style sheet and script by their hashes, nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from reports.document import markup, states
from reports.document.comparison import comparison_html
from reports.document.page import page
from reports.document.rows import (
    MOST_EXAMPLES,
    Anchors,
    FigureView,
    FindingView,
    MetricRow,
    Table,
    figure_view,
    metric_rows,
    table,
)
from reports.document.states import State
from reports.frameworks.facts import agreement_words
from reports.numbers import cell
from reports.policy_outcome import waived
from reports.reading import RECORD_ELEMENT, hash_matches
from reports.record import AuditResult, Finding, Metric, Record, Scalar, Severity, Status

__all__ = ["comparison_html", "report_html"]

MOST_ENTRIES = 300  # packages, files, options: lines of one appendix table that a page shows


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
    definitions: Table
    options: Table

    @property
    def open(self) -> bool:
        """Whether the section stands open: what passed, or was not measured, is folded."""
        return self.state not in (states.PASS, states.NOT_MEASURED)


def report_html(record: Record) -> str:
    """The report as one HTML document that needs nothing else.

    Args:
        record: an audit's record, complete or not; a content hash that does not fit is shown on the first screen.
    """
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
        footer=markup.page_footer(record.subject.sha256, "audit report"),
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
        waived=waived(record.audits),
        agreement_words=agreement_words,
        tables=_appendix(record),
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
        options=_pairs(list(audit.options.items()), "option", "value"),
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
        examples=table(finding.examples, MOST_EXAMPLES, total=finding.examples_total),
    )


def _definitions(audit: AuditResult) -> Table:
    """One line for each name: what the number is, whose method it is, and how its interval was made."""
    lines: dict[str, dict[str, Scalar]] = {}
    for metric in audit.metrics:
        line = lines.setdefault(metric.name, {"name": metric.name, "what it is": "", "interval": "", "source": ""})
        method = f"{metric.interval_method} ({metric.confidence * 100:g}%)" if metric.interval_method else ""
        found = {"what it is": metric.definition, "interval": method, "source": metric.source}
        line.update({key: value for key, value in found.items() if value and not line[key]})
    return replace(table(list(lines.values()), MOST_ENTRIES), mono=frozenset(["name"]))


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
        "model (weights, config, tokenizer)": record.subject.sha256,
        "data": record.data.sha256,
        "training data": record.training_data.sha256 if record.training_data else None,
        "policy": record.policy.sha256 if record.policy else None,
        "evidence rows": record.evidence.sha256 if record.evidence else None,
        "content of this record": record.content_sha256,
    }
    return [
        ("Where it ran", _pairs(list(facts.items()), "what", "value")),
        ("SHA-256", _pairs([(k, v) for k, v in sums.items() if v], "what", "hash")),
        ("Files of the checkpoint", _pairs(list(record.subject.files.items()), "file", "SHA-256")),
        ("Packages", _pairs(list(environment.packages.items()), "package", "version")),
    ]


def _pairs(pairs: Sequence[tuple[str, object]], left: str, right: str) -> Table:
    rows = [[(str(key), False), (cell(value) or str(value), False)] for key, value in pairs[:MOST_ENTRIES]]
    return Table([left, right], rows, len(pairs), mono=frozenset(["hash", "SHA-256", "option"]))
