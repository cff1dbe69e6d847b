"""`aboveboard demo`: the main job on the embedded default, from a real encoder and real comments to a report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from audit.commands.arguments import json_option

EPOCHS, SEED = 2, 0
GROUP = "target_group"


@click.command()
@click.option("--out", type=click.Path(path_type=Path), default=Path("demo"), show_default=True, metavar="DIR")
@click.option("--profile", default="standard", show_default=True, help="quick, standard or full.")
@click.option("--rows", type=click.IntRange(min=100), default=None, help="Use only so many rows (for a quick look).")
@click.option("--retrain", is_flag=True, help="Train again, also where the checkpoint of an earlier demo fits.")
@json_option
def demo(out: Path, profile: str, rows: int | None, retrain: bool, as_json: bool) -> int:
    """Fine-tune MiniLM (22.7 M parameters) on RedditBias (11,464 real comments) and audit the result.

    About 7 minutes on two cores the first time; a second run keeps the checkpoint. The comments are offensive: the
    report folds them. Writes DIR/data, DIR/minilm-redditbias and DIR/audit/report.html.

    \b
    Examples:
      aboveboard demo
      aboveboard demo --rows 1000 --profile quick --out small-demo
    """
    from audit.commands.audit import conclude
    from audit.commands.progress import narrator
    from audit.configuration import configuration
    from audit.session import prepare
    from core_model.embedded import locate_encoder, write_redditbias

    click.echo("The comments of this demo are real and offensive; the report folds them.", err=True)
    encoder = locate_encoder()
    train_file, test_file = write_redditbias(out / "data")
    if rows is not None:
        train_file, test_file = _thinned(train_file, rows), _thinned(test_file, max(50, rows // 4))
    checkpoint = _trained(out / "minilm-redditbias", encoder, train_file, test_file, retrain=retrain)
    flags: dict[str, Any] = {
        "data": str(test_file),
        "train_data": str(train_file),
        "text_column": "comment",
        "label_column": "label",
        "group_columns": (GROUP,),
        "profile": profile,
        "seed": SEED,
        "out": str(out / "audit"),
    }
    session = prepare(checkpoint, configuration(file=None, flags=flags))
    with narrator(session) as tell:
        record = session.run(command=f"aboveboard demo --out {out} --profile {profile}", tell=tell)
    return conclude(session, record, as_json=as_json, gate=None)


def _trained(folder: Path, encoder: Path, train_file: Path, test_file: Path, *, retrain: bool) -> Path:
    """The demo's checkpoint: an earlier demo's where it was trained on these very rows, else a new one."""
    from audit.commands.train_progress import progress_shown
    from core_model.checkpoint import open_checkpoint
    from core_model.data import open_table
    from core_model.embedded import LABEL_NAMES
    from core_model.errors import BadInput
    from core_model.training import train
    from core_model.training_options import TrainingOptions

    columns: dict[str, Any] = {"text_column": "comment", "label_column": "label", "label_names": LABEL_NAMES}
    table = open_table(str(train_file), **columns)
    if not retrain and (folder / "config.json").exists():
        try:
            record = open_checkpoint(folder).training_record or {}
        except BadInput as error:
            click.echo(f"the earlier demo's checkpoint cannot be used, training again ({error.found})", err=True)
            record = {}
        if record.get("data", {}).get("sha256") == table.sha256:
            click.echo(f"keeping the checkpoint of an earlier demo: {folder}", err=True)
            return folder
    options = TrainingOptions(epochs=EPOCHS, seed=SEED, learning_rate=1e-4, max_length=64)
    with progress_shown() as progress:
        train(
            options,
            data=table,
            evaluation=open_table(str(test_file), **columns),
            base=open_checkpoint(encoder),
            out=folder,
            resume=not retrain,
            progress=progress,
        )
    return folder


def _thinned(file: Path, rows: int) -> Path:
    """Every so-many-th line of a file, as a file beside it: about `rows` lines that keep the shares of the groups."""
    from core_model.files import write_atomically

    lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
    step = max(1, len(lines) // rows)
    thin = write_atomically(file.with_name(f"{file.stem}-{rows}.jsonl"), "".join(lines[::step]))
    about = file.with_name(f"{file.stem}.about.toml").read_text(encoding="utf-8")
    write_atomically(thin.with_name(f"{thin.stem}.about.toml"), about)
    return thin
