"""`aboveboard explain` of a model that finds answers: which words of question and context made it mark this span?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from audit.commands.arguments import print_json
from audit.commands.explain_parts import mark_as_object, print_end, print_words, were_cut, words_as_objects, write_page

if TYPE_CHECKING:
    from audit.commands.explain_parts import Drawn
    from audit.concerns.explainability.marks import Mark
    from core_model.attribution_answers import Answered
    from core_model.checkpoint import Checkpoint


def show_answers(
    opened: Checkpoint,
    questions: Sequence[str],
    contexts: Sequence[str],
    *,
    method: str,
    attention: Drawn,
    mark: Mark | None,
    out: Path | None,
    as_json: bool,
) -> int:
    """Explain the answer that the model finds to each question in its context."""
    from core_model.attribution_answers import explain_path, refuse_answers
    from core_model.attribution_answers_path import AnswerPath
    from core_model.errors import OptionUnfit
    from core_model.prediction import Predictor

    refuse_answers(method)
    if not contexts:
        raise OptionUnfit(
            f"{opened.name} finds answers in a context, and there is none", mend='--context "the text to look in"'
        )
    path = AnswerPath(Predictor(opened), questions, contexts)
    found = explain_path(path, method=method)
    cut = were_cut([one.whole for one in found], questions, contexts)
    if out is not None:
        from audit.concerns.explainability.writing_pictures import span_picture
        from core_model.attention_maps import attention_of

        maps = attention.of(attention_of(path)) if attention.wanted else [[] for _ in found]
        write_page(
            found, name=opened.name, kind="span", picture=span_picture, maps=maps, tolerance=_tolerance(), cut=cut,
            mark=mark, out=out,
        )  # fmt: skip
    if as_json:
        print_json(as_object(found, cut, opened, mark=mark, out=out))
    else:
        print_in_terminal(found, cut)
        print_end(mark, out)
    return 0


def _tolerance() -> float:
    """What the two ends may miss together."""
    from core_model.attribution_answers import PARTS, TOLERANCE

    return TOLERANCE * len(PARTS)


def as_object(
    found: Sequence[Answered], cut: Sequence[bool], opened: Checkpoint, *, mark: Mark | None, out: Path | None
) -> dict[str, Any]:
    """What `--json` prints."""
    from core_model.attribution_answers import PARTS

    return {
        "checkpoint": {"name": opened.name, "sha256": opened.sha256},
        "method": found[0].whole.method,
        "audit_says": mark_as_object(mark),
        "texts": [
            {
                "question": one.whole.worded.text,
                "context": one.whole.worded.pair,
                "cut": shortened,
                "answer": one.answer.text,
                "log_probability": one.whole.score,
                "words": words_as_objects(one.whole),
                "ends": [
                    {
                        "part": part, "token": token, "log_probability": float(log_p),
                        "scores": [float(score) for score in scores],
                    }
                    for part, token, log_p, scores in zip(
                        PARTS, one.answer.ends, one.log_probabilities, one.by_end.T, strict=True
                    )
                ],
                "not_given_to_words": one.whole.rest,
                "completeness_error": one.whole.completeness_error,
                "steps": one.whole.steps,
            }
            for one, shortened in zip(found, cut, strict=True)
        ],
        "page": None if out is None else str(out),
    }  # fmt: skip


def print_in_terminal(found: Sequence[Answered], cut: Sequence[bool]) -> None:
    """The words of each question and context, then how sure the model is of either end."""
    from core_model.attribution_answers import PARTS
    from reports.numbers import number
    from reports.text import terminal_text

    for one, shortened in zip(found, cut, strict=True):
        answer = terminal_text(one.answer.text, longest=200)
        click.echo(f'"{answer}": log-probability {number(one.whole.score, decimals=2)} nats, by {one.whole.method}')
        print_words(one.whole, _tolerance(), cut=shortened)
        for part, token, log_p in zip(PARTS, one.answer.ends, one.log_probabilities, strict=True):
            click.echo(f"  {part} at {terminal_text(token, longest=40)!r}: {number(float(log_p), decimals=3)} nats")
