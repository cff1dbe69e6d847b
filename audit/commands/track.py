"""`aboveboard track`: put a record among the runs of MLflow or TensorBoard."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

from audit.commands.arguments import json_option, print_json


@click.command()
@click.argument("record", type=click.Path(path_type=Path))
@click.option("--with", "tracker", type=click.Choice(["mlflow", "tensorboard"]), required=True, help="Which tracker.")
@click.option("--to", required=True, metavar="DIR|URI", help="A folder, or the address of an MLflow server.")
@click.option("--redact", type=click.Choice(["hash", "mask"]), is_flag=False, flag_value="hash",
              help="Log a redacted record, as `report --redact` writes it.")  # fmt: skip
@json_option
def track(record: Path, tracker: str, to: str, redact: Literal["hash", "mask"] | None, as_json: bool) -> None:
    """Log RECORD (audit.json or report.html): every number with its interval and n, verdicts, record and report.

    What was not measured has no number there; its reason stands in the place of a verdict. The record goes along as
    it is, with its evidence rows: a server that others read wants --redact.

    \b
    Examples:
      aboveboard track audit-out/audit.json --with tensorboard --to runs
      aboveboard track audit-out/audit.json --with mlflow --to mlruns
      aboveboard track audit-out/audit.json --with mlflow --to https://tracking.example.org --redact
    """
    from audit.tracking import track as log
    from reports.formats.checks import SEAL_WORDS, seal
    from reports.reading import read_record
    from reports.redaction import redacted

    read = read_record(record)
    state = seal(read)
    if state.key != "pass":
        click.echo(f"note: {SEAL_WORDS[state]}", err=True)
    where = log(redacted(read, redact) if redact else read, tracker, to=to)
    if as_json:
        print_json({"tracker": tracker, "to": to, "run": where})
    else:
        click.echo(where)
