"""The states that a reader meets, in words: four for a number that has a limit, and the ones around them.

Each state is a word, a shape and a colour (the style sheet draws the last two); never a colour alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from reports.language import N_, _
from reports.record import AuditResult, Metric, Status, Verdict


@dataclass(frozen=True)
class State:
    """A state: `key` names its shape and colour in the style sheet, `word` stands beside it (`english` until then)."""

    key: str
    english: str

    @property
    def word(self) -> str:
        """The state in the language that is spoken."""
        return _(self.english)


FAIL = State("fail", N_("fail"))
WAIVED = State("waived", N_("waived"))
INCONCLUSIVE = State("inconclusive", N_("inconclusive"))
PASS = State("pass", N_("pass"))
INFORMATIVE = State("informative", N_("no limit"))
NOT_MEASURED = State("absent", N_("not measured"))
ERRORED = State("errored", N_("errored"))

ORDER = [FAIL, ERRORED, INCONCLUSIVE, WAIVED, PASS, INFORMATIVE, NOT_MEASURED]  # what a reader should see first

_OF_VERDICT = {
    Verdict.FAIL: FAIL,
    Verdict.INCONCLUSIVE: INCONCLUSIVE,
    Verdict.PASS: PASS,
    Verdict.INFORMATIVE: INFORMATIVE,
}


def of_metric(metric: Metric) -> State:
    """A number without a value was not measured, whatever else is said of it; a waiver never makes a pass."""
    return WAIVED if metric.value is not None and waived(metric) else own(metric)


def of_point(verdict: Verdict) -> State:
    """The state of a value that has this verdict."""
    return _OF_VERDICT[verdict]


def own(metric: Metric) -> State:
    """The state that the number has without its waiver."""
    return NOT_MEASURED if metric.value is None else _OF_VERDICT[metric.verdict]


def waived(metric: Metric) -> bool:
    """Whether somebody lets this number through for now: its limit is broken or undecided, and there is a waiver."""
    return metric.waiver is not None and metric.limit is not None and metric.verdict is not Verdict.PASS


def of_audit(audit: AuditResult) -> State:
    """The state of the number that a reader should see first."""
    if audit.status is Status.ERRORED:
        return ERRORED
    if audit.status is Status.NOT_MEASURED:
        return NOT_MEASURED
    states = {of_metric(metric) for metric in audit.metrics}
    if NOT_MEASURED in states and any(m.value is None and m.limit is not None for m in audit.metrics):
        states.add(INCONCLUSIVE)  # a limit that could not be held against anything is not a pass
    return next((state for state in ORDER if state in states), INFORMATIVE)


def of_verdict(verdict: str) -> State:
    """The state of a whole run."""
    return {"pass": PASS, "fail": FAIL}.get(verdict, INCONCLUSIVE)


def tally(states: Iterable[State]) -> list[tuple[State, int]]:
    """How many of each state, in the order in which they matter; states that nobody has are left out."""
    found = list(states)
    return [(state, found.count(state)) for state in ORDER if state in found]
