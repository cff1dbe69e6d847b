"""`aboveboard prepare`: clean, filter, deduplicate and split rows; a data card says what was dropped and why."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from audit.commands.arguments import json_option, print_json

if TYPE_CHECKING:
    from core_model.preprocessing import Preparation
    from core_model.preprocessing.intake import Tell


@click.command()
@click.option("--data", required=True, metavar="FILE", help="Rows: CSV, TSV, JSONL, Parquet, or a hub name.")
@click.option("--task", metavar="T", help="What the rows are for. Default: classification.")
@click.option("--text-column", metavar="C", help="Column of the text.")
@click.option("--pair-column", metavar="C", help="Column of the second text of a pair.")
@click.option("--source-column", metavar="C", help="Column of the text to translate or to sum up.")
@click.option("--target-column", metavar="C", help="Column of the translation or summary.")
@click.option("--question-column", metavar="C", help="Column of the question.")
@click.option("--context-column", metavar="C", help="Column of the text that holds the answer.")
@click.option("--answer-column", metavar="C", help="Column of the answer, or of a list of answers.")
@click.option("--label-column", metavar="C", help="Column of the label: counts duplicates that contradict.")
@click.option("--encoding", metavar="NAME", help="Encoding of the data file, where it is not UTF-8.")
@click.option("--html/--no-html", default=None, help="Take out tags, read character references. Default: on.")
@click.option("--unicode/--no-unicode", default=None, help="Write composed characters (NFC). Default: on.")
@click.option(
    "--control/--no-control", default=None, help="Take out control, zero-width and direction characters. Default: on."
)
@click.option("--whitespace/--no-whitespace", default=None, help="One blank between words. Default: on.")
@click.option(
    "--keep-lines/--join-lines",
    default=None,
    help="Whether line ends stay. Default: joined for classification and translation.",
)
@click.option("--min-words", type=int, metavar="N", help="Fewest words of each text. Default: 1.")
@click.option("--max-words", type=int, metavar="N", help="Most words of each text.")
@click.option("--min-characters", type=int, metavar="N", help="Fewest characters of each text. Default: 1.")
@click.option("--max-characters", type=int, metavar="N", help="Most characters of each text.")
@click.option("--max-length-ratio", type=float, metavar="X", help="Most characters of one side for one of the other.")
@click.option("--identical", metavar="drop|keep", help="Rows whose two sides are the same. Default: drop translations.")
@click.option("--min-letters", type=float, metavar="X", help="Smallest share of letters in each text. Default: 0.")
@click.option("--language", metavar="CODE", help="Drop texts of other languages, such as other than en.")
@click.option("--source-language", metavar="CODE", help="Language of the source.")
@click.option("--target-language", metavar="CODE", help="Language of the target.")
@click.option("--min-language-probability", type=float, metavar="X", help="Smallest probability of it. Default: 0.2.")
@click.option("--exact-duplicates", metavar="remove|keep", help="Rows that repeat an earlier one. Default: remove.")
@click.option("--near-duplicates", metavar="remove|keep", help="Rows that nearly do. Default: remove.")
@click.option(
    "--duplicates-by",
    metavar="row|either|SIDE",
    help="What repeats: all of the row, either side, or one (source ...). Default: row.",
)
@click.option(
    "--similarity", type=float, metavar="X", help="Smallest Jaccard similarity of near duplicates. Default: 0.8."
)
@click.option("--validation", type=float, metavar="X", help="Share of rows for validation. Default: 0.1.")
@click.option("--test", type=float, metavar="X", help="Share of rows for the test. Default: 0.1.")
@click.option("--split-column", metavar="C", help="Column whose equal values stay together, such as a page or a user.")
@click.option("--seed", type=int, metavar="N", help="Another seed, another split. Default: 0.")
@click.option("--format", metavar="jsonl|parquet", help="Of the files that are written. Default: jsonl.")
@click.option("--out", required=True, type=click.Path(path_type=Path), metavar="DIR", help="Folder to write.")
@json_option
def prepare(*, data: str, out: Path, as_json: bool, **flags: Any) -> None:
    """Clean, filter, deduplicate and split rows for training.

    Writes train, validation and test to --out, with all columns, and data_card.json and data_card.md: what each step
    dropped and why, in counts and row numbers, without a text. No near duplicate stands in two parts.

    The file streams: it may be larger than memory. The same input and options give the same bytes.

    \b
    Examples:
      aboveboard prepare --data reviews.csv --text-column review --label-column stars --out prepared
      aboveboard prepare --data pairs.jsonl --task translation --source-column en --target-column de \\
          --source-language en --target-language de --max-length-ratio 3 --split-column page --out prepared
      aboveboard prepare --data pages.jsonl --task language-modeling --min-words 50 --language en --out prepared
      aboveboard train --task translation --base none --data prepared/train.jsonl --out model
    """
    from core_model.preprocessing import PreparationOptions
    from core_model.preprocessing import prepare as run
    from core_model.settings import checked

    given = {name: value for name, value in flags.items() if value is not None}
    checked(PreparationOptions, given, where="the command line", write="--{key} ...")
    try:
        with _told() as tell:
            prepared = run(data, out, progress=tell, **given)
    except KeyboardInterrupt:
        click.echo("interrupted; nothing was written, and the same command begins again", err=True)
        click.get_current_context().exit(130)
    if as_json:
        print_json(prepared.card)
    else:
        _show(prepared)


@contextmanager
def _told() -> Iterator[Tell]:
    """Something to tell stages and rows to: in place on a terminal, else a line for each stage and now and then."""
    from audit.commands.progress import QUIET_SECONDS, on_terminal
    from core_model.progress import Now

    if on_terminal():
        from rich.console import Console

        with Console(stderr=True).status("reading") as status:
            yield lambda stage, rows: status.update(f"{stage}: {rows:,} rows")
        return
    now, last = Now(QUIET_SECONDS), [""]

    def tell(stage: str, rows: int) -> None:
        if stage != last[0] or now.due():
            last[0] = stage
            click.echo(f"{stage}: {rows:,} rows", err=True)

    yield tell


def _show(prepared: Preparation) -> None:
    """The steps and the parts, in a few lines."""
    from reports.text import terminal_text

    def say(text: str) -> None:
        click.echo(terminal_text(text))

    card = prepared.card
    for what, column in card["guessed"].items():
        click.echo(terminal_text(f"guessed: --{what.replace('_', '-')} {column}"), err=True)
    for step in card["steps"]:
        say(f"{step['name']}: {step['rows_in']:,} rows in, {step['rows_out']:,} out")
        for entry in step["changed"]:
            say(f"  changed {entry['rows']:,}: {entry['what']}")
        for entry in step["dropped"]:
            say(f"  dropped {entry['rows']:,}: {entry['reason']} (row {', '.join(map(str, entry['examples']))})")
        for what, count in step["found"].items():
            say(f"  found {count:,}: {what}")
    for part in card["parts"]:
        say(f"{part['name']}: {part['rows']:,} rows, {prepared.files[part['name']]}")
    for note in card["notes"]:
        say(f"note: {note}")
    say(f"card: {prepared.folder / 'data_card.md'}")
