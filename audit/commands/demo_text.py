"""The demos of tasks that write or foresee text: a small Transformer learns from nothing for minutes, and is audited.

Real text that the package manager brings: LibreOffice's help in English and German, Debian's package descriptions. What
learns for minutes on two cores is no good translator; the report says how good, of what, and how sure that is. Where
SmolLM2's package is installed, `--pretrained` takes that model in the place of a new one, and trains adapters.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

MINUTES = {"translation": 4.0, "language-modeling": 3.0}
FROM_SCRATCH: Mapping[str, Any] = {
    "schedule": "inverse-sqrt", "warmup_steps": 200, "learning_rate": 1e-3, "batch_tokens": 1024, "ema": 0.99,
}  # fmt: skip


@dataclass(frozen=True)
class TextDemo:
    """What one demo learns from, and what learns.

    Attributes:
        name: of the checkpoint's folder.
        write: writes train.jsonl, validation.jsonl and test.jsonl into a folder.
        columns: as `open_table` and the audits call them.
        options: of its training.
        shape: of the new model; None where there is a base.
        base: finds the folder of a pretrained one.
        test_rows: rows that the audits ask the model for, a few times over.
    """

    name: str
    write: Callable[[Path], Any]
    columns: Mapping[str, Any]
    options: Mapping[str, Any]
    shape: Mapping[str, Any] | None = None
    base: Callable[[], Path] | None = None
    test_rows: int = 300


def text_demo(task: str, *, pretrained: bool = False) -> TextDemo:
    """The demo of a task; `pretrained`: of adapters on SmolLM2 (135 M parameters)."""
    if pretrained:
        from core_model.corpora.smollm2 import locate_smollm2

        return TextDemo(
            name="smollm2-descriptions",
            write=_write_texts,
            columns={"text_column": "text"},
            base=locate_smollm2,
            options={
                "schedule": "inverse-sqrt", "warmup_steps": 10, "learning_rate": 5e-4, "batch_tokens": 512,
                "max_length": 128, "adapters": 8,
            },
            test_rows=60,
        )  # fmt: skip
    if task == "translation":
        return TextDemo(
            name="translator-en-de",
            write=_write_help,
            columns={"text_column": "en", "reference_column": "de"},
            shape={
                "kind": "encoder-decoder", "layers": 3, "decoder_layers": 2, "hidden": 192, "heads": 4,
                "vocabulary": 6000, "max_length": 128,
            },
            options={**FROM_SCRATCH, "label_smoothing": 0.1, "max_length": 96},
        )  # fmt: skip
    return TextDemo(
        name="describer",
        write=_write_texts,
        columns={"text_column": "text"},
        shape={"kind": "decoder", "layers": 3, "hidden": 192, "heads": 4, "vocabulary": 6000, "max_length": 128},
        options={**FROM_SCRATCH, "max_length": 128},
    )


def learn_and_audit(
    task: str, *, out: Path, profile: str, rows: int | None, minutes: float | None, retrain: bool, pretrained: bool,
    as_json: bool,
) -> int:  # fmt: skip
    """Bring the text, train, audit; returns the exit code.

    Raises: DataMissing where apt cannot bring the text; CheckpointMissing where a pretrained model is not installed;
        what training and auditing raise.
    """
    from audit.commands.audit import conclude
    from audit.commands.demo_files import thinned
    from audit.commands.progress import narrator
    from audit.configuration import configuration
    from audit.session import prepare

    demo, data = text_demo(task, pretrained=pretrained), out / "data"
    base = None if demo.base is None else demo.base()
    click.echo("bringing real text by apt; nothing of it is kept but in the cache and in --out", err=True)
    demo.write(data)
    train_file, test_file = data / "train.jsonl", thinned(data / "test.jsonl", demo.test_rows)
    if rows is not None:
        train_file, test_file = thinned(train_file, rows), thinned(test_file, max(50, rows // 4))
    checkpoint = _trained(
        demo, task, out / demo.name, train_file, base=base, minutes=minutes or MINUTES[task], retrain=retrain
    )
    flags: dict[str, Any] = {
        "data": str(test_file), "train_data": str(train_file), "task": task, **demo.columns,
        "profile": profile, "seed": 0, "out": str(out / "audit"),
    }  # fmt: skip
    session = prepare(checkpoint, configuration(file=None, flags=flags))
    with narrator(session) as tell:
        record = session.run(
            command=f"aboveboard demo --task {task}{' --pretrained' * pretrained} --out {out} --profile {profile}",
            tell=tell,
        )
    return conclude(session, record, as_json=as_json, gate=None)


def _trained(
    demo: TextDemo, task: str, folder: Path, train_file: Path, *, base: Path | None, minutes: float, retrain: bool
) -> Path:
    from audit.commands.demo_files import earlier_checkpoint, thinned
    from audit.commands.train_progress import progress_shown
    from core_model.architectures import Architecture
    from core_model.checkpoint import open_checkpoint
    from core_model.data import open_table
    from core_model.precision import fastest_on_cpu
    from core_model.tasks import Task
    from core_model.training import train
    from core_model.training_options import TrainingOptions

    table = open_table(train_file, task=Task(task), **demo.columns)
    if not retrain and earlier_checkpoint(folder, table):
        return folder
    options = TrainingOptions(task=Task(task), max_minutes=minutes, precision=fastest_on_cpu(), **demo.options)
    what = f"a new {demo.shape['kind']}" if demo.shape is not None else "adapters on a pretrained model"
    click.echo(f"training {what} for {minutes:g} minutes on {table.rows:,} rows", err=True)
    validation = thinned(train_file.with_name("validation.jsonl"), demo.test_rows)
    with progress_shown() as progress:
        train(
            options,
            data=table,
            evaluation=open_table(validation, task=Task(task), **demo.columns),
            base=None if base is None else open_checkpoint(base),
            architecture=None if demo.shape is None else Architecture(**demo.shape),
            out=folder,
            resume=not retrain,
            progress=progress,
        )
    return folder


def _write_help(folder: Path) -> None:
    from core_model.corpora.libreoffice_help import read_help, write_help

    write_help(folder, read_help(pinned=False))


def _write_texts(folder: Path) -> None:
    from core_model.corpora.package_descriptions import read_texts, write_texts

    write_texts(folder, read_texts(pinned=False))
