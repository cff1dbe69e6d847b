"""`aboveboard scan`: is there anything in a folder that could hurt whoever opens it?"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from audit.commands.arguments import json_option, print_json

if TYPE_CHECKING:
    from core_model.supply_chain import Scan


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--gate",
    is_flag=False,
    flag_value="high",
    type=click.Choice(["high", "medium", "low"]),
    help="Exit with 1 when an issue of this level or a worse one was found (alone: high).",
)
@json_option
def scan(folder: Path, gate: str | None, as_json: bool) -> int:
    """Look at every file of FOLDER without loading or running any, checkpoint or not.

    Pickles are disassembled and judged by picklescan and fickling; archives are looked into; chat templates are parsed;
    graphs (ONNX, Keras, TensorFlow) are read part by part; configuration that names code, links out of the folder,
    pipes, programs, untrue headers and secrets are told with file and byte. `aboveboard audit --only security` does the
    same for a checkpoint that can be opened.

    \b
    Examples:
      aboveboard scan ./downloaded
      aboveboard scan ./downloaded --gate && aboveboard audit ./downloaded --data test.jsonl
      aboveboard scan ./downloaded --gate medium --json
    """
    from core_model.supply_chain import Level, scan_folder

    found = scan_folder(folder)
    if as_json:
        counts = {str(level): found.count(level) for level in Level}
        print_json({"folder": str(folder), "counts": counts, **asdict(found)})
    else:
        _tell(found)
    levels = list(Level)
    barred = levels[: levels.index(Level(gate)) + 1] if gate else []
    return int(any(found.count(level) for level in barred))


def _tell(found: Scan) -> None:
    """The issues for a person, worst first; a file's own words are made inert."""
    from core_model.supply_chain import Level
    from reports.text import terminal_text

    for issue in found.issues:
        place = issue.file if issue.offset is None else f"{issue.file}, byte {issue.offset:,}"
        click.echo(terminal_text(f"{issue.level.upper():<6} {place}: {issue.what}"))
        click.echo(terminal_text(f"       why: {issue.why}"))
        click.echo(terminal_text(f"       mend: {issue.mend}"))
    for sentence in found.not_measured:
        click.echo(f"not measured: {sentence}")
    counts = ", ".join(f"{found.count(level)} {level}" for level in Level)
    click.echo(f"{found.files:,} files: {counts}. A clean scan is no proof that nothing is hidden.")
