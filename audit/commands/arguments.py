"""The arguments that `audit`, `plan` and `verify` share, so that they are the same words everywhere."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from audit.configuration import Configuration

Command = Callable[..., Any]


def subject_options(command: Command) -> Command:
    """What is audited, on which rows, by which audits."""
    for option in reversed(
        [
            click.argument("checkpoint"),
            click.option("--data", metavar="FILE", help="Rows to audit on: CSV, TSV, JSONL, Parquet, or a hub name."),
            click.option("--train-data", metavar="FILE", help="Rows it was trained on: shows leaks and gaps."),
            click.option("--text-column", "--source-column", "--question-column", "text_column", metavar="C",
                         help="Column of the text, of the source, or of the question."),
            click.option("--pair-column", "--context-column", "pair_column", metavar="C",
                         help="Column of the second text of a pair, or of the context that holds the answer."),
            click.option("--target-column", "--answer-column", "reference_column", metavar="C",
                         help="Column of what the model should write: translation, summary, answer."),
            click.option("--label-column", metavar="C", help="Column of the true label."),
            click.option("--task", metavar="T", help="What is asked of a head that can do several things."),
            click.option("--beams", type=int, metavar="N", help="Beams where text is written. Default: 1, greedy."),
            click.option("--max-new-tokens", type=int, metavar="N", help="Tokens that are written for a row, at most."),
            click.option("--smoothing-keep", type=float, metavar="X",
                         help="Audit the smoothed classifier: votes of looks at this share of a text's words."),
            click.option("--smoothing-looks", type=int, metavar="N",
                         help="Looks that vote for an answer. Default: 25."),
            click.option("--smoothing-mask", metavar="TOKEN",
                         help="In the place of hidden words. Default: they are left out."),
            click.option(
                "--group-column", "group_columns", multiple=True, metavar="C",
                help="Column of the group that a row is about or by; may be given several times.",
            ),
            click.option("--encoding", metavar="NAME", help="Encoding of the data file, where it is not UTF-8."),
            click.option("--reference", metavar="CKPT", help="Another checkpoint to hold this one against."),
            click.option("--only", metavar="A,B", help="Run these audits alone."),
            click.option("--profile", metavar="quick|standard|full", help="How much is measured. Default: standard."),
            click.option("--config", "config_file", metavar="FILE", type=click.Path(path_type=Path),
                         help="TOML file with these options. Default: aboveboard.toml, where there is one."),
            click.option("--set", "settings", multiple=True, metavar="AUDIT.OPTION=VALUE", help="Option of one audit."),
            click.option("--policy", metavar="FILE",
                         help="Limits that replace the audits' own: a TOML or YAML file, or a starter's name."),
            click.option("--seed", type=int, metavar="N", help="Seed of everything that is random. Default: 0."),
            click.option("--threads", type=int, metavar="N", help="Threads of the model."),
            click.option("--allow-pickle", is_flag=True, default=None, help="Open pickled weights (unsafe)."),
            click.option("--out", metavar="DIR", help="Folder of the record and the report. Default: audit-out."),
        ]
    ):  # fmt: skip
        command = option(command)
    return command


json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")


def configured(
    *, config_file: Path | None, settings: tuple[str, ...], only: str | None = None, **flags: Any
) -> Configuration:
    """The configuration that these arguments and the configuration file make together."""
    from audit.configuration import configuration

    if config_file is None and Path("aboveboard.toml").exists():
        config_file = Path("aboveboard.toml")
    given = {name: value for name, value in flags.items() if value is not None and value != ()}
    if only is not None:
        given["only"] = tuple(name.strip() for name in only.split(",") if name.strip())
    return configuration(file=config_file, flags=given, settings=settings)


def print_json(answer: Any) -> None:
    """One JSON object on stdout."""
    click.echo(json.dumps(answer, ensure_ascii=False, indent=2, allow_nan=False))
