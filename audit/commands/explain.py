"""`aboveboard explain`: which words made the model say so, or write so, in the terminal and as a page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from audit.commands.arguments import json_option, print_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from audit.concerns.explainability.marks import Mark
    from core_model.attribution import Attribution
    from core_model.checkpoint import Checkpoint
    from core_model.prediction import Predictor
    from reports.record import Figure

BAR = 20  # characters of the longest bar


@click.command()
@click.argument("checkpoint")
@click.option("--text", "texts", multiple=True, required=True, metavar="TEXT", help="Text; may be given several times.")
@click.option(
    "--pair",
    "--context",
    "pairs",
    multiple=True,
    metavar="TEXT",
    help="Second text of each, for models of pairs; of a question, the context that answers it.",
)
@click.option("--label", metavar="NAME", help="Label to explain. Default: what the model predicts.")
@click.option(
    "--target",
    "written",
    multiple=True,
    metavar="TEXT",
    help="Of a model that writes: the answer to explain, one for each text. Default: what the model writes.",
)
@click.option(
    "--max-new-tokens",
    type=click.IntRange(min=1),
    default=None,
    metavar="N",
    help="Of a model that writes: tokens that are written and explained at most.  [default: 20]",
)
@click.option(
    "--method",
    default="integrated-gradients",
    show_default=True,
    metavar="NAME",
    help="integrated-gradients, input-x-gradient, occlusion, shapley-sampling or attention-rollout.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of Shapley sampling.")
@click.option("--attention", is_flag=True, help="Draw the attention of each text on the page, too.")
@click.option(
    "--attention-head", metavar="LAYER.HEAD", help="Head that is drawn large. Default: the one most at words."
)
@click.option(
    "--record",
    type=click.Path(path_type=Path),
    metavar="audit.json",
    help="An audit of this checkpoint: says whether the method is faithful on it, and marks the page.",
)
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE.html", help="Page to write.")
@json_option
def explain(
    checkpoint: str,
    texts: tuple[str, ...],
    pairs: tuple[str, ...],
    label: str | None,
    written: tuple[str, ...],
    max_new_tokens: int | None,
    method: str,
    seed: int,
    attention: bool,
    attention_head: str | None,
    record: Path | None,
    out: Path | None,
    as_json: bool,
) -> int:
    """Show which words made the model say so, write so, or find its answer there.

    Scores say what each word adds to the probability of the label; where the model writes, to the log-probability of
    what it wrote, also token by token; of an answer in a context, to that of its two ends. Whether a method is faithful
    on this model, the audit `explainability` tells: --record brings its answer along.

    \b
    Examples:
      aboveboard explain ./checkpoint --text "She is a good doctor."
      aboveboard explain ./checkpoint --text "..." --method occlusion --out why.html
      aboveboard explain ./checkpoint --text "..." --label positive --json
      aboveboard explain ./checkpoint --text "..." --attention --attention-head 3.5 --out why.html
      aboveboard explain ./translator --text "The doctor left." --out why.html
      aboveboard explain ./writer --text "The doctor said that" --target "she was tired"
      aboveboard explain ./reader --text "Who left?" --context "The doctor left at noon."
      aboveboard explain ./checkpoint --text "..." --record audit/audit.json --out why.html
    """  # fmt: skip
    import numpy as np

    from audit.concerns.explainability.marks import mark_from
    from audit.subject import GENERATORS
    from core_model.attribution import attribute, refuse
    from core_model.checkpoint import open_checkpoint
    from core_model.errors import OptionUnfit, TaskUnfit
    from core_model.prediction import Predictor
    from core_model.tasks import Task

    refuse(method)  # before anything is opened
    head = _head(attention_head)
    if (attention or head) and out is None:
        raise OptionUnfit("--attention is drawn on the page, and there is no --out", mend="--out why.html")
    blank = [place for place, text in enumerate(texts, start=1) if not text.strip()]
    if blank:
        raise OptionUnfit(f"--text number {blank[0]} is blank", mend='--text "a sentence to explain"')
    if pairs and len(pairs) != len(texts):
        raise OptionUnfit(f"{len(texts)} --text, but {len(pairs)} --pair", mend="give each text its pair, or none")
    opened = open_checkpoint(checkpoint)
    mark = None if record is None else mark_from(record, opened, method)
    of_labels = {"--label": label, "--attention": attention, "--attention-head": head}
    of_writers = {"--target": written, "--max-new-tokens": max_new_tokens}
    if opened.task in GENERATORS:
        from audit.commands.explain_writing import show_writing

        _refuse(
            {**of_labels, "--pair": pairs}, f"models that choose a label, and {opened.name} writes text", "--target"
        )
        return show_writing(
            opened, texts, written, method=method, max_new_tokens=max_new_tokens, mark=mark, out=out, as_json=as_json
        )
    if opened.task is Task.QUESTION_ANSWERING:
        from audit.commands.explain_answers import show_answers

        _refuse(of_labels, f"models that choose a label, and {opened.name} finds answers in a context", "--context")
        _refuse(of_writers, f"models that write text, and {opened.name} finds answers in a context", "--context")
        return show_answers(opened, texts, pairs, method=method, mark=mark, out=out, as_json=as_json)
    if opened.task is not Task.CLASSIFICATION:
        raise TaskUnfit(
            f"{opened.name} does {opened.task.value}; words are explained for labels, for what a model writes, and for "
            "answers in a context",
            mend="a checkpoint with a head for one of these",
        )
    _refuse(of_writers, f"models that write text, and {opened.name} chooses a label", "--label NAME")
    predictor = Predictor(opened)
    second = list(pairs) or None
    predicted = predictor.predict(list(texts), second)
    targets = predicted.predicted if label is None else np.full(len(texts), _label(label, opened.labels))
    found = attribute(predictor, list(texts), targets, second, method=method, random=np.random.default_rng(seed))
    answers = [opened.labels[place] for place in predicted.predicted]
    if out is not None:
        from audit.concerns.explainability.heat_map import heat_map_html
        from core_model.files import write_atomically

        figures = _attention(predictor, list(texts), second, head) if attention or head else []
        page = heat_map_html(
            found, name=opened.name, labels=opened.labels, figures=figures, cut=were_cut(found, texts, pairs), mark=mark
        )
        write_atomically(out, page)
    if as_json:
        print_json(as_object(found, answers, opened, given=(texts, pairs), mark=mark, out=out))
    else:
        print_in_terminal(found, answers, opened.labels, were_cut(found, texts, pairs))
        print_end(mark, out)
    return 0


def _refuse(options: Mapping[str, object], why: str, mend: str) -> None:
    """Raises: OptionUnfit for the first of these options that was given."""
    from core_model.errors import OptionUnfit

    flag = next((name for name, value in options.items() if value), None)
    if flag is not None:
        raise OptionUnfit(f"{flag} is of {why}", mend=mend)


def were_cut(found: Sequence[Attribution], texts: Sequence[str], pairs: Sequence[str] = ()) -> list[bool]:
    """Of which texts the model does not see a part, because they are longer than what it takes."""
    others: Sequence[str | None] = pairs or [None] * len(texts)
    return [
        one.worded.text != text or (other is not None and one.worded.pair != other)
        for one, text, other in zip(found, texts, others, strict=True)
    ]


def print_end(mark: Mark | None, out: Path | None) -> None:
    """What an audit says of the method, and where the page lies."""
    if mark is not None:
        click.echo(mark.statement)
    if out is not None:
        click.echo(f"page: {out}")


def mark_as_object(mark: Mark | None) -> dict[str, Any] | None:
    """What an audit says of the method; None where no record was given."""
    return None if mark is None else {"faithful": mark.faithful, "statement": mark.statement}


def _head(given: str | None) -> tuple[int, int] | None:
    """ "3.5" is head 5 of layer 3."""
    from core_model.errors import OptionUnfit

    if given is None:
        return None
    layer, _, head = given.partition(".")
    if not (layer.isdecimal() and head.isdecimal()):
        raise OptionUnfit(f"--attention-head {given!r} is no layer and head", mend="--attention-head 3.5")
    return int(layer), int(head)


def _attention(
    predictor: Predictor, texts: list[str], pairs: list[str] | None, head: tuple[int, int] | None
) -> list[list[Figure]]:
    from audit.concerns.explainability.attention_pictures import attention_pictures
    from core_model.attention_maps import attention_maps

    return [
        attention_pictures(one, name=f"text-{place}", head=head)
        for place, one in enumerate(attention_maps(predictor, texts, pairs), start=1)
    ]


def _label(name: str, labels: Sequence[str]) -> int:
    from difflib import get_close_matches

    from core_model.errors import OptionUnfit

    if name not in labels:
        near = get_close_matches(name, labels, n=1)
        raise OptionUnfit(
            f"--label {name!r} is no label of the model; it has {', '.join(labels)}",
            mend=f"--label {near[0] if near else labels[0]!r}",
        )
    return list(labels).index(name)


def as_object(
    found: Sequence[Attribution],
    answers: Sequence[str],
    opened: Checkpoint,
    *,
    given: tuple[Sequence[str], Sequence[str]],
    mark: Mark | None,
    out: Path | None,
) -> dict[str, Any]:
    """What `--json` prints."""
    return {
        "checkpoint": {"name": opened.name, "sha256": opened.sha256},
        "method": found[0].method,
        "audit_says": mark_as_object(mark),
        "texts": [
            {
                "text": one.worded.text,
                **({} if one.worded.pair is None else {"pair": one.worded.pair}),
                "cut": cut,
                "predicted": answer,
                "label": opened.labels[one.target],
                "probability": one.score,
                "words": words_as_objects(one),
                "not_given_to_words": one.rest,
                "completeness_error": one.completeness_error,
                "steps": one.steps,
            }
            for one, answer, cut in zip(found, answers, were_cut(found, *given), strict=True)
        ],
        "page": None if out is None else str(out),
    }  # fmt: skip


def print_in_terminal(
    found: Sequence[Attribution], answers: Sequence[str], labels: Sequence[str], cut: Sequence[bool]
) -> None:
    """What is explained of each text, then its words."""
    from reports.text import terminal_text

    for one, answer, shortened in zip(found, answers, cut, strict=True):
        asked = labels[one.target]
        other = "" if asked == answer else f" (the model says {terminal_text(answer, longest=80)})"
        click.echo(f"{terminal_text(asked, longest=80)}: probability {one.score:.3f}{other}, by {one.method}")
        print_words(one, cut=shortened)


def print_words(one: Attribution, tolerance: float | None = None, *, cut: bool) -> None:
    """Words in reading order, each with its score and a bar; text of strangers is made visible first."""
    from audit.concerns.explainability.heat_map import CUT, quality_of, scale_of, signed
    from core_model.attribution import TOLERANCE
    from reports.text import terminal_text

    largest = scale_of(one)
    for word, score in zip(one.words, one.scores, strict=True):
        length = round(BAR * abs(float(score)) / largest)
        bar = ("+" if score > 0 else "-") * length
        click.echo(f"  {signed(float(score)):>9} {bar:<{BAR}} {terminal_text(word, longest=80)}")
    quality = quality_of(one, TOLERANCE if tolerance is None else tolerance)
    if quality:
        click.echo(f"  {quality}")
    if cut:
        click.echo(f"  {CUT}")


def words_as_objects(one: Attribution) -> list[dict[str, Any]]:
    """Each word with its place in the text and its score."""
    return [
        {"word": word, "in": "pair" if span[0] else "text", "start": span[1], "end": span[2], "score": float(score)}
        for word, span, score in zip(one.words, one.worded.spans, one.scores, strict=True)
    ]
