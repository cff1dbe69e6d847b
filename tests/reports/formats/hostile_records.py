"""Records in which Hypothesis fills each string that a stranger can write. Synthetic."""

from __future__ import annotations

from hypothesis import strategies as st

from reports.record import (
    AuditResult,
    DataFacts,
    Environment,
    Finding,
    Metric,
    Mitigation,
    PolicyFacts,
    Record,
    Run,
    Severity,
    Status,
    SubjectFacts,
    Tool,
    Verdict,
)
from tests.reports.hostile import ATTACKS

PIECES = (
    *ATTACKS,
    "](",
    "[a](javascript:b)",
    "{0}",
    "\n---\n",
    "\ufffe",
    "\uffff",
    "'",
    '"',
    "\\",
    "|",
    "\r",
    "`",
    "<b>",
)
CHARACTERS = st.characters(exclude_categories=["Cs"])  # a record is UTF-8: it cannot hold a lone surrogate
TEXT = st.lists(st.sampled_from(PIECES) | st.text(CHARACTERS, max_size=6), max_size=4).map("".join)
NUMBER = st.floats(-1e12, 1e12)


@st.composite
def metrics(draw: st.DrawFn) -> Metric:
    value = draw(st.none() | NUMBER)
    limit = draw(st.none() | NUMBER)
    judged = [Verdict.INCONCLUSIVE, *([Verdict.PASS, Verdict.FAIL] if value is not None else [])]
    return Metric(
        name=draw(TEXT),
        slice=draw(st.dictionaries(TEXT, TEXT, max_size=2)),
        value=value,
        interval=draw(st.none() | st.tuples(NUMBER, NUMBER).map(lambda pair: (min(pair), max(pair)))),
        interval_method=draw(st.none() | TEXT),
        n=draw(st.integers(1, 10**9)),
        unit=draw(TEXT),
        limit=limit,
        limit_source=draw(st.none() | TEXT),
        better=draw(st.sampled_from(["lower", "higher", "none"])),
        verdict=draw(st.sampled_from(judged)) if limit is not None else Verdict.INFORMATIVE,
        reason=draw(TEXT) or "no reason",
        rows_needed=draw(st.none() | st.integers(1, 10**9)),
        definition=draw(st.none() | TEXT),
        p_adjusted=draw(st.none() | st.floats(0, 1)),
    )


@st.composite
def audits(draw: st.DrawFn, audit_id: str) -> AuditResult:
    status = draw(st.sampled_from(Status))
    found = draw(st.lists(metrics(), max_size=3, unique_by=lambda metric: metric.key))
    findings = [
        Finding(
            id=draw(TEXT),
            severity=draw(st.sampled_from(Severity)),
            statement=draw(TEXT),
            metrics=draw(st.lists(st.sampled_from([m.key for m in found]), max_size=2)) if found else [],
            mitigation=draw(st.none() | st.builds(Mitigation, command=TEXT, why=TEXT)),
            examples=[{draw(TEXT): draw(TEXT)}],
        )
        for _ in range(draw(st.integers(0, 2)))
    ]
    return AuditResult(
        id=audit_id,
        concern=draw(st.just("fairness") | TEXT),
        status=status,
        reason=draw(TEXT) or "no reason",
        supply=draw(st.none() | TEXT),
        title=draw(TEXT),
        metrics=found,
        findings=findings,
    )


@st.composite
def hostile_records(draw: st.DrawFn) -> Record:
    """A whole record; its verdict is as it may be, also against its own numbers."""
    ids = draw(st.lists(TEXT, max_size=3, unique=True))
    record = Record(
        tool=Tool(name=draw(TEXT), version=draw(TEXT)),
        subject=SubjectFacts(
            name=draw(TEXT), sha256=draw(TEXT), task=draw(TEXT), architecture=draw(TEXT), parameters=1,
            licence=draw(st.none() | TEXT),
        ),
        data=DataFacts(name=draw(TEXT), sha256=draw(TEXT), rows=1, text_column="text", licence=draw(st.none() | TEXT),
                       sensitive=draw(st.none() | TEXT)),
        environment=Environment(python="3.11", platform="", packages=draw(st.dictionaries(TEXT, TEXT, max_size=2))),
        policy=draw(st.none() | st.builds(PolicyFacts, name=TEXT, sha256=TEXT)),
        audits=[draw(audits(audit_id)) for audit_id in ids],
        verdict=draw(st.sampled_from(["pass", "fail", "inconclusive"])),
        verdict_reason=draw(TEXT),
        complete=draw(st.booleans()),
        content_sha256=draw(st.none() | TEXT),
        run=Run(started=draw(TEXT | st.just("2026-11-20T10:00:00+01:00"))),
    )  # fmt: skip
    return record.sealed() if draw(st.booleans()) else record
