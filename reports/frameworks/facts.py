"""Facts of a record that bear on a clause without being numbers: what was audited, by what, against whose limits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from reports.frameworks.framework import FactName
from reports.language import _, moment, percent, pgettext, translated
from reports.numbers import ABSENT, cell, number
from reports.record import DataFacts, Record, Severity, Status
from reports.selftest import ControlFacts
from reports.smoothing_words import smoothing_sentence

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
        (_("name"), subject.name),
        (_("task"), translated(subject.task) or subject.task),
        (_("architecture"), subject.architecture),
        (_("parameters"), number(subject.parameters)),
        (_("licence"), subject.licence or _("not stated")),
        *([(_("asked as"), smoothing_sentence(subject.smoothing))] if subject.smoothing else []),
        *((translated(key) or key, str(value)) for key, value in list(subject.facts.items())[:MOST_LINES]),
    ]
    return Fact(_("The checkpoint, as its files describe it"), pairs)


def _hashes(record: Record) -> Fact:
    found = {
        _("checkpoint"): record.subject.sha256,
        _("test data"): record.data.sha256,
        _("training data"): record.training_data.sha256 if record.training_data else None,
        _("policy"): record.policy.sha256 if record.policy else None,
        _("evidence rows"): record.evidence.sha256 if record.evidence else None,
        _("content of this record"): record.content_sha256,
    }
    return Fact(_("SHA-256 of what this page refers to"), [(key, value) for key, value in found.items() if value])


def _table(data: DataFacts) -> Pairs:
    return [
        (_("name"), data.name),
        (_("rows"), number(data.rows)),
        (_("made by"), _("a program: synthetic") if data.synthetic else _("not marked as synthetic")),
        ("sha256", data.sha256),
        (_("groups by"), ", ".join(data.group_columns) or _("no column")),
        (_("source"), data.source or _("not stated")),
        (_("licence"), data.licence or _("not stated")),
    ]


def _data(record: Record) -> Fact:
    return Fact(_("The rows that it was measured on"), _table(record.data))


def _training_data(record: Record) -> Fact:
    title = _("The rows that it was trained on")
    if record.training_data is None:
        command = "aboveboard audit CHECKPOINT --data TEST_FILE --train-data FILE"
        return Fact(title, [], _("no training rows were given to this run"), command)
    return Fact(title, _table(record.training_data))


def _environment(record: Record) -> Fact:
    where = record.environment
    pairs = [
        (_("hardware"), where.hardware or _("not recorded")),
        (_("platform"), where.platform),
        (
            _("device"),
            _("%(device)s, %(dtype)s, %(count)s threads", device=where.device, dtype=where.dtype, count=where.threads),
        ),
        ("Python", where.python),
        *((package, version) for package, version in list(where.packages.items())[:MOST_LINES]),
    ]
    return Fact(_("Where it ran"), pairs)


def _run(record: Record) -> Fact:
    ended = moment(record.run.finished or "") or (_("whole") if record.complete else _("it broke off"))
    pairs = [
        (_("tool"), f"{record.tool.name} {record.tool.version}"),
        (_("started"), moment(record.run.started)),
        (_("ended"), ended),
        (_("seed"), str(record.environment.seed)),
        (_("command"), record.run.command or _("not recorded")),
    ]
    return Fact(_("The run"), pairs)


def _policy(record: Record) -> Fact:
    title = _("The limits that were set before the run")
    if record.policy is None:
        command = "aboveboard audit CHECKPOINT --data TEST_FILE --policy FILE"
        return Fact(title, [], _("no policy was given: the limits were the audits' own"), command)
    policy = record.policy
    early = (policy.modified or "~") <= record.run.started
    when = _("before the run") if early else _("not shown to be before the run")
    limits = [
        f"{audit.id}: {m.name} {'≥' if m.better == 'higher' else '≤'} {cell(m.limit)}"
        for audit in record.audits
        for m in audit.metrics
        if m.limit is not None
    ]
    shown = list(dict.fromkeys(limits))
    more = f"; {_('and %(count)s more', count=len(shown) - MOST_LINES)}" if len(shown) > MOST_LINES else ""
    return Fact(
        title,
        [
            (_("policy"), policy.name),
            ("sha256", policy.sha256 or pgettext("hash", "none")),
            (_("last changed"), f"{moment(policy.modified or '') or _('unknown')}, {when}"),
            (_("limits"), ("; ".join(shown[:MOST_LINES]) + more) or pgettext("limit", "none")),
            (
                _("waivers"),
                "; ".join(f"{w.about}: {w.words}" for w in policy.waivers or []) or pgettext("waiver", "none"),
            ),
        ],
    )


def _findings(record: Record) -> Fact:
    found = [(audit, finding) for audit in record.audits for finding in audit.findings]
    found.sort(key=lambda pair: list(Severity).index(pair[1].severity))
    pairs = [(f"{_(f.severity.value)}, {a.id}", f.statement) for a, f in found[:MOST_LINES]]
    if len(found) > MOST_LINES:
        pairs.append(("…", _("and %(count)s more, in the report", count=len(found) - MOST_LINES)))
    none = [(ABSENT, _("the audits that were measured found nothing to mend"))]
    return Fact(_("Findings of this run"), pairs or none)


def _not_measured(record: Record) -> Fact:
    pairs = [(a.id, a.reason or "") for a in record.audits if a.status is not Status.MEASURED]
    absent = sum(m.value is None for a in record.audits for m in a.metrics)
    pairs.append((_("single numbers"), _("%(count)s absent, each with its reason in the report", count=number(absent))))
    return Fact(_("What was not measured, and why"), pairs)


def _definitions(record: Record) -> Fact:
    found = {m.name: m for a in record.audits for m in a.metrics if m.definition}
    pairs = [
        (name, f"{m.definition} ({m.source or _('no source named')})") for name, m in list(found.items())[:MOST_LINES]
    ]
    if len(found) > MOST_LINES:
        pairs.append(("…", _("and %(count)s more, in the report", count=len(found) - MOST_LINES)))
    missing = "" if pairs else _("no number of this run carries a definition")
    return Fact(_("What each number is, and whose method"), pairs, missing)


def _claims(record: Record) -> Fact:
    pairs = [
        (claim.name, _("%(value)s (says %(file)s)", value=claim.value, file=claim.file)) for claim in record.claims
    ]
    missing = "" if pairs else _("the checkpoint says nothing of how it was made")
    command = "" if pairs else "aboveboard train ... (leaves training_record.json in the folder)"
    return Fact(_("What the checkpoint says of itself: claims, not measurements"), pairs, missing, command)


def _comparison(record: Record) -> Fact:
    return Fact(
        _("Change between two audits"),
        [],
        _("one record cannot show a change"),
        "aboveboard compare EARLIER/audit.json LATER/audit.json --out difference",
    )


def _selftest(record: Record) -> Fact:
    title, cited = _("Controls: sick and healthy checkpoints, and what the audits said of them"), record.selftest
    command = (
        "aboveboard selftest && aboveboard report --from audit-out/audit.json --selftest selftest-out/selftest.json"
    )
    if cited is None:
        return Fact(title, [], _("this record cites no selftest"), command)
    pairs = [
        (_("measured"), f"{cited.version}, {moment(cited.measured)}"),
        *((audit, _power_and_false_alarms(some)) for audit, some in _by_audit(cited.controls).items()),
        *((audit, _("no control")) for audit in cited.without_controls),
    ]
    missing = ""
    if cited.version != record.tool.version:
        missing = _(
            "the selftest is of version %(tested)s, and this record was made with version %(version)s",
            tested=cited.version, version=record.tool.version,
        )  # fmt: skip
    return Fact(title, pairs, missing, command if missing else "")


def _by_audit(controls: Sequence[ControlFacts]) -> dict[str, list[ControlFacts]]:
    """The controls that were run, by audit, in their order."""
    found: dict[str, list[ControlFacts]] = {}
    for control in controls:
        if control.verdict is not None:
            found.setdefault(control.audit, []).append(control)
    return found


def _power_and_false_alarms(controls: Sequence[ControlFacts]) -> str:
    """The lowest power and the highest share of false alarms over an audit's controls, by their intervals."""
    power = min((c.power.interval for c in controls if c.power and c.power.interval), default=None)
    alarms = max(
        (c.false_alarms.interval for c in controls if c.false_alarms and c.false_alarms.interval),
        key=lambda i: i[1],
        default=None,
    )
    if power is None or alarms is None:
        return _("not measured")
    return _(
        "controls: %(count)s; power where it is lowest: %(low)s to %(high)s; false alarms where they are highest: "
        "%(least)s to %(most)s",
        count=number(len(controls)), low=percent(round(power[0], 2)), high=percent(round(power[1], 2)),
        least=percent(round(alarms[0], 2)), most=percent(round(alarms[1], 2)),
    )  # fmt: skip


def _review(record: Record) -> Fact:
    title = _("What people decided on rows of the review queue")
    review = record.people.review if record.people else None
    if review is None:
        command = "aboveboard review audit-out/review_queue.csv --reviewer NAME"
        return Fact(title, [], _("no decisions were read back"), command)
    decided = ", ".join(f"{label}: {count}" for label, count in review.decisions.items())
    pairs = [
        (_("rows"), _("%(rows)s of %(queued)s queued", rows=review.rows, queued=review.rows_queued)),
        (_("reviewers"), ", ".join(review.reviewers)),
        (_("decisions"), decided),
        (_("agreement"), agreement_words(review.alpha, review.interval, review.reason)),
    ]
    return Fact(title, pairs)


def agreement_words(alpha: float | None, interval: tuple[float, float] | None, reason: str | None) -> str:
    """Krippendorff's alpha in words: "alpha 0.61 (95% interval 0.40 to 0.79)", or why there is none."""
    if alpha is None:
        return _("not measured: %(reason)s", reason=reason)
    within = _("no interval: %(reason)s", reason=reason)
    if interval:
        low, high = (number(bound, decimals=2) for bound in interval)
        within = _("%(level)s interval %(low)s to %(high)s", level=percent(0.95), low=low, high=high)
    return _("Krippendorff's alpha %(alpha)s (%(within)s)", alpha=number(alpha, decimals=2), within=within)


def _tables(record: Record) -> Fact:
    return Fact(_("The tables of this page"), [(_("see"), _("the tables before the clauses"))])


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
