"""Facts of a record that bear on a clause without being numbers: what was audited, by what, against whose limits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from reports.frameworks.framework import FactName
from reports.numbers import number
from reports.record import DataFacts, Record, Severity, Status

Pairs = list[tuple[str, str]]
MOST_LINES = 8


@dataclass(frozen=True)
class Fact:
    """A fact as its lines, or why it is missing and which command would give it."""

    title: str
    pairs: Pairs
    missing: str = ""
    command: str = ""


def fact(name: FactName, record: Record) -> Fact:
    """What the record says under this name."""
    return _FACTS[name](record)


def _checkpoint(record: Record) -> Fact:
    subject = record.subject
    pairs = [
        ("name", subject.name),
        ("task", subject.task),
        ("architecture", subject.architecture),
        ("parameters", number(subject.parameters)),
        ("licence", subject.licence or "none stated"),
        *((key, str(value)) for key, value in list(subject.facts.items())[:MOST_LINES]),
    ]
    return Fact("The checkpoint, as its files describe it", pairs)


def _hashes(record: Record) -> Fact:
    found = {
        "checkpoint": record.subject.sha256,
        "test data": record.data.sha256,
        "training data": record.training_data.sha256 if record.training_data else None,
        "policy": record.policy.sha256 if record.policy else None,
        "evidence rows": record.evidence.sha256 if record.evidence else None,
        "content of the record": record.content_sha256,
    }
    return Fact("SHA-256 of what this page refers to", [(key, value) for key, value in found.items() if value])


def _table(data: DataFacts) -> Pairs:
    return [
        ("name", data.name),
        ("rows", number(data.rows)),
        ("made by", "a program: synthetic" if data.synthetic else "not marked as synthetic"),
        ("sha256", data.sha256),
        ("groups by", ", ".join(data.group_columns) or "no column"),
        ("source", data.source or "not stated"),
        ("licence", data.licence or "not stated"),
    ]


def _data(record: Record) -> Fact:
    return Fact("The rows that it was measured on", _table(record.data))


def _training_data(record: Record) -> Fact:
    title = "The rows that it was trained on"
    if record.training_data is None:
        command = "aboveboard audit CHECKPOINT --data TEST_FILE --train-data FILE"
        return Fact(title, [], "no training rows were given to this run", command)
    return Fact(title, _table(record.training_data))


def _environment(record: Record) -> Fact:
    where = record.environment
    pairs = [
        ("hardware", where.hardware or "not recorded"),
        ("platform", where.platform),
        ("device", f"{where.device}, {where.dtype}, {where.threads} threads"),
        ("Python", where.python),
        *((package, version) for package, version in list(where.packages.items())[:MOST_LINES]),
    ]
    return Fact("Where it ran", pairs)


def _run(record: Record) -> Fact:
    ended = record.run.finished or ("whole" if record.complete else "it broke off")
    pairs = [
        ("tool", f"{record.tool.name} {record.tool.version}"),
        ("started", record.run.started),
        ("ended", ended),
        ("seed", str(record.environment.seed)),
        ("command", record.run.command or "not recorded"),
    ]
    return Fact("The run", pairs)


def _policy(record: Record) -> Fact:
    title = "The limits that were set before the run"
    if record.policy is None:
        command = "aboveboard audit CHECKPOINT --data TEST_FILE --policy FILE"
        return Fact(title, [], "no policy was given: the limits were the audits' own", command)
    policy = record.policy
    when = "before the run" if (policy.modified or "~") <= record.run.started else "not shown to be before the run"
    limits = [
        f"{audit.id}: {m.name} {'at least' if m.better == 'higher' else 'at most'} {m.limit:g}"
        for audit in record.audits
        for m in audit.metrics
        if m.limit is not None
    ]
    shown = list(dict.fromkeys(limits))
    more = f" and {len(shown) - MOST_LINES} more" if len(shown) > MOST_LINES else ""
    return Fact(
        title,
        [
            ("policy", policy.name),
            ("sha256", policy.sha256 or "none"),
            ("last changed", f"{policy.modified or 'unknown'}, {when}"),
            ("limits", ("; ".join(shown[:MOST_LINES]) + more) or "none"),
            ("waivers", "; ".join(f"{w.about}: {w.words}" for w in policy.waivers or []) or "none"),
        ],
    )


def _findings(record: Record) -> Fact:
    found = [(audit, finding) for audit in record.audits for finding in audit.findings]
    found.sort(key=lambda pair: list(Severity).index(pair[1].severity))
    pairs = [(f"{f.severity.value}, {a.id}", f.statement) for a, f in found[:MOST_LINES]]
    if len(found) > MOST_LINES:
        pairs.append(("and", f"{len(found) - MOST_LINES} more, in the report"))
    return Fact("Findings of this run", pairs or [("none", "the audits that were measured found nothing to mend")])


def _not_measured(record: Record) -> Fact:
    pairs = [(a.id, a.reason or "") for a in record.audits if a.status is not Status.MEASURED]
    absent = sum(m.value is None for a in record.audits for m in a.metrics)
    pairs.append(("single numbers", f"{number(absent)} absent, each with its reason in the report"))
    return Fact("What was not measured, and why", pairs)


def _definitions(record: Record) -> Fact:
    found = {m.name: m for a in record.audits for m in a.metrics if m.definition}
    pairs = [
        (name, f"{m.definition} ({m.source or 'no source named'})") for name, m in list(found.items())[:MOST_LINES]
    ]
    if len(found) > MOST_LINES:
        pairs.append(("and", f"{len(found) - MOST_LINES} more, in the report"))
    missing = "" if pairs else "no number of this run carries a definition"
    return Fact("What each number is, and whose method", pairs, missing)


def _claims(record: Record) -> Fact:
    pairs = [(claim.name, f"{claim.value} (says {claim.file})") for claim in record.claims]
    missing = "" if pairs else "the checkpoint says nothing of how it was made"
    command = "" if pairs else "aboveboard train ... (leaves training_record.json in the folder)"
    return Fact("What the checkpoint says of itself: claims, not measurements", pairs, missing, command)


def _comparison(record: Record) -> Fact:
    return Fact(
        "Change between two audits",
        [],
        "one record cannot show a change",
        "aboveboard compare EARLIER/audit.json LATER/audit.json --out difference",
    )


def _selftest(record: Record) -> Fact:
    return Fact(
        "Controls: sick and healthy checkpoints, and what the audits said of them",
        [],
        "a record does not carry the result of the selftest",
        "aboveboard selftest",
    )


def _review(record: Record) -> Fact:
    title = "What people decided on rows of the review queue"
    review = record.people.review if record.people else None
    if review is None:
        command = "aboveboard review audit-out/review_queue.csv --reviewer NAME"
        return Fact(title, [], "no decisions were read back", command)
    decided = ", ".join(f"{label}: {count}" for label, count in review.decisions.items())
    pairs = [
        ("rows", f"{review.rows} of {review.rows_queued} queued"),
        ("reviewers", ", ".join(review.reviewers)),
        ("decisions", decided),
        ("agreement", agreement_words(review.alpha, review.interval, review.reason)),
    ]
    return Fact(title, pairs)


def agreement_words(alpha: float | None, interval: tuple[float, float] | None, reason: str | None) -> str:
    """Krippendorff's alpha in words: "alpha 0.61 (95% interval 0.40 to 0.79)", or why there is none."""
    if alpha is None:
        return f"not measured: {reason}"
    within = f"95% interval {interval[0]:.2f} to {interval[1]:.2f}" if interval else f"no interval: {reason}"
    return f"Krippendorff's alpha {alpha:.2f} ({within})"


def _tables(record: Record) -> Fact:
    return Fact("The tables of this page", [("see", "the tables before the clauses")])


_FACTS: dict[str, Callable[[Record], Fact]] = {
    "checkpoint": _checkpoint,
    "hashes": _hashes,
    "data": _data,
    "training data": _training_data,
    "environment": _environment,
    "run": _run,
    "policy": _policy,
    "findings": _findings,
    "not measured": _not_measured,
    "definitions": _definitions,
    "claims": _claims,
    "comparison": _comparison,
    "selftest": _selftest,
    "review": _review,
    "selection": _tables,
    "scoring": _tables,
}
