"""The page of a hyperparameter search: how it went, what mattered, and why the winner looks better than it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reports.document import markup
from reports.document.page import page
from reports.document.rows import Anchors, FigureView, direction, figure_view, in_words, table
from reports.language import ENGLISH, N_, Language, _, pgettext, speaking
from reports.numbers import cell, measured
from reports.record import Figure, Scalar
from reports.tuning import Search, Trial

TUNING_ELEMENT = '<script type="application/json" id="tuning-record">'
MOST_TRIALS = 500  # lines of the table of trials that a page shows
ENDINGS = (
    N_("complete"), N_("pruned"), N_("infeasible"), N_("diverged"), N_("failed"), N_("tried again"),
)  # fmt: skip


def tuning_html(record: Mapping[str, Any], *, command: str | None = None, language: Language = ENGLISH) -> str:
    """The search as one HTML document that needs nothing else; the same record gives the same bytes.

    Args:
        record: the content of `tuning.json`.
        command: how to repeat the search.
        language: of the fixed texts, the numbers and the dates; the record inside is the same in each.
    """
    with speaking(language):
        return _tuning(Search.model_validate(record), command)


def _tuning(search: Search, command: str | None) -> str:
    anchors = Anchors()
    winner = _trial(search, search.best.trial) if search.best else None
    return page(
        "tuning.html",
        footer=markup.page_footer(
            search.best.model_sha256 if search.best and search.best.model_sha256 else "", _("search")
        ),
        embedded=markup.data_element(TUNING_ELEMENT, search.model_dump_json()),
        search=search,
        objective=in_words(search.objective.name),
        direction=direction(search.objective.direction),
        tally=[(ending, n) for ending in ENDINGS if (n := sum(t.ending == ending for t in search.trials))],
        gain=_gain(search),
        parameters=table(_parameters(search, winner), MOST_TRIALS),
        figures=[view for figure in (_history(search), _importance(search)) if (view := _view(figure, anchors))],
        tested=[(m, in_words(m.name), *measured(m.value, m.interval)) for m in _measures(search)],
        trials=table(_trials(search), MOST_TRIALS),
        fixed=table([{_("option"): k, _("value"): _plain(v)} for k, v in search.options.items()], MOST_TRIALS),
        command=command,
    )


def _trial(search: Search, number: int) -> Trial | None:
    return next((trial for trial in search.trials if trial.number == number), None)


def _measures(search: Search) -> list[Any]:
    return search.test.measures if search.test else []


def _gain(search: Search) -> str | None:
    """The best trial beside the defaults, in words; None where the two cannot be held against each other."""
    if search.best is None or search.usual is None or search.usual.value is None:
        return None
    if search.best.trial == search.usual.trial:
        return _("The default parameters are the best that were tried.")
    return _(
        "The default parameters had %(value)s (trial %(number)s).",
        value=cell(search.usual.value), number=search.usual.trial,
    )  # fmt: skip


def _parameters(search: Search, winner: Trial | None) -> list[dict[str, Scalar]]:
    """One line a parameter: what was searched, what won, and the default."""
    usual = _trial(search, search.usual.trial) if search.usual else None
    return [
        {
            _("parameter"): name,
            _("searched"): _searched(values),
            _("best"): _value(winner, name),
            _("default"): _value(usual, name),
        }
        for name, values in search.space.items()
    ]


def _searched(values: Mapping[str, Any]) -> str:
    if "choices" in values:
        return ", ".join(_plain(value) for value in values["choices"])
    low, high = values.get("low"), values.get("high")
    if values.get("log"):
        return _("%(low)s to %(high)s, logarithmic", low=low, high=high)
    return _("%(low)s to %(high)s", low=low, high=high)


def _value(trial: Trial | None, name: str) -> str | None:
    """As text: one column holds values of several parameters, which are not to be put in line."""
    return None if trial is None or name not in trial.parameters else _plain(trial.parameters[name])


def _plain(value: object) -> str:
    return pgettext("option", "none") if value is None else cell(value) or str(value)


def _history(search: Search) -> Figure | None:
    """Each complete trial's value, and the best one so far."""
    rows: list[dict[str, Scalar]] = []
    best: list[dict[str, Scalar]] = []
    better = min if search.objective.direction == "lower" else max
    so_far: float | None = None
    for trial in search.trials:
        if trial.value is not None:
            so_far = trial.value if so_far is None else better(so_far, trial.value)
            rows.append({"x": trial.number, "y": trial.value, "series": _("complete trial")})
            best.append({"x": trial.number, "y": so_far, "series": _("best so far")})
    if not rows:
        return None
    word = in_words(search.objective.name)
    return Figure(
        id="history", kind="lines", title="History",
        caption=f"The {word} on the evaluation rows of each trial that came to its end, in the order of the trials; "
        f"{search.objective.direction} is better.",
        x_label="trial", y_label=f"evaluation {word}", rows=[*best, *rows],
    )  # fmt: skip


def _importance(search: Search) -> Figure | None:
    found = search.importance
    if not found.shares:
        return None
    rows: list[dict[str, Scalar]] = [
        {"label": name, "value": share, "low": found.intervals[name][0], "high": found.intervals[name][1]}
        if name in found.intervals
        else {"label": name, "value": share}
        for name, share in found.shares.items()
    ]
    return Figure(
        id="importance", kind="bars", title="Importance of the parameters",
        caption=f"Share of the variance that each parameter explains, from {found.n} complete trials.",
        x_label="share of the variance explained", rows=rows,
    )  # fmt: skip


def _view(figure: Figure | None, anchors: Anchors) -> FigureView | None:
    return None if figure is None else figure_view(figure, anchors)


def _trials(search: Search) -> list[dict[str, Scalar]]:
    word = markup.plain(in_words(search.objective.name))
    return [
        {
            _("trial"): trial.number, _("ended"): _(trial.ending),
            _("evaluation %(objective)s", objective=word): trial.value, **trial.parameters,
            _("seconds"): trial.seconds, _("reason"): trial.reason or "",
        }
        for trial in search.trials
    ]  # fmt: skip
