"""`aboveboard normalize`: a tokenizer that takes disguises off, so that look-alike letters change no answer."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from audit.commands.arguments import json_option, print_json


@click.command()
@click.argument("checkpoint")
@click.option("--out", required=True, type=click.Path(path_type=Path), metavar="DIR", help="Folder of the result.")
@json_option
def normalize(*, checkpoint: str, out: Path, as_json: bool) -> None:
    """Copy CHECKPOINT with a tokenizer that reads look-alike letters as what they look like.

    Full-width and styled letters, invisible marks, and letters of other scripts inside Latin words are undone before a
    word is read; case stays. The rule is saved in tokenizer.json: --out is a standard Hugging Face folder that every
    tool loads, nothing is trained. It unites what it cannot tell apart: audit the result, and compare.

    \b
    Examples:
      aboveboard normalize ./classifier --out ./normalized
      aboveboard audit ./normalized --data test.jsonl --only security --out after
      aboveboard compare before/audit.json after/audit.json --out difference
    """
    from core_model.checkpoint import open_checkpoint
    from core_model.input_normalization import normalize as run
    from reports.text import terminal_text

    made = run(open_checkpoint(checkpoint), out=out)
    if as_json:
        print_json({**asdict(made), "path": str(made.path)})
        return
    everywhere, inside = (
        ", ".join(script.capitalize() for script in scripts)
        for scripts in (made.replaced_everywhere, made.replaced_in_latin_words)
    )
    if everywhere:
        click.echo(f"read as Latin wherever they look so: {everywhere} (the tokenizer knows no words of these scripts)")
    if inside:
        click.echo(f"read as Latin inside Latin words only: {inside}")
    click.echo(terminal_text(f"checkpoint: {made.path}  (weights as before)"))
