"""`aboveboard explain` of a model that writes: which words of the prompt or source made it write which token?"""

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
    from core_model.attribution_writing import Written
    from core_model.checkpoint import Checkpoint
    from reports.record import Figure

NEW_TOKENS = 20  # each costs an attribution of its own
CAUSES = 3  # words that the terminal names for a token


def show_writing(
    opened: Checkpoint,
    texts: Sequence[str],
    targets: Sequence[str],
    *,
    method: str,
    max_new_tokens: int | None,
    attention: Drawn,
    mark: Mark | None,
    out: Path | None,
    as_json: bool,
) -> int:
    """Explain what the model writes for each text, or the targets in its place."""
    from core_model.attribution_writing import explain_writing, refuse_writing
    from core_model.attribution_writing_path import given_answers, written_answers
    from core_model.errors import OptionUnfit
    from core_model.prediction import Predictor

    refuse_writing(method)
    if targets and len(targets) != len(texts):
        raise OptionUnfit(
            f"{len(texts)} --text, but {len(targets)} --target", mend="give each text its target, or none"
        )
    if targets and max_new_tokens is not None:
        raise OptionUnfit("--max-new-tokens limits what the model writes, and --target says it", mend="leave one out")
    predictor = Predictor(opened)
    if targets:
        answers = given_answers(predictor, texts, targets)
    else:
        answers = written_answers(predictor, texts, max_new_tokens=max_new_tokens or _limit(opened))
    found = explain_writing(predictor, texts, answers, method=method)
    if out is not None:
        from audit.concerns.explainability.writing_pictures import token_picture

        maps: list[list[Figure]] = [[] for _ in found]
        if attention.wanted:
            from core_model.attention_writing import attention_of_writing
            from core_model.attribution_writing_path import WritingPath

            maps = attention.of(attention_of_writing(WritingPath(predictor, texts, answers)))
        write_page(
            found, name=opened.name, kind="writing", picture=token_picture, maps=maps, tolerance=_tolerance(found),
            cut=_cut(found, texts), mark=mark, out=out,
        )  # fmt: skip
    if as_json:
        print_json(as_object(found, texts, opened, given=bool(targets), mark=mark, out=out))
    else:
        print_in_terminal(found, texts)
        print_end(mark, out)
    return 0


def _limit(opened: Checkpoint) -> int:
    """Half of a small model's positions stay for the prompt."""
    return max(1, min(NEW_TOKENS, opened.max_length // 2))


def _cut(found: Sequence[Written], texts: Sequence[str]) -> list[bool]:
    return were_cut([one.whole for one in found], texts)


def _tolerance(found: Sequence[Written]) -> float:
    """What the tokens of the longest answer may miss together."""
    from core_model.attribution_writing import TOLERANCE

    return TOLERANCE * max(len(one.answer.ids) for one in found)


def as_object(
    found: Sequence[Written],
    texts: Sequence[str],
    opened: Checkpoint,
    *,
    given: bool,
    mark: Mark | None,
    out: Path | None,
) -> dict[str, Any]:
    """What `--json` prints."""
    return {
        "checkpoint": {"name": opened.name, "sha256": opened.sha256},
        "method": found[0].whole.method,
        "audit_says": mark_as_object(mark),
        "texts": [
            {
                "text": one.whole.worded.text,
                "cut": cut,
                "answer": one.answer.text,
                "answer_is": "given" if given else "written by the model",
                "log_probability": one.whole.score,
                "words": words_as_objects(one.whole),
                "tokens": [
                    {"token": token, "log_probability": float(log_p), "scores": [float(score) for score in scores]}
                    for token, log_p, scores in zip(
                        one.answer.tokens, one.log_probabilities, one.by_token.T, strict=True
                    )
                ],
                "not_given_to_words": one.whole.rest,
                "completeness_error": one.whole.completeness_error,
                "steps": one.whole.steps,
            }
            for one, cut in zip(found, _cut(found, texts), strict=True)
        ],
        "page": None if out is None else str(out),
    }


def print_in_terminal(found: Sequence[Written], texts: Sequence[str]) -> None:
    """The words of each text, then the tokens that were written, each with the words that speak for it most."""
    from audit.concerns.explainability.heat_map import signed
    from reports.text import terminal_text

    for one, cut in zip(found, _cut(found, texts), strict=True):
        written = terminal_text(one.answer.text, longest=200)
        click.echo(f'"{written}": log-probability {one.whole.score:.2f} nats, by {one.whole.method}')
        print_words(one.whole, _tolerance([one]), cut=cut)
        click.echo("  token by token, with the words that speak for it most:")
        for place, token in enumerate(one.answer.tokens):
            scores = one.by_token[:, place]
            most = [int(word) for word in (-scores).argsort(kind="stable")[:CAUSES] if scores[word] > 0]
            causes = ", ".join(
                f"{terminal_text(one.whole.words[word], longest=40)} {signed(float(scores[word]))}" for word in most
            )
            shown = terminal_text(token, longest=40)
            click.echo(f"  {one.log_probabilities[place]:>9.3f} {shown:<20} {causes}".rstrip())
