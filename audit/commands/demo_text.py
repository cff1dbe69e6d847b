"""The demos of tasks that write or foresee text: a small Transformer learns from nothing for minutes, and is audited.

Real text that the package manager brings: LibreOffice's help in English and German, Debian's package descriptions. What
learns for minutes on two cores is no good translator; the report says how good, of what, and how sure that is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

MINUTES = {"translation": 4.0, "language-modeling": 3.0}
TEST_ROWS = 300  # to be translated or foreseen a few times over by the audits
OPTIONS: Mapping[str, Any] = {
    "schedule": "inverse-sqrt", "warmup_steps": 200, "learning_rate": 2e-3, "batch_tokens": 2048, "ema": 0.99,
}  # fmt: skip


@dataclass(frozen=True)
class TextDemo:
    """What one demo learns from, and what learns.

    Attributes:
        name: of the checkpoint's folder.
        write: writes train.jsonl, validation.jsonl and test.jsonl into a folder.
        columns: as `open_table` and the audits call them.
        shape: of the new model.
        options: of its training, beside `OPTIONS`.
    """

    name: str
    write: Callable[[Path], Any]
    columns: Mapping[str, Any]
    shape: Mapping[str, Any]
    options: Mapping[str, Any]


def text_demo(task: str) -> TextDemo:
    """The demo of a task."""
    if task == "translation":
        return TextDemo(
            name="translator-en-de",
            write=_write_help,
            columns={"text_column": "en", "reference_column": "de"},
            shape={
                "kind": "encoder-decoder", "layers": 3, "decoder_layers": 2, "hidden": 192, "heads": 4,
                "vocabulary": 6000, "max_length": 128,
            },
            options={"label_smoothing": 0.1, "max_length": 96},
        )  # fmt: skip
    return TextDemo(
        name="describer",
        write=_write_texts,
        columns={"text_column": "text"},
        shape={"kind": "decoder", "layers": 3, "hidden": 192, "heads": 4, "vocabulary": 6000, "max_length": 128},
        options={"max_length": 128},
    )


def learn_and_audit(
    task: str, *, out: Path, profile: str, rows: int | None, minutes: float | None, retrain: bool, as_json: bool
) -> int:
    """Bring the text, train, audit; returns the exit code.

    Raises: DataMissing where apt cannot bring the text; what training and auditing raise.
    """
    from audit.commands.audit import conclude
    from audit.commands.demo_files import thinned
    from audit.commands.progress import narrator
    from audit.configuration import configuration
    from audit.session import prepare

    demo, data = text_demo(task), out / "data"
    click.echo("bringing real text by apt; nothing of it is kept but in the cache and in --out", err=True)
    demo.write(data)
    train_file, test_file = data / "train.jsonl", thinned(data / "test.jsonl", TEST_ROWS)
    if rows is not None:
        train_file, test_file = thinned(train_file, rows), thinned(test_file, max(50, rows // 4))
    minutes = minutes or MINUTES[task]
    checkpoint = _trained(demo, task, out / demo.name, train_file, data, minutes=minutes, retrain=retrain)
    flags: dict[str, Any] = {
        "data": str(test_file), "train_data": str(train_file), "task": task, **demo.columns,
        "profile": profile, "seed": 0, "out": str(out / "audit"),
    }  # fmt: skip
    session = prepare(checkpoint, configuration(file=None, flags=flags))
    with narrator(session) as tell:
        record = session.run(command=f"aboveboard demo --task {task} --out {out} --profile {profile}", tell=tell)
    return conclude(session, record, as_json=as_json, gate=None)


def _trained(
    demo: TextDemo, task: str, folder: Path, train_file: Path, data: Path, *, minutes: float, retrain: bool
) -> Path:
    from audit.commands.demo_files import earlier_checkpoint
    from audit.commands.train_progress import progress_shown
    from core_model.architectures import Architecture
    from core_model.data import open_table
    from core_model.precision import fastest_on_cpu
    from core_model.tasks import Task
    from core_model.training import train
    from core_model.training_options import TrainingOptions

    table = open_table(train_file, task=Task(task), **demo.columns)
    if not retrain and earlier_checkpoint(folder, table):
        return folder
    options = TrainingOptions(
        task=Task(task), max_minutes=minutes, precision=fastest_on_cpu(), **{**OPTIONS, **demo.options}
    )
    click.echo(f"training a new {demo.shape['kind']} for {minutes:g} minutes on {table.rows:,} rows", err=True)
    with progress_shown() as progress:
        train(
            options,
            data=table,
            evaluation=open_table(thinned_validation(data), task=Task(task), **demo.columns),
            architecture=Architecture(**demo.shape),
            out=folder,
            resume=not retrain,
            progress=progress,
        )
    return folder


def thinned_validation(data: Path) -> Path:
    """Validation rows, few enough that the evaluations on the way take no minute of the few."""
    from audit.commands.demo_files import thinned

    return thinned(data / "validation.jsonl", TEST_ROWS)


def _write_help(folder: Path) -> None:
    from core_model.corpora.libreoffice_help import read_help, write_help

    write_help(folder, read_help(pinned=False))


def _write_texts(folder: Path) -> None:
    from core_model.corpora.package_descriptions import read_texts, write_texts

    write_texts(folder, read_texts(pinned=False))
