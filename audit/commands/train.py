"""`aboveboard train`: fine-tune a checkpoint, or build one from scratch, and leave its record beside it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from audit.commands.arguments import json_option, print_json
from audit.commands.mitigation_arguments import mitigation_options
from audit.commands.option_groups import grouped
from audit.commands.pretraining import FOLDER, read_pretraining
from audit.commands.private_arguments import private_options, read_private, tell_claim
from audit.commands.training_arguments import FLAGS, read_values, tensorboard_option, training_options
from core_model.tasks import Task

if TYPE_CHECKING:
    from core_model.data import Table
    from core_model.training import TrainingResult
    from core_model.training_record import TrainingRecord

COLUMNS = ("text_column", "pair_column", "label_column", "reference_column", "encoding")


@click.command(cls=grouped({**FLAGS, "Mitigations": [mitigation_options], "Privacy": [private_options]}))
@click.option("--task", default="classification", show_default=True, metavar="T", help="What the head will do.")
@click.option(
    "--base", required=True, metavar="CKPT", help="Folder or hub id to fine-tune; 'none' begins from scratch."
)
@click.option(
    "--architecture",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="TOML file with the shape of a model from scratch.",
)
@click.option("--data", required=True, metavar="FILE", help="Training rows: CSV, TSV, JSONL, Parquet, or a hub name.")
@click.option("--eval-data", metavar="FILE", help="Rows for the evaluations on the way; never trained on.")
@click.option("--out", required=True, type=click.Path(path_type=Path), metavar="DIR", help="Folder of the checkpoint.")
@click.option(
    "--text-column",
    "--source-column",
    "--question-column",
    "text_column",
    metavar="C",
    help="Column of the text, of the source, or of the question.",
)
@click.option(
    "--pair-column",
    "--context-column",
    "pair_column",
    metavar="C",
    help="Column of the second text of a pair, or of the context that holds the answer.",
)
@click.option("--label-column", metavar="C", help="Column of the true label.")
@click.option(
    "--target-column",
    "--answer-column",
    "reference_column",
    metavar="C",
    help="Column of what the model should write: translation, summary, answer.",
)
@click.option("--encoding", metavar="NAME", help="Encoding of the data files, where it is not UTF-8.")
@tensorboard_option
@training_options
@mitigation_options
@private_options
@json_option
def train(
    *, task: str, base: str, architecture: Path | None, data: str, eval_data: str | None, resume: bool, out: Path,
    tensorboard: Path | None, as_json: bool, **flags: Any,
) -> None:  # fmt: skip
    """Train or fine-tune a Transformer.

    Leaves a standard Hugging Face folder in --out, with training_record.json: data and options, evaluation, energy.
    A run that was interrupted, or killed, goes on with --resume and ends with the same weights. Every option:
    docs/training.md.

    Mitigations for what audits find: --reweigh, --reductions and --fairness-penalty for gaps between groups, --augment
    identity-swap for answers that change with the identity in the text, --augment token-dropout and word-order against
    learning rows by heart, --adversarial against small shifts. What each costs: docs/mitigation.md.

    \b
    Examples:
      aboveboard train --base ./encoder --data train.jsonl --eval-data test.jsonl --out ./classifier
      aboveboard train --base ./encoder --data train.csv --label-column biased --epochs 3 --out ./classifier
      aboveboard train --base none --architecture encoder.toml --data train.jsonl --out ./from-scratch
      aboveboard train --task translation --base none --architecture marian.toml --data pairs.jsonl \\
          --source-column en --target-column de --out ./translator
      aboveboard train --task language-modeling --base ./decoder --data texts.jsonl --out ./further
      aboveboard train --task question-answering --base ./encoder --data squad.jsonl --out ./reader
      aboveboard train --base ./encoder --data train.jsonl --out ./classifier --resume
      aboveboard train --base ./encoder --data train.jsonl --eval-data dev.jsonl --tensorboard runs --out ./classifier
      aboveboard train --base ./classifier --data train.jsonl --reweigh sex --out ./mended
      aboveboard train --base ./classifier --data train.jsonl --augment identity-swap --out ./mended
      aboveboard train --base ./classifier --data train.jsonl --reductions equalized-odds \\
          --fairness-column sex --epochs 8 --out ./mended
      aboveboard train --base ./encoder --data train.jsonl --adversarial freelb --out ./robust
      aboveboard train --base ./encoder --data train.jsonl --pretrain masked --pretrain-epochs 3 --out ./classifier
      aboveboard train --base ./encoder --data train.jsonl --private --epsilon 8 --batch-size 256 --out ./private
    """
    from core_model.settings import checked
    from core_model.training_options import TrainingOptions

    columns = {name: flags.pop(name) for name in COLUMNS}
    before = read_pretraining(flags, columns)
    private = read_private(flags, from_scratch=base.lower() == "none")
    options = checked(
        TrainingOptions, {"task": task, **read_values(flags)}, where="the command line", write="--{key} ..."
    )

    from audit.commands.train_progress import progress_shown
    from audit.training_events import training_events
    from core_model.architectures import read_architecture
    from core_model.checkpoint import open_checkpoint
    from core_model.training import train as run
    from core_model.training_state import StateFolder

    opened = None if base.lower() == "none" else open_checkpoint(base)
    shape = None if architecture is None else read_architecture(architecture)
    columns["task"] = options.task
    groups = options.group_column
    if private is not None and private.user_column is not None:
        groups = ("--user-column", private.user_column)
    rows = _rows(data, columns, "--data", groups=groups)
    evaluation = None if eval_data is None else _rows(eval_data, columns, "--eval-data")
    try:
        with training_events(tensorboard, out, resume=resume) as events, progress_shown() as show:
            tell = show if events is None else events.beside(show)
            if private is not None and opened is not None:
                from privacy.training import train_privately

                result: TrainingResult = train_privately(
                    options, private, data=rows, evaluation=evaluation, base=opened, out=out, resume=resume,
                    progress=tell,
                )  # fmt: skip
            else:
                further = before.run(
                    options, base=opened, data=rows, evaluation=evaluation, out=out, resume=resume, progress=show
                )
                result = run(
                    options, data=rows, evaluation=evaluation, base=opened, architecture=shape, out=out, resume=resume,
                    progress=tell, wrap=further,
                )  # fmt: skip
            if events is not None:
                events.history(result.record.history)
    except KeyboardInterrupt:
        kept = StateFolder(out).exists or StateFolder(out / FOLDER).exists
        click.echo(
            "interrupted; what was trained is saved: go on with the same command and --resume"
            if kept
            else "interrupted before the first step; nothing is lost",
            err=True,
        )
        click.get_current_context().exit(130)
    if os.environ.get("RANK", "0") != "0":
        return  # one of torchrun's processes speaks for all
    if as_json:
        print_json({"checkpoint": str(result.path), **result.record.model_dump(mode="json")})
    else:
        _tell_result(result, data=data, eval_data=eval_data)


def _rows(source: str, columns: dict[str, Any], flag: str, *, groups: tuple[str, str] | None = None) -> Table:
    """The rows of a file, with what had to be guessed said aloud; `groups`: a flag, and the column that it names."""
    from core_model.data import open_table
    from core_model.errors import ColumnMissing

    flag_of_groups, *column = groups or ("",)
    try:
        table = open_table(source, labels_required=True, references_required=True, group_columns=column, **columns)
    except ColumnMissing as error:  # here the group column goes by another flag
        found, mend = (said.replace("--group-column", flag_of_groups) for said in (error.found, error.mend))
        raise ColumnMissing(found, mend=mend) from None
    for what, name in table.guessed.items():
        click.echo(f"guessed for {flag}: --{what.replace('_', '-')} {name}", err=True)
    return table


def _tell_result(result: TrainingResult, *, data: str, eval_data: str | None) -> None:
    """What was made, in a few lines, and what to do with it."""
    import shlex

    from reports.text import terminal_text

    def say(text: str) -> None:
        click.echo(terminal_text(text))  # labels and names come from files of others

    record = result.record
    what = ", ".join(record.labels) or record.task
    say(f"checkpoint: {result.path}  ({record.parameters:,} parameters, {what})")
    if record.adapters is not None:
        say(f"adapters: {record.trained_parameters:,} parameters trained, in {record.adapters['folder']}/ and merged")
    chosen = record.chosen
    where = f"step {chosen['step']:,}, epoch {chosen['epoch']}"
    say(f"weights: of {where} ({chosen['because']}), sha256 {record.model_sha256}")
    if record.evaluation is not None:
        measures = ", ".join(f"{name} {value:.4f}" for name, value in record.evaluation.items() if name != "n")
        say(f"evaluation: {measures} over {record.evaluation['n']:,} {_units(record)}")
    else:
        say("evaluation: not measured: no --eval-data")
    if record.data["rows_cut"]:
        say(f"cut: {record.data['rows_cut']:,} of {record.data['rows']:,} rows were longer than the limit")
    if record.examples_per_second is not None:
        say(f"time: {record.seconds:.0f} s, {record.examples_per_second:.0f} rows/s in training steps")
    energy = record.energy
    if energy.get("energy_kwh") is not None:
        say(
            f"energy: {energy['energy_kwh']:.3g} kWh, {energy['emissions_kg']:.3g} kg CO2e "
            f"({energy['method']}, {energy['country']})"
        )
    else:
        say(f"energy: not measured: {energy.get('reason')}")
    for note in record.notes:
        say(f"note: {note}")
    for line in tell_claim(result):
        say(line)
    rows = shlex.quote(eval_data) if eval_data else "TEST_FILE"
    said = f"next: aboveboard audit {shlex.quote(str(result.path))} --data {rows} --train-data {shlex.quote(data)}"
    say(f"{said}{_columns_said(record)}")


def _units(record: TrainingRecord) -> str:
    """What a term of the loss is."""
    if record.labels:
        return "rows"
    return "windows" if record.task == Task.QUESTION_ANSWERING else "tokens"


def _columns_said(record: TrainingRecord) -> str:
    """The columns, as flags in the task's own words."""
    import shlex

    from core_model.data_columns import roles_of

    roles = roles_of(None if record.labels else Task(record.task))
    flags = {
        roles.text: record.data["text_column"],
        roles.pair: record.data["pair_column"],
        roles.reference: record.data["reference_column"],
        "--label-column": record.data["label_column"],
    }
    return "".join(f" {flag} {shlex.quote(column)}" for flag, column in flags.items() if flag and column)
