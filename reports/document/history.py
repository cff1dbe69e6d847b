"""The history page: one line a number through many runs, what moved and what moved the limits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from reports.document import markup, states
from reports.document.comparison import STATES as CONCLUSIONS
from reports.document.page import page
from reports.document.rows import Anchors, direction, in_words, slice_words
from reports.document.spark import Spark, spark, state_of
from reports.document.states import State
from reports.history import Change, History, HistoryLine, HistoryRun, LimitMove
from reports.language import ENGLISH, N_, Language, _, percent, speaking
from reports.numbers import ABSENT, cell, measured
from reports.record import Verdict

HISTORY_ELEMENT = '<script type="application/json" id="audit-history">'
MOST_COLUMNS = 20  # runs in the table of values; of more, the newest
MOST_DRAWN = 60  # runs in a drawing; of more, the newest
MOST_LINES = 300  # numbers that a page shows; the record of the history has the rest
MOST_EMBEDDED = 1_000_000  # characters of the history itself that a page carries

_WAYS = {"softer": N_("softer"), "stricter": N_("stricter")}


@dataclass(frozen=True)
class RunView:
    """One run: its verdict and its name."""

    run: HistoryRun
    state: State
    date: str


@dataclass(frozen=True)
class ChangeView:
    """A change as a cell of the table."""

    change: Change
    difference: str
    interval: str
    confidence: str
    pairing: str
    state: State
    alone: bool
    reason: str


@dataclass(frozen=True)
class Value:
    """The number in one run as a cell of the table of values."""

    text: str
    interval: str
    state: State | None
    reason: str


@dataclass(frozen=True)
class LineView:
    """One line of the history."""

    line: HistoryLine
    words: str
    slice: str
    direction: str
    spark: Spark | None
    first: Value
    first_run: int
    last: Value
    last_run: int
    overall: ChangeView
    step: ChangeView
    same: bool  # both changes lie between the same two runs
    moves: list[str]
    by_first_limit: str
    values: list[Value]


@dataclass(frozen=True)
class AuditLines:
    """The lines of one audit: those that a reader should see, and the quiet ones."""

    anchor: str
    audit: str
    open: list[LineView]
    folded: list[LineView]


def history_html(history: History, *, language: Language = ENGLISH) -> str:
    """The history as one HTML document that needs nothing else; the same history gives the same bytes."""
    with speaking(language):
        return _page(history)


def _page(history: History) -> str:
    shown = history.lines[:MOST_LINES]
    columns = history.runs[-MOST_COLUMNS:]
    drawn = range(max(1, len(history.runs) - MOST_DRAWN + 1), len(history.runs) + 1)
    views = [_line(line, drawn, columns) for line in shown]
    anchors = Anchors()
    audits = [
        _audit(audit, [view for view in views if view.line.audit == audit], anchors)
        for audit in dict.fromkeys(line.audit for line in shown)
    ]
    last = history.runs[-1]
    embedded = history.model_dump_json(exclude_defaults=True)
    words = [view.overall.state for view in views]
    return page(
        "history.html",
        footer=markup.page_footer(last.sha256, _("history, last run")),
        embedded=markup.data_element(HISTORY_ELEMENT, embedded if len(embedded) <= MOST_EMBEDDED else "null"),
        history=history,
        runs=[RunView(run, states.of_verdict(run.verdict), run.started[:10]) for run in history.runs],
        last=last,
        verdict=states.of_verdict(last.verdict),
        audits=audits,
        columns=columns,
        drawn=drawn,
        tiles=[(state, words.count(state)) for state in CONCLUSIONS.values() if state in words],
        evidence=[view for view in views if view.line.is_evidence],
        moved=[step for step in history.steps if step.policy],
        settings=[step for step in history.steps if step.settings],
        flattered=[view for view in views if _flattered(view.line)],
        edited=[run for run in history.runs if run.seal != "whole" or not run.complete],
        shown=len(shown),
    )


def _audit(audit: str, lines: Sequence[LineView], anchors: Anchors) -> AuditLines:
    seen = [view for view in lines if view.line.limited or view.line.is_evidence]
    return AuditLines(anchors.of("audit", audit), audit, seen, [view for view in lines if view not in seen])


def _line(line: HistoryLine, drawn: range, columns: Sequence[HistoryRun]) -> LineView:
    held = {point.run: point for point in line.points}
    valued = [run for run, point in held.items() if point.value is not None]
    first, last = (valued[0], valued[-1]) if valued else (1, drawn.stop - 1)
    moves = [_moved(move) for move in line.limits]
    return LineView(
        line=line,
        words=in_words(line.name),
        slice=slice_words(line.slice),
        direction=direction(line.better),
        spark=spark(line, drawn),
        first=_value(line, first),
        first_run=first,
        last=_value(line, last),
        last_run=last,
        overall=_change(line.overall),
        step=_change(line.last_step),
        same=(line.overall.earlier, line.overall.later) == (line.last_step.earlier, line.last_step.later),
        moves=moves,
        by_first_limit=_by_first_limit(line),
        values=[_value(line, run.number) for run in columns],
    )


def _value(line: HistoryLine, run: int) -> Value:
    point = line.point(run)
    if point is None:
        return Value(ABSENT, "", None, _("not in this run"))
    value, interval = measured(point.value, point.interval)
    state = state_of(point) if point.limit is not None or point.value is None else None
    return Value(value, "" if interval == ABSENT else interval, state, point.reason or "")


def _change(change: Change) -> ChangeView:
    difference, interval = measured(change.difference, change.interval)
    return ChangeView(
        change=change,
        difference=f"+{difference}" if change.difference is not None and change.difference > 0 else difference,
        interval="" if interval == ABSENT else interval,
        confidence=percent(change.confidence),
        pairing=_("same rows") if change.paired else _("not paired"),
        state=CONCLUSIONS[change.conclusion],
        alone=change.only_alone,
        reason=change.reason or "",
    )


def _moved(move: LimitMove) -> str:
    before, after = (cell(limit) if limit is not None else _("none") for limit in (move.before, move.after))
    words = _("limit %(before)s \u2192 %(after)s in run %(run)s", before=before, after=after, run=move.later)
    return f"{words} ({_(_WAYS[move.direction])})" if move.direction in _WAYS else words


def _by_first_limit(line: HistoryLine) -> str:
    """What the newest value would be by the history's first limit, where that is another verdict."""
    if line.by_first_limit is None or line.by_first_limit is line.points[-1].verdict:
        return ""
    word = states.of_point(line.by_first_limit).word
    return _("%(verdict)s by the first limit, %(limit)s", verdict=word, limit=cell(line.first_limit))


def _flattered(line: HistoryLine) -> bool:
    """Whether the newest verdict is better than it would be by the first limit."""
    if line.by_first_limit not in _FROM_WORST or line.points[-1].verdict not in _FROM_WORST:
        return False
    return _FROM_WORST.index(line.points[-1].verdict) > _FROM_WORST.index(line.by_first_limit)


_FROM_WORST = (Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.PASS)
