"""Charts: each method against chance, and the words that the model leans on."""

from __future__ import annotations

from collections.abc import Sequence

from audit.concerns.explainability.faithfulness import OF_A_CLASS, RANDOM, Watched
from audit.concerns.explainability.findings import faithful_methods
from audit.concerns.explainability.influence import Influence
from audit.concerns.explainability.marks import NOT_FAITHFUL
from reports.record import Figure, Metric, Scalar


def faithfulness_figure(metrics: Sequence[Metric], watched: Watched = OF_A_CLASS) -> Figure:
    """Comprehensiveness of every ranking, chance among them."""
    rows: list[dict[str, Scalar]] = [
        {"label": m.slice["method"], "value": m.value, "low": m.interval[0], "high": m.interval[1], "n": m.n}
        for m in metrics
        if m.name == "comprehensiveness" and m.value is not None and m.interval is not None
    ]
    faithful = faithful_methods(metrics)
    better = [name for name, holds in faithful.items() if holds]
    worse = [name for name, holds in faithful.items() if not holds]
    said = []
    if better:
        said.append(f"{_listed(better)} beat{'s' if len(better) == 1 else ''} a {RANDOM}")
    if worse:
        said.append(f"{_listed(worse)} {'is' if len(worse) == 1 else 'are'} not shown to be faithful")
    return Figure(
        id="explainability-faithfulness",
        kind="intervals",
        title="What deleting the highest-ranked words costs, by method",
        caption=f"On this model {'; '.join(said)} (paired, over the same rows); whiskers are 95% intervals.",
        x_label=f"comprehensiveness: {watched.name} lost",
        y_label="ranking",
        rows=rows,
    )


def influence_figure(found: Sequence[Influence], labels: Sequence[str], *, faithful: bool) -> Figure | None:
    """The most influential words as bars."""
    drawn = [one for one in found if one.estimate.value is not None and one.estimate.interval is not None]
    rows: list[dict[str, Scalar]] = [
        {
            "label": f"{one.word} \u2192 {labels[one.toward]}",
            "value": one.estimate.value,
            "low": one.estimate.low,
            "high": one.estimate.high,
        }
        for one in drawn
    ]
    if not drawn:
        return None
    first = drawn[0]
    mark = "" if faithful else NOT_FAITHFUL
    return Figure(
        id="explainability-word-influence",
        kind="bars",
        title="Words that the model leans on",
        caption=f"{first.word!r} moves the answer most, by {first.estimate.value:+.3f} on average toward "
        f"{labels[first.toward]}; words were picked for being large.{mark}",
        x_label="mean score of the word, probability",
        y_label="word and the label that it speaks for",
        rows=rows,
    )


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
