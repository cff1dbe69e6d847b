"""`aboveboard compress`: a smaller checkpoint, with what that gained and what it cost."""

from __future__ import annotations

import shlex
import sys
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from audit.commands.arguments import json_option, print_json
from audit.commands.language import language_of, language_options
from audit.commands.rows import COLUMNS, open_rows, row_options

if TYPE_CHECKING:
    from collections.abc import Iterator

    from core_model.checkpoint import Checkpoint
    from core_model.compression.compress import Made
    from core_model.compression.options import Distill
    from core_model.data import Table
    from reports.language import Language
    from reports.trade import Trade

RECORD, PAGE = "compression.json", "compression.html"


@click.command()
@click.argument("checkpoint")
@click.option("--method", required=True, metavar="quantize|prune-heads|distill", help="How it becomes smaller.")
@click.option("--data", required=True, metavar="FILE", help="Rows to measure both on; better none that it has learnt.")
@row_options
@click.option("--float-words", is_flag=True, default=None, help="quantize: keep the table of words as floats.")
@click.option("--share", type=float, metavar="X", help="prune-heads: share of the heads to lose. Default: 0.25.")
@click.option("--layers", type=int, metavar="N", help="distill: layers that are kept. Default: half of them.")
@click.option("--train-data", metavar="FILE", help="distill: rows that the student learns from.")
@click.option("--epochs", type=int, metavar="N", help="distill: passes over the training rows. Default: 2.")
@click.option("--temperature", type=float, metavar="T", help="distill: softens the probabilities. Default: 2.")
@click.option("--soft-weight", type=float, metavar="X", help="distill: the teacher's share of the loss. Default: 0.5.")
@click.option("--learning-rate", type=float, metavar="X", help="distill: peak rate. Default: 5e-5.")
@click.option("--batch-size", type=int, metavar="N", help="distill: rows in a step. Default: 32.")
@click.option("--seed", type=int, default=0, show_default=True, metavar="N", help="Seed of everything that is random.")
@click.option("--threads", type=int, metavar="N", help="Threads of both models.")
@click.option("--out", required=True, type=click.Path(path_type=Path), metavar="DIR", help="Folder of the result.")
@language_options
@json_option
def compress(
    *, checkpoint: str, method: str, data: str, train_data: str | None, seed: int, threads: int | None, out: Path,
    lang: str | None, lang_file: Path | None, as_json: bool, **flags: Any,
) -> None:  # fmt: skip
    """Make CHECKPOINT smaller, and measure size, speed and quality before and after, on the same rows.

    quantize rounds to int8; prune-heads takes the attention heads that can write least; distill teaches a student with
    fewer layers. Leaves a standard Hugging Face folder in --out, with compression.json and compression.html. The result
    can be audited like any checkpoint. An interrupted distillation goes on when the same command is given again.

    \b
    Examples:
      aboveboard compress ./model --method quantize --data test.jsonl --out ./int8
      aboveboard compress ./model --method prune-heads --share 0.5 --data test.jsonl --out ./pruned
      aboveboard compress ./model --method distill --train-data train.jsonl --data test.jsonl --out ./student
      aboveboard compress ./model --method quantize --data test.jsonl --lang de --out ./int8
    """
    columns = {name: flags.pop(name) for name in COLUMNS}
    settings, language = _settings(method, flags, train_data), language_of(lang, lang_file)

    from core_model.checkpoint import open_checkpoint
    from core_model.compression.scheme import refuse_quantized

    original = open_checkpoint(checkpoint)
    refuse_quantized(original)
    rows = open_rows(data, original, columns)
    _refuse_place(out, original, method)
    measure = _Measurement(original, rows, method=method, seed=seed, threads=threads, language=language)
    if method == "distill":
        training = open_rows(train_data or "", original, columns, flag="--train-data")
        trade = _distilled(original, training, settings, out, measure, seed)
    else:
        trade = _reshaped(original, settings, out, measure)
    if as_json:
        print_json({"checkpoint": str(out), **trade.model_dump(mode="json")})
    else:
        _tell(trade, out)


def _settings(method: str, flags: dict[str, Any], train_data: str | None) -> Any:
    """The method's options.

    Raises: OptionUnfit for an unknown method, an option of another one, or a distillation without rows to learn from.
    """
    from core_model.compression.options import METHODS
    from core_model.errors import OptionUnfit
    from core_model.settings import checked

    if method not in METHODS:
        raise OptionUnfit(f"there is no method {method!r}", mend=" or ".join(f"--method {name}" for name in METHODS))
    given = {name: value for name, value in flags.items() if value is not None}
    for name in given:
        if name not in METHODS[method].model_fields:
            owner = next(other for other, options in METHODS.items() if name in options.model_fields)
            flag = "--" + name.replace("_", "-")
            raise OptionUnfit(f"{flag} is an option of {owner}, not of {method}", mend=f"leave {flag} out")
    if (train_data is None) == (method == "distill"):
        if train_data is None:
            raise OptionUnfit("a student needs rows to learn from", mend="--train-data FILE")
        raise OptionUnfit(f"--train-data is an option of distill, not of {method}", mend="leave --train-data out")
    return checked(METHODS[method], given, where="the command line", write="--{key} ...")


def _refuse_place(out: Path, original: Checkpoint, method: str) -> None:
    """Nothing of others is overwritten; training looks for itself whose folder it is.

    Raises: OutputUnwritable.
    """
    from core_model.errors import OutputUnwritable

    if out.resolve() == original.path:
        raise OutputUnwritable(f"--out {out} is the checkpoint itself", mend="name another folder with --out")
    if method != "distill" and out.is_dir() and any(out.iterdir()) and not (out / RECORD).exists():
        raise OutputUnwritable(f"{out} holds files that are not of this command", mend="name another folder with --out")


class _Measurement:
    """Both sides measured, and the result written beside the weights."""

    def __init__(
        self, original: Checkpoint, rows: Table, *, method: str, seed: int, threads: int | None, language: Language
    ) -> None:
        self.original, self.rows, self.method, self.seed, self.threads = original, rows, method, seed, threads
        self.language = language

    def of(self, folder: Path, name: Path, made: Made) -> Trade:
        """The trade of the checkpoint in `folder`, which will be called `name`; its two files are written there."""
        from audit.trade import measure_trade
        from core_model.checkpoint import open_checkpoint
        from core_model.files import write_atomically
        from reports.document.trade import trade_html

        after = replace(open_checkpoint(folder), name=name.name, location=str(name))
        trade = measure_trade(
            self.original, after, self.rows, method=self.method, settings=made.settings, seed=self.seed,
            threads=self.threads, command=shlex.join(["aboveboard", *sys.argv[1:]]), notes=made.notes,
            tell=lambda text: click.echo(text, err=True),
        )  # fmt: skip
        write_atomically(folder / PAGE, trade_html(trade, language=self.language))
        write_atomically(folder / RECORD, trade.to_json())
        return trade


def _reshaped(original: Checkpoint, settings: Any, out: Path, measure: _Measurement) -> Trade:
    """Quantized or pruned: made and measured beside its place, so that --out is whole or not there."""
    from core_model.compression.compress import compress as make
    from core_model.files import replace_folder

    with replace_folder(out) as folder:
        return measure.of(folder, out, make(original, settings, folder))


def _distilled(
    original: Checkpoint, training: Table, settings: Distill, out: Path, measure: _Measurement, seed: int
) -> Trade:
    """Taught in --out itself, where an interrupted run finds its state."""
    from audit.commands.train_progress import progress_shown
    from core_model.checkpoint import open_checkpoint
    from core_model.compression.compress import Made
    from core_model.compression.distillation import Teacher, write_student
    from core_model.compression.writing import copy_papers
    from core_model.training import train
    from core_model.training_options import TrainingOptions

    options = TrainingOptions(
        task=original.task, seed=seed, epochs=settings.epochs, learning_rate=settings.learning_rate,
        batch_size=settings.batch_size,
    )  # fmt: skip
    with _untaught(out) as folder:
        kept = write_student(original, settings.layers, folder)
        student = replace(open_checkpoint(folder), name=f"{original.name}, some of its layers")
        try:
            with progress_shown() as progress:
                train(
                    options, data=training, base=student, out=out, resume=True, progress=progress,
                    wrap=Teacher(original, settings),
                )  # fmt: skip
            copy_papers(folder, out)
        except KeyboardInterrupt:
            click.echo("interrupted; what was learnt is saved: the same command goes on", err=True)
            click.get_current_context().exit(130)
    layers = {name: ", ".join(map(str, places)) for name, places in kept.items()}
    same = training.sha256 == measure.rows.sha256
    learnt = ["The rows that both were measured on are those that the student learnt from."] if same else []
    facts = {"layers_kept": layers, "training_rows": training.rows, "training_sha256": training.sha256}
    notes = [*learnt, "Layers are counted from 0. How the student was taught stands in training_record.json."]
    made = Made({**settings.model_dump(), **facts}, notes)
    return measure.of(out, out, made)


@contextmanager
def _untaught(out: Path) -> Iterator[Path]:
    """A folder beside --out for the student before it is taught; gone afterwards."""
    import shutil
    import tempfile

    from core_model.files import unwritable_letters

    with unwritable_letters(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _tell(trade: Trade, out: Path) -> None:
    """The trade in a few lines."""
    from audit.commands.trade_lines import said_line
    from reports.text import terminal_text

    for line in trade.lines:
        click.echo(terminal_text(said_line(line)))
    for note in trade.notes:
        click.echo(terminal_text(f"note: {note}"))
    click.echo(f"checkpoint: {out}\nreport: {out / PAGE}\nrecord: {out / RECORD}")
