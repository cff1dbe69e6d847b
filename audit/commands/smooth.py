"""`aboveboard smooth`: a classifier's answers by many looks at parts of each text, and what they withstand."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from audit.commands.arguments import json_option, print_json
from audit.commands.progress import QUIET_SECONDS

if TYPE_CHECKING:
    from core_model.smoothing import Certificate

SHARE = click.FloatRange(0, 1, min_open=True)


@click.command()
@click.argument("checkpoint")
@click.option("--text", "texts", multiple=True, metavar="TEXT", help="Text; may be given several times.")
@click.option("--data", metavar="FILE", help="Rows to answer, in the place of --text.")
@click.option("--text-column", metavar="C", help="Column of the text.")
@click.option("--pair-column", metavar="C", help="Column of the second text of a pair, which is shown whole.")
@click.option("--keep", type=SHARE, default=0.3, show_default=True, help="Share of the words in a part.")
@click.option(
    "--looks",
    type=click.IntRange(min=1),
    default=100,
    show_default=True,
    help="Parts of each text that vote; more prove larger radii.",
)
@click.option(
    "--failure-probability",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=0.001,
    show_default=True,
    help="With which the radius of one text may be wrong.",
)
@click.option("--mask", metavar="TOKEN", help="In the place of hidden words. Default: they are left out.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Draws the parts.")
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE.jsonl", help="File of the answers.")
@json_option
def smooth(
    *,
    checkpoint: str,
    texts: tuple[str, ...],
    data: str | None,
    text_column: str | None,
    pair_column: str | None,
    keep: float,
    looks: int,
    failure_probability: float,
    mask: str | None,
    seed: int,
    out: Path | None,
    as_json: bool,
) -> None:
    """Answer texts by the smoothed classifier: the majority over parts of a text, with a radius that is proven.

    The radius is the number of words that may be replaced by any others without turning the answer. A text on which no
    class surely has more than half of the votes gets no answer. Each text costs some hundred passes; a model that was
    trained on parts of texts proves more: `aboveboard train --augment token-dropout --token-dropout-rate 0.7`. What
    is gained and what it costs an audit of the smoothed classifier tells: `aboveboard audit --smoothing-keep 0.3`.

    \b
    Examples:
      aboveboard smooth ./mended --text "a good book"
      aboveboard smooth ./mended --data new.jsonl --text-column text --out answers.jsonl
      aboveboard smooth ./mended --data new.jsonl --keep 0.2 --looks 1000 --out answers.jsonl
    """  # fmt: skip
    from core_model.checkpoint import open_checkpoint
    from core_model.data import open_table
    from core_model.errors import OptionUnfit, TaskUnfit
    from core_model.files import write_atomically
    from core_model.prediction import Predictor
    from core_model.smoothing import SmoothedClassifier, Smoothing
    from core_model.tasks import Task

    if bool(texts) == (data is not None):
        raise OptionUnfit(
            "there are both --text and --data" if texts else "there is neither --text nor --data",
            mend='--text "a text to answer", or --data FILE',
        )
    opened = open_checkpoint(checkpoint)
    if opened.task is not Task.CLASSIFICATION:
        raise TaskUnfit(
            f"{opened.name} does {opened.task.value}; votes are counted for classes",
            mend="a checkpoint with a classification head",
        )
    asked: Sequence[str] = texts
    pairs: Sequence[str] | None = None
    if data is not None:
        table = open_table(data, text_column=text_column, pair_column=pair_column)
        asked, pairs = table.texts, table.pairs
    smoothing = Smoothing(keep=keep, looks=looks, failure_probability=failure_probability, mask=mask)
    predictor = Predictor(opened, progress=_told())
    found = SmoothedClassifier(predictor, smoothing, seed=seed).certify(asked, pairs)
    answers = [
        _as_object(row, text, one, opened.labels) for row, (text, one) in enumerate(zip(asked, found, strict=True))
    ]
    if out is not None:
        write_atomically(out, "".join(json.dumps(answer, ensure_ascii=False) + "\n" for answer in answers))
    if as_json:
        checkpoint_facts = {"name": opened.name, "sha256": opened.sha256}
        settings = {**asdict(smoothing), "seed": seed}
        print_json({"checkpoint": checkpoint_facts, "smoothing": settings, "answers": answers})
        return
    _tell(answers, found, out)


def _as_object(row: int, text: str, one: Certificate, labels: Sequence[str]) -> dict[str, Any]:
    """One answer; `row` counts from 0, an absent answer and its radius are null."""
    return {
        "row": row,
        "text": text,
        "answer": None if one.answer is None else labels[one.answer],
        "radius": one.radius,
        "words": one.words,
        "share_of_votes": one.share,
        "share_at_least": one.limit,
        "all_parts_seen": one.exact,
    }


def _tell(answers: Sequence[dict[str, Any]], found: Sequence[Certificate], out: Path | None) -> None:
    """Every answer for a person, or their number where they went to a file."""
    from reports.text import terminal_text

    for answer in answers if out is None else ():
        said = "no answer" if answer["answer"] is None else f"{answer['answer']}, radius {answer['radius']}"
        share = f"{answer['share_of_votes']:.0%} of the votes, surely {answer['share_at_least']:.0%}"
        click.echo(terminal_text(f"{said} ({share}): {answer['text']}"))
    answered = sum(one.answer is not None for one in found)
    withstand = sum((one.radius or 0) >= 1 for one in found)
    click.echo(
        f"{len(found):,} texts: {answered:,} answered, {withstand:,} of these whichever one word is replaced"
        + (terminal_text(f"\nanswers: {out}") if out is not None else "")
    )


def _told() -> Callable[[int, int], None]:
    """Says on stderr how many parts of texts were read, at most every so many seconds."""
    said = [time.monotonic()]

    def rows(done: int, total: int) -> None:
        if time.monotonic() - said[0] >= QUIET_SECONDS:
            said[0] = time.monotonic()
            click.echo(f"  {done:,} of {total:,} parts of texts", err=True)

    return rows
