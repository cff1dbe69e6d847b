"""`aboveboard compare`: what changed between two records, or through the history of many."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from audit.commands.arguments import json_option, print_json
from audit.commands.language import language_of, language_options

if TYPE_CHECKING:
    from reports.language import Language

ORDER_HELP = "Three records or more: by the date of their runs, or as you name them."


@click.command()
@click.argument("records", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="A B [C ...]")
@click.option("--out", type=click.Path(path_type=Path), default=Path("compare-out"), show_default=True, metavar="DIR")
@click.option("--unpaired", is_flag=True, help="Compare also records of different data; nothing is paired then.")
@click.option("--order", type=click.Choice(["date", "given"]), default="date", show_default=True, help=ORDER_HELP)
@click.option("--seed", type=int, default=0, show_default=True)
@language_options
@json_option
def compare(
    records: tuple[Path, ...],
    out: Path,
    unpaired: bool,
    order: str,
    seed: int,
    lang: str | None,
    lang_file: Path | None,
    as_json: bool,
) -> int:
    """Compare record A with record B, or show the history of many: every change with its interval.

    A change is paired where both runs answered the same rows, under attacks and noise, too. Of two records that were
    attacked, what was gained is told beside its price on rows as they are. Two records give comparison.json and
    comparison.html in --out; three or more give history.json and history.html, one line a number.

    \b
    Examples:
      aboveboard compare before/audit.json after/audit.json --out difference
      aboveboard compare before/audit.json after/audit.json --json
      aboveboard compare runs/*/audit.json --out history
      aboveboard compare base/audit.json mended/audit.json pruned/audit.json --order given
      aboveboard compare before/audit.json after/audit.json --lang de
    """
    if len(records) < 2:
        raise click.UsageError("one record alone has nothing to be compared with.\n  Try: name two records or more")
    language = language_of(lang, lang_file)
    if len(records) == 2:
        return _two(*records, out=out, unpaired=unpaired, seed=seed, language=language, as_json=as_json)
    return _many(records, out=out, unpaired=unpaired, order=order, seed=seed, language=language, as_json=as_json)


def _two(a: Path, b: Path, *, out: Path, unpaired: bool, seed: int, language: Language, as_json: bool) -> int:
    from audit.comparison import compare as compare_records
    from core_model.files import write_atomically
    from reports.comparison_lines import comparison_lines
    from reports.document.build import comparison_html
    from reports.reading import read_record

    comparison = compare_records(
        read_record(a), read_record(b), folder_a=a.parent, folder_b=b.parent, unpaired=unpaired, seed=seed
    )
    page = write_atomically(out / "comparison.html", comparison_html(comparison, language=language))
    write_atomically(out / "comparison.json", comparison.model_dump_json(indent=2) + "\n")
    if as_json:
        print_json(comparison.model_dump(mode="json"))
        return 0
    for line in comparison_lines(comparison):
        click.echo(line)
    click.echo(f"comparison: {page}")
    return 0


def _many(
    records: tuple[Path, ...], *, out: Path, unpaired: bool, order: str, seed: int, language: Language, as_json: bool
) -> int:
    from audit.history import Kept, history
    from core_model.files import write_atomically
    from reports.document.history import history_html
    from reports.history_lines import history_lines
    from reports.reading import read_record

    kept = [Kept(read_record(path), str(path), path.parent) for path in records]
    found = history(kept, order="given" if order == "given" else "date", unpaired=unpaired, seed=seed)
    page = write_atomically(out / "history.html", history_html(found, language=language))
    write_atomically(out / "history.json", found.to_json())
    if as_json:
        print_json(found.model_dump(mode="json"))
        return 0
    for line in history_lines(found):
        click.echo(line)
    click.echo(f"history: {page}")
    return 0
