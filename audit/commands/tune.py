"""`aboveboard tune`: search for the options that train the better model, and keep the best."""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from audit.commands.arguments import json_option, print_json
from audit.commands.language import language_of, language_options
from audit.commands.rows import COLUMNS, row_options

if TYPE_CHECKING:
    from core_model.data import Table
    from core_model.tuning import TuningResult
    from core_model.tuning_record import TuningRecord
    from reports.language import Language

PAGE = "tuning.html"


@click.command()
@click.option("--task", default="classification", show_default=True, metavar="T", help="What the head will do.")
@click.option(
    "--base", required=True, metavar="CKPT", help="Folder or hub id to fine-tune; 'none' begins from scratch."
)
@click.option(
    "--architecture",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="TOML file with the shape of a model from scratch; its numbers may be searched, too.",
)
@click.option("--data", required=True, metavar="FILE", help="Training rows: CSV, TSV, JSONL, Parquet, or a hub name.")
@click.option("--eval-data", metavar="FILE", help="Rows that choose between trials; never trained on.")
@click.option(
    "--eval-share", type=float, metavar="X", help="Instead: hold out this share of the training rows, by their content."
)
@click.option("--test-data", metavar="FILE", help="Rows that no trial sees: the best checkpoint is measured on them.")
@row_options
@click.option("--trials", type=int, metavar="N", help="Trials in all. Default: 20.")
@click.option(
    "--search",
    multiple=True,
    metavar="NAME=VALUES|FILE",
    help="LOW..HIGH, LOW..HIGH,log or A,B,C of an option; or a TOML file of such lines. May be repeated. "
    "Default: a space for the task.",
)
@click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="Option that all trials share.")
@click.option("--objective", metavar="loss|accuracy", help="What is optimised on the evaluation rows. Default: loss.")
@click.option("--seed", type=int, metavar="N", help="Of the search and of each training. Default: 0.")
@click.option("--resume", is_flag=True, help="Go on with the study in --out; more --trials extend it.")
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Folder of study, record, page and best checkpoint.",
)
@language_options
@json_option
def tune(
    *, task: str, base: str, architecture: Path | None, data: str, eval_data: str | None, eval_share: float | None,
    test_data: str | None, search: tuple[str, ...], settings: tuple[str, ...], resume: bool, out: Path,
    lang: str | None, lang_file: Path | None, as_json: bool, **flags: Any,
) -> None:  # fmt: skip
    """Search for the options that train the better model.

    Any option of `aboveboard train` that is a number or a choice can be searched, and with --base none the shape of the
    model, too. A trial that is worse than the median of the earlier ones at the same point is cut short.

    Leaves in --out: best/, the best trial's checkpoint; tuning.json and tuning.html; study.sqlite, an Optuna study. A
    search that was interrupted, or killed, goes on with --resume and ends with the trials that it would have had.

    The best of many trials looks better than it is: --test-data measures it on rows that no trial has seen.

    \b
    Examples:
      aboveboard tune --base ./encoder --data train.jsonl --eval-share 0.1 --test-data test.jsonl --out ./study
      aboveboard tune --base ./encoder --data train.jsonl --eval-data dev.jsonl --trials 30 \\
          --search learning_rate=1e-5..1e-3,log --search batch_size=16,32,64 --set epochs=3 --out ./study
      aboveboard tune --base none --architecture encoder.toml --data train.jsonl --eval-share 0.1 \\
          --search layers=2..6 --search hidden=64,128,256 --search heads=2,4,8 --out ./study
      aboveboard tune --base ./encoder --data train.jsonl --eval-share 0.1 --out ./study --resume --lang de
    """
    from core_model.settings import checked
    from core_model.tuning import TuningOptions
    from core_model.tuning_space import read_fixed, read_space

    columns = {name: flags.pop(name) for name in COLUMNS}
    language = language_of(lang, lang_file)
    given = {name: value for name, value in flags.items() if value is not None}
    options = checked(TuningOptions, given, where="the command line", write="--{key} ...")
    from_scratch = base.lower() == "none"
    fixed, its_task = read_fixed(settings, task=task)
    space = read_space(search, task=its_task, from_scratch=from_scratch)
    _refuse_unfit(architecture, eval_data, eval_share, from_scratch=from_scratch)

    from audit.commands.tune_progress import progress_shown
    from core_model.architectures import read_architecture
    from core_model.checkpoint import open_checkpoint
    from core_model.tuning import tune as run

    opened = None if from_scratch else open_checkpoint(base)
    shape = None if architecture is None else read_architecture(architecture)

    def rows(source: str, flag: str, group: str | None = None) -> Table:
        return _rows(source, flag, {**columns, "task": its_task}, group=group)

    training = rows(data, "--data", fixed.get("reweigh"))
    training, evaluation = _split(training, rows(eval_data, "--eval-data") if eval_data else None, eval_share)
    test = _Test.of(None if test_data is None else rows(test_data, "--test-data"), (training, evaluation))
    try:
        with progress_shown() as tell:
            result = run(
                options, space=space, fixed=fixed, data=training, evaluation=evaluation, base=opened,
                architecture=shape, out=out, resume=resume, progress=tell,
            )  # fmt: skip
    except KeyboardInterrupt:
        click.echo("interrupted; the study is kept: go on with the same command and --resume", err=True)
        click.get_current_context().exit(130)
    record = _with_test(result, test, seed=options.seed)
    page = _write(record, out, command=_command(), language=language)
    if as_json:
        print_json({"best_checkpoint": str(result.best) if result.best else None, "report": str(page),
                    **record.model_dump(mode="json")})  # fmt: skip
    else:
        _tell(record, result, page)


def _rows(source: str, flag: str, columns: dict[str, Any], *, group: str | None) -> Table:
    """The rows of a file, with what had to be guessed said aloud."""
    from core_model.data import open_table

    groups = () if group is None else (group,)
    table = open_table(source, labels_required=True, references_required=True, group_columns=groups, **columns)
    for what, column in table.guessed.items():
        click.echo(f"guessed for {flag}: --{what.replace('_', '-')} {column}", err=True)
    return table


def _refuse_unfit(architecture: Path | None, eval_data: str | None, share: float | None, *, from_scratch: bool) -> None:
    """Raises: OptionUnfit for flags that do not go together."""
    from core_model.errors import OptionUnfit

    if from_scratch != (architecture is not None):
        raise OptionUnfit(
            "--base none needs the shape of the model" if from_scratch else "there is both a base and an architecture",
            mend="--base none --architecture FILE.toml, or --base CKPT alone",
        )
    if (eval_data is None) == (share is None):
        raise OptionUnfit(
            "a search chooses by rows that it does not train on, and there are none"
            if share is None
            else "--eval-data and --eval-share both name evaluation rows",
            mend="--eval-data FILE, or --eval-share 0.1 to hold out a tenth of --data",
        )


def _split(training: Table, evaluation: Table | None, share: float | None) -> tuple[Table, Table]:
    from core_model.tuning_holdout import hold_out

    return (training, evaluation) if evaluation is not None else hold_out(training, share or 0.0)


@dataclass(frozen=True)
class _Test:
    """Rows that no trial sees, and how many of --test-data are not among them."""

    rows: Table
    left_out: int

    @classmethod
    def of(cls, test: Table | None, seen: tuple[Table, Table]) -> _Test | None:
        """Raises: DataMissing, before hours of search, when all rows are seen."""
        if test is None:
            return None
        from audit.tuning_test import unseen

        rows = unseen(test, seen)
        return cls(rows, test.rows - rows.rows)


def _with_test(result: TuningResult, test: _Test | None, *, seed: int) -> TuningRecord:
    """The record, with the best checkpoint measured on unseen rows where there are some."""
    if test is None or result.best is None:
        return result.record
    from audit.tuning_test import tested
    from core_model.tasks import Task

    task = Task(result.record.task)
    found = tested(result.best, test.rows, left_out=test.left_out, task=task, seed=seed)
    return result.record.model_copy(update={"test": found})


def _write(record: TuningRecord, out: Path, *, command: str, language: Language) -> Path:
    from core_model.files import write_atomically
    from core_model.tuning_record import NAME
    from reports.document.tuning import tuning_html

    write_atomically(out / NAME, record.as_json())
    html = tuning_html(record.model_dump(mode="json"), command=command, language=language)
    return write_atomically(out / PAGE, html)


def _command() -> str:
    return shlex.join(["aboveboard", *(word for word in sys.argv[1:] if word != "--resume")])


def _tell(record: TuningRecord, result: TuningResult, page: Path) -> None:
    """What was found, in a few lines."""
    from audit.commands.tune_progress import short
    from reports.text import terminal_text

    def say(text: str) -> None:
        click.echo(terminal_text(text))  # names come from files of others

    endings = [trial.ending for trial in record.trials]
    say("trials: " + ", ".join(f"{endings.count(ending)} {ending}" for ending in dict.fromkeys(endings)))
    name = record.objective["name"]
    if record.best is None:
        reasons = dict.fromkeys(trial.reason for trial in record.trials if trial.reason)
        say(f"best: none; no trial came to its end: {'; '.join(list(reasons)[:3])}")
    else:
        shown = " ".join(f"{key}={short(value)}" for key, value in record.best["parameters"].items())
        say(f"best: evaluation {name} {record.best['value']:.4f} in trial {record.best['trial']}: {shown}")
        if record.usual is not None and record.usual["value"] is not None:
            say(f"default parameters: evaluation {name} {record.usual['value']:.4f} in trial {record.usual['trial']}")
        say(f"checkpoint: {result.best}, sha256 {record.best['model_sha256']}")
    for measure in record.test["measures"] if record.test else ():
        low, high = measure["interval"] or (None, None)
        interval = f" [{low:.4f}, {high:.4f}]" if low is not None else f" (no interval: {measure['reason']})"
        say(f"test: {measure['name']} {measure['value']:.4f}{interval} over {measure['n']:,} unseen rows")
    shares = ", ".join(f"{key} {share:.2f}" for key, share in record.importance.shares.items())
    say(f"importance: {shares or 'not measured: ' + str(record.importance.reason)}")
    for note in record.notes:
        say(f"note: {note}")
    say(f"privacy: {record.privacy['note']}")
    say(f"report: {page}")
