"""The `aboveboard` command: finds the command, turns errors into letters and exit codes. Imports nothing heavy.

Exit codes: 0 done (with --gate: all limits hold); 1 with --gate, a limit is broken (--gate strict: inconclusive or not
measured, too); 2 bad input; 3 an audit errored, or a bug of ours; 130 interrupted.
"""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from collections.abc import Sequence

import click

COMMANDS = {
    "plan": "What an audit would run, what is missing, and what it would cost.",
    "audit": "Audit a checkpoint and write audit.json and report.html.",
    "prepare": "Clean, filter, deduplicate and split rows for training.",
    "train": "Train or fine-tune a Transformer.",
    "federate": "Train one model across clients that keep their rows.",
    "tune": "Search for the options that train the better model.",
    "calibrate": "Make a classifier as sure as it should be; no answer changes.",
    "normalize": "Let the tokenizer take disguises off: look-alike letters, invisible marks.",
    "smooth": "Answer by many looks at parts of a text, each answer with a radius that is proven.",
    "compress": "Make a checkpoint smaller, and measure what that gains and costs.",
    "export": "Write a checkpoint as ONNX, held against torch on real rows.",
    "package": "Put a checkpoint into one folder that is ready to share.",
    "policy": "Limits to hold a run against: starters, and a check of your own.",
    "attest": "Ask people what no measurement can answer, and keep their answers.",
    "review": "Decide on the rows of a review queue, and count the decisions.",
    "report": "Write a record as a report or for machines, or take it out of a report.",
    "track": "Log a record to MLflow or TensorBoard.",
    "compare": "Compare two records, row by row where they share rows.",
    "behave": "Run behavioural tests on a checkpoint, alone or against the version before.",
    "explain": "Show which words made the model say so.",
    "scan": "Look at a folder's files before opening it: pickles, code, traps, secrets.",
    "sign": "Sign a record and its checkpoint's files with a key of your own.",
    "verify": "Check a report: its hashes, its signature, and a sample of its numbers measured again.",
    "privacy": "What a promise of privacy costs, before anything is trained.",
    "selftest": "Put the audits on trial: planted defects, and healthy twins.",
    "audits": "The audits that are installed.",
    "demo": "Train on real text (comments, translations, descriptions) and audit the result.",
    "doctor": "What works on this machine, and how to mend what does not.",
}


class LazyGroup(click.Group):
    """A group that imports a command's module when it is asked for, so that --help is quick."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands, in the order in which a user meets them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command's own object, imported now."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(importlib.import_module(f"audit.commands.{cmd_name}"), cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands, without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click's, with the nearest command named when there is none of this name."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            from difflib import get_close_matches

            near = get_close_matches(args[0], list(COMMANDS), n=1)
            raise click.UsageError(
                f"there is no command {args[0]!r}.\n  Try: aboveboard {near[0] if near else '--help'}", ctx
            )
        return super().resolve_command(ctx, args)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="aboveboard")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
def cli(debug: bool) -> None:
    """Can this checkpoint be trusted, and how do you know?

    Measures a Transformer checkpoint, gives every number its interval, and writes one report.

    \b
    Examples:
      aboveboard demo
      aboveboard audit ./checkpoint --data test.jsonl --train-data train.jsonl --group-column sex
      aboveboard plan ./checkpoint --data test.jsonl
    """
    if debug:
        os.environ["ABOVEBOARD_DEBUG"] = "1"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its code."""
    sys.exit(run(arguments))


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code. Errors are letters on stderr, never tracebacks."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    try:
        answer = cli.main(
            args=None if arguments is None else list(arguments), prog_name="aboveboard", standalone_mode=False
        )
        return answer if isinstance(answer, int) else 0
    except click.exceptions.Exit as leaving:
        return leaving.exit_code
    except click.ClickException as error:
        error.show()
        return 2
    except (KeyboardInterrupt, click.Abort):
        click.echo("interrupted: what was finished is kept, and the same command goes on from there", err=True)
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return 0
    except Exception as error:
        return _letter(error)


def _letter(error: Exception) -> int:
    """Print an error for a person; returns the exit code."""
    from reports.text import terminal_text

    def say(text: str) -> None:
        click.echo("\n".join(terminal_text(line) for line in text.splitlines()), err=True)

    if os.environ.get("ABOVEBOARD_DEBUG"):
        traceback.print_exc()
    code = getattr(error, "exit_code", None)
    if isinstance(code, int) and hasattr(error, "mend"):
        say(str(error))
        return code
    say(f"{type(error).__name__}: {error}")
    click.echo("  This is a bug of aboveboard's. Try: the same command with `aboveboard --debug ...`", err=True)
    return 3
