"""`aboveboard calibrate`: make a classifier as sure as it should be, without changing an answer."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from audit.commands.arguments import json_option, print_json
from audit.commands.rows import COLUMNS, open_rows, row_options


@click.command()
@click.argument("checkpoint")
@click.option("--data", required=True, metavar="FILE", help="Labelled rows that it was not trained on.")
@row_options
@click.option("--seed", type=int, default=0, show_default=True, metavar="N", help="Draws the halves that judge.")
@click.option("--out", required=True, type=click.Path(path_type=Path), metavar="DIR", help="Folder of the result.")
@json_option
def calibrate(*, checkpoint: str, data: str, seed: int, out: Path, as_json: bool, **columns: Any) -> None:
    """Divide the logits of CHECKPOINT by the temperature that fits --data best (temperature scaling).

    The number is folded into the head: --out is a standard Hugging Face folder that every tool loads, with
    calibration.json. Predicted labels stay as they are. Audit the result on other rows than --data: those chose the
    temperature, and would find the calibration better than it is.

    \b
    Examples:
      aboveboard calibrate ./classifier --data validation.jsonl --out ./calibrated
      aboveboard calibrate ./classifier --data validation.csv --label-column biased --out ./calibrated --json
    """
    from core_model.checkpoint import open_checkpoint
    from core_model.onnx_graph import refuse_graph
    from core_model.temperature_scaling import calibrate as run
    from core_model.temperature_scaling import require_classifier
    from reports.text import terminal_text

    opened = open_checkpoint(checkpoint)
    refuse_graph(opened)
    require_classifier(opened)
    rows = open_rows(data, opened, {name: columns[name] for name in COLUMNS})
    made = run(opened, rows, out=out, seed=seed)
    if as_json:
        print_json({**asdict(made), "path": str(made.path)})
        return
    sure = "too sure" if made.temperature > 1 else "not sure enough"
    click.echo(f"temperature: {made.temperature:.3f} on {made.rows:,} rows: the model was {sure}")
    click.echo(
        f"loss: {made.before:.4f} nats before, {made.after:.4f} after, on rows that did not choose the temperature"
    )
    click.echo(terminal_text(f"checkpoint: {made.path}  (answers as before)"))
    click.echo(terminal_text(f"next: audit it on other rows than {data}, which chose the temperature"))
