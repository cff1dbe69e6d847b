"""What the method part of a report says of the audits themselves: the selftest that the record cites, as a table."""

from __future__ import annotations

from reports.document import states
from reports.document.rows import Table
from reports.language import _, percent
from reports.numbers import ABSENT, number
from reports.record import Record
from reports.selftest import ControlFacts, TrialShare


def selftest_table(record: Record) -> Table | None:
    """A line for each control, then the audits that have none; None where the record cites no selftest."""
    cited = record.selftest
    if cited is None:
        return None
    columns = [
        _("audit"), _("what was planted"), _("power"), _("false alarms"), _("repetitions"), _("verdict")
    ]  # fmt: skip
    rows = [_row(control) for control in cited.controls]
    rows += [[audit, _("no control"), ABSENT, ABSENT, ABSENT, ABSENT] for audit in cited.without_controls]
    return Table(columns, [[(text, False) for text in row] for row in rows], len(rows))


def _row(control: ControlFacts) -> list[str]:
    if control.power is None or control.verdict is None:
        state = states.NOT_MEASURED.word
        verdict = f"{state}: {control.reason}" if control.reason else state
        return [control.audit, control.defect, ABSENT, ABSENT, ABSENT, verdict]
    errors = _("%(count)s audits ended in an error", count=number(control.errors)) if control.errors else ""
    verdict = states.of_verdict(control.verdict).word
    return [
        control.audit,
        control.defect,
        _in_words(control.power),
        _in_words(control.false_alarms),
        number(control.power.n),
        f"{verdict}; {errors}" if errors else verdict,
    ]


def _in_words(share: TrialShare | None) -> str:
    """A share with its interval and the bound that it was held to: "100% (83% to 100%)"."""
    if share is None or share.value is None or share.interval is None:
        return ABSENT
    low, high = (percent(round(bound, 2)) for bound in share.interval)
    return _(
        "%(value)s (%(low)s to %(high)s), limit %(limit)s",
        value=percent(round(share.value, 2)), low=low, high=high, limit=percent(share.limit),
    )  # fmt: skip
