"""Token heat maps: a text whose words are coloured by their scores, as one inert page.

Colour never stands alone: the underline's weight tells the size, its line the sign, and a table has the numbers. The
page holds no script, and its policy allows its own style sheet by hash and nothing else. The texts may be hostile: they
are escaped, and what the eye cannot see becomes a box (`reports.text`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from math import ceil
from typing import Literal

from markupsafe import Markup

from audit.concerns.explainability.marks import Mark
from core_model.attribution import TOLERANCE, WITHOUT_SIGN, Attribution
from reports.charts import draw
from reports.document.markup import environment, source_hash
from reports.numbers import number
from reports.record import Figure

LEVELS = 5
SMALLEST_SCALE = 0.001  # probability, or nats: where no word moves more, nothing is drawn as if it did
FAINTEST = 0.05  # scores below this share of the text's largest are left plain
Kind = Literal["label", "writing", "span"]
DID: dict[Kind, str] = {"label": "said", "writing": "wrote", "span": "answered"}
ADDS_TO: dict[Kind, str] = {
    "label": "probability of the label",
    "writing": "log-probability of what was written, in nats",
    "span": "log-probability of the place where the answer begins and of that where it ends, in nats",
}
CUT = "The text is longer than the model takes; what it does not see is left out here, too."
_GREEN, _RED = (27, 120, 55), (178, 24, 43)  # apart in brightness of underline too; see the dashes


@dataclass(frozen=True)
class Drawn:
    """A heat map with the table that it is drawn from."""

    title: str
    caption: str
    svg: Markup
    columns: list[str]
    rows: list[tuple[str, str, str]]


@dataclass(frozen=True)
class View:
    """One text of the page: (class, words) in order, and its table."""

    heading: str
    parts: list[tuple[str, str]]
    note: str
    rows: list[tuple[str, str]]
    figures: list[Drawn]


def heat_map_html(
    found: Sequence[Attribution],
    *,
    name: str,
    labels: Sequence[str] = (),
    answers: Sequence[str] = (),
    kind: Kind = "label",
    figures: Sequence[Sequence[Figure]] = (),
    tolerance: float = TOLERANCE,
    cut: Sequence[bool] = (),
    mark: Mark | None = None,
) -> str:
    """The page of some explained texts; the same scores give the same bytes.

    Args:
        found: explained by one method.
        name: what the checkpoint is called.
        labels: names of the classes.
        answers: (texts,) what was written or found, where it is no label; the scores are then log-probabilities.
        kind: what is explained.
        tolerance: completeness error of a text, or of a token that was written, from which the page says so.
        figures: of each text, such as its attention; drawn below its table, each with a table of its own.
        cut: (texts,) whether each was longer than the model takes.
        mark: what an audit says of the method on this model; without it the page says how to find out.
    """
    style = _style()
    policy = f"default-src 'none'; style-src {source_hash(style)}; base-uri 'none'; form-action 'none'"
    source = resources.files(__package__).joinpath("heat_map.html").read_text(encoding="utf-8")
    page = environment().from_string(source).render(
        policy=policy,
        style=Markup(style),  # noqa: S704 - our own, made of numbers below
        name=name,
        method=found[0].method if found else "",
        views=[
            _view(one, heading_of(one, labels, answers[place] if answers else None), figures[place] if figures else (),
                  tolerance, cut=bool(cut) and cut[place])
            for place, one in enumerate(found)
        ],
        signless=bool(found) and found[0].method in WITHOUT_SIGN,
        did=DID[kind],
        adds_to=ADDS_TO[kind],
        mark=mark,
    )  # fmt: skip
    return page + "\n"


def heading_of(one: Attribution, labels: Sequence[str], answer: str | None) -> str:
    """What is explained of a text, and how probable the model holds it."""
    if answer is None:
        return f"{labels[one.target]}, probability {number(one.score, decimals=3)}"
    return f"\u201c{answer}\u201d, log-probability {number(one.score, decimals=2)} nats"


def level_of(score: float, largest: float) -> str:
    """The class of a word: "p1" to "p5" for the label, "n1" to "n5" against it, "" for about nothing."""
    share = abs(score) / largest if largest > 0 else 0.0
    if share < FAINTEST:
        return ""
    return f"{'p' if score > 0 else 'n'}{min(LEVELS, ceil(share * LEVELS))}"


def scale_of(one: Attribution) -> float:
    """The score that is drawn at full strength: the text's largest, and not below SMALLEST_SCALE."""
    return max(SMALLEST_SCALE, float(abs(one.scores).max(initial=0.0)))


def _view(one: Attribution, heading: str, figures: Sequence[Figure], tolerance: float, *, cut: bool) -> View:
    largest = scale_of(one)
    parts: list[tuple[str, str]] = []
    for which, text in enumerate((one.worded.text, one.worded.pair)):
        if text is None:
            continue
        if which:
            parts.append(("", "\n"))
        at = 0
        for (of, start, end), score in zip(one.worded.spans, one.scores, strict=True):
            if of == which:
                parts += [("", text[at:start]), (level_of(float(score), largest), text[start:end])]
                at = end
        parts.append(("", text[at:]))
    return View(
        heading=heading,
        parts=[part for part in parts if part[1]],
        note=" ".join(part for part in (quality_of(one, tolerance), CUT if cut else "") if part),
        rows=[(word, signed(float(score))) for word, score in zip(one.words, one.scores, strict=True)],
        figures=[_drawn(figure) for figure in figures],
    )


def _drawn(figure: Figure) -> Drawn:
    return Drawn(
        title=figure.title,
        caption=figure.caption,
        svg=Markup(draw(figure)),  # noqa: S704 - rebuilt from known elements, its labels cleaned
        columns=[figure.y_label, figure.x_label, "value"],
        rows=[(str(row["y"]), str(row["x"]), number(row["value"])) for row in figure.rows],  # type: ignore[arg-type]
    )


def quality_of(one: Attribution, tolerance: float = TOLERANCE) -> str:
    """What the method knows of its own error, in a sentence; empty where it knows nothing."""
    if one.completeness_error is None or one.steps is None:
        return ""
    error = f"a completeness error of {number(one.completeness_error)} ({one.steps} steps)"
    if one.completeness_error > tolerance:
        return f"The scores do not add up ({error}): the model jumps between two steps. Try --method occlusion."
    return f"The scores sum to what the words change, up to {error}."


def signed(score: float) -> str:
    """A score with its sign, in four decimals."""
    text = number(score, decimals=4)
    return f"+{text}" if round(score, 4) > 0 else text


def _style() -> str:
    rules = [
        ":root{color-scheme:light dark;font:16px/1.6 system-ui,sans-serif}",
        "main{max-width:44rem;margin:2rem auto;padding:0 1rem}",
        "h1{font-size:1.4rem}h2{font-size:1.1rem}",
        ".text{white-space:pre-wrap;font-size:1.15rem;line-height:2.1;overflow-wrap:anywhere}",
        ".unseen{font:.8em monospace;border:1px solid}.note{font-size:.9rem}",
        ".mark{padding:.5rem .75rem;border-left:.3rem solid #8886}.unfaithful{border:2px dashed;font-weight:600}",
        "table{border-collapse:collapse}caption{text-align:left;font-size:.9rem;white-space:nowrap}",
        "th,td{text-align:left;padding:.1rem 1rem .1rem 0;border-bottom:1px solid #8886}",
        "figure{margin:1.5rem 0}figure svg{max-width:100%;height:auto}figcaption{font-size:.9rem}",
        "details table{margin-top:.5rem}.scroll{max-height:24rem;overflow:auto}",
        ".number{text-align:right;font-variant-numeric:tabular-nums}",
    ]
    for sign, (red, green, blue), line in (("p", _GREEN, "solid"), ("n", _RED, "dashed")):
        for level in range(1, LEVELS + 1):
            shade = 0.08 * level
            rules.append(
                f".{sign}{level}{{background:rgb({red} {green} {blue}/{shade:.2f});"
                f"border-bottom:{level}px {line} rgb({red} {green} {blue})}}"
            )
    rules.append("@media (prefers-color-scheme:dark){.p1,.p2,.p3,.p4,.p5{border-color:rgb(127 191 123)}")
    rules.append(".n1,.n2,.n3,.n4,.n5{border-color:rgb(244 165 130)}}")
    return "\n".join(rules)
