"""`aboveboard explain`: which words made the model say so, write so, or find its answer there? See `explain_parts`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from audit.commands.arguments import json_option

if TYPE_CHECKING:
    from collections.abc import Mapping


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
    from audit.commands.explain_labels import show_labels
    from audit.commands.explain_parts import Drawn
    from audit.concerns.explainability.marks import mark_from
    from audit.subject import GENERATORS
    from core_model.attribution import refuse
    from core_model.checkpoint import open_checkpoint
    from core_model.errors import OptionUnfit, TaskUnfit
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
    drawn = Drawn(attention or head is not None, head)
    of_writers = {"--target": written, "--max-new-tokens": max_new_tokens}
    if opened.task in GENERATORS:
        from audit.commands.explain_writing import show_writing

        of_labels = {"--label": label, "--pair": pairs}
        _refuse(of_labels, f"models that choose a label, and {opened.name} writes text", "--target")
        return show_writing(
            opened, texts, written, method=method, max_new_tokens=max_new_tokens, attention=drawn, mark=mark, out=out,
            as_json=as_json,
        )  # fmt: skip
    if opened.task is Task.QUESTION_ANSWERING:
        from audit.commands.explain_answers import show_answers

        of_labels = {"--label": label}
        _refuse(of_labels, f"models that choose a label, and {opened.name} finds answers in a context", "--context")
        _refuse(of_writers, f"models that write text, and {opened.name} finds answers in a context", "--context")
        return show_answers(opened, texts, pairs, method=method, attention=drawn, mark=mark, out=out, as_json=as_json)
    if opened.task is not Task.CLASSIFICATION:
        raise TaskUnfit(
            f"{opened.name} does {opened.task.value}; words are explained for labels, for what a model writes, and for "
            "answers in a context",
            mend="a checkpoint with a head for one of these",
        )
    _refuse(of_writers, f"models that write text, and {opened.name} chooses a label", "--label NAME")
    return show_labels(
        opened, texts, pairs, label=label, method=method, seed=seed, attention=drawn, mark=mark, out=out,
        as_json=as_json,
    )  # fmt: skip


def _refuse(options: Mapping[str, object], why: str, mend: str) -> None:
    """Raises: OptionUnfit for the first of these options that was given."""
    from core_model.errors import OptionUnfit

    flag = next((name for name, value in options.items() if value), None)
    if flag is not None:
        raise OptionUnfit(f"{flag} is of {why}", mend=mend)


def _head(given: str | None) -> tuple[int, int] | None:
    """ "3.5" is head 5 of layer 3."""
    from core_model.errors import OptionUnfit

    if given is None:
        return None
    layer, _, head = given.partition(".")
    if not (layer.isdecimal() and head.isdecimal()):
        raise OptionUnfit(f"--attention-head {given!r} is no layer and head", mend="--attention-head 3.5")
    return int(layer), int(head)
