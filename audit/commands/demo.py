"""`aboveboard demo`: the main job on the embedded default, from a real encoder and real comments to a report.

The demos of the other tasks are `audit.commands.demo_text`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from audit.commands.arguments import json_option
from audit.commands.demo_files import earlier_checkpoint, thinned
from core_model.errors import OptionUnfit

EPOCHS, SEED = 2, 0
GROUP = "target_group"


@click.command()
@click.option(
    "--task",
    type=click.Choice(["classification", "translation", "language-modeling"]),
    default="classification",
    show_default=True,
)
@click.option(
    "--out", type=click.Path(path_type=Path), default=None, metavar="DIR", help="[default: demo, or demo-TASK]"
)
@click.option("--profile", default="standard", show_default=True, help="quick, standard or full.")
@click.option("--rows", type=click.IntRange(min=100), default=None, help="Use only so many rows (for a quick look).")
@click.option("--minutes", type=click.FloatRange(min=0.1), default=None, help="Of training, where a new model learns.")
@click.option("--pretrained", is_flag=True, help="Language modeling: train adapters on SmolLM2, if it is installed.")
@click.option("--retrain", is_flag=True, help="Train again, also where the checkpoint of an earlier demo fits.")
@json_option
def demo(
    *, task: str, out: Path | None, profile: str, rows: int | None, minutes: float | None, pretrained: bool,
    retrain: bool, as_json: bool,
) -> int:  # fmt: skip
    """Fine-tune MiniLM (22.7 M parameters) on RedditBias (11,464 real comments) and audit the result.

    About 7 minutes on two cores the first time; a second run keeps the checkpoint. The comments are offensive: the
    report folds them. Writes DIR/data, DIR/minilm-redditbias and DIR/audit/report.html.

    With --task translation a new encoder-decoder learns English to German from LibreOffice's help for 4 minutes; with
    --task language-modeling a new decoder learns from Debian's package descriptions for 3. Both texts come by apt.

    \b
    Examples:
      aboveboard demo
      aboveboard demo --rows 1000 --profile quick --out small-demo
      aboveboard demo --task translation
      aboveboard demo --task language-modeling --minutes 10
      aboveboard demo --task language-modeling --pretrained
    """
    if pretrained and task != "language-modeling":
        raise OptionUnfit("--pretrained is of --task language-modeling", mend="--task language-modeling --pretrained")
    if task != "classification":
        from audit.commands.demo_text import learn_and_audit

        return learn_and_audit(
            task, out=out or Path(f"demo-{task}"), profile=profile, rows=rows, minutes=minutes, retrain=retrain,
            pretrained=pretrained, as_json=as_json,
        )  # fmt: skip
    if minutes is not None:
        raise OptionUnfit(
            "--minutes is of demos where a new model learns; this one fine-tunes for 2 epochs",
            mend="leave --minutes out, or --task translation",
        )
    return _classification(out or Path("demo"), profile=profile, rows=rows, retrain=retrain, as_json=as_json)


def _classification(out: Path, *, profile: str, rows: int | None, retrain: bool, as_json: bool) -> int:
    from audit.commands.audit import conclude
    from audit.commands.progress import narrator
    from audit.configuration import configuration
    from audit.session import prepare
    from core_model.embedded import locate_encoder, write_redditbias

    click.echo("The comments of this demo are real and offensive; the report folds them.", err=True)
    encoder = locate_encoder()
    train_file, test_file = write_redditbias(out / "data")
    if rows is not None:
        train_file, test_file = thinned(train_file, rows), thinned(test_file, max(50, rows // 4))
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
    from core_model.training import train
    from core_model.training_options import TrainingOptions

    columns: dict[str, Any] = {"text_column": "comment", "label_column": "label", "label_names": LABEL_NAMES}
    table = open_table(str(train_file), **columns)
    if not retrain and earlier_checkpoint(folder, table):
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
