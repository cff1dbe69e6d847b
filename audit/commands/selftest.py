"""`aboveboard selftest`: the audits on trial, with checkpoints made sick on purpose and their healthy twins."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from audit.commands.arguments import json_option, print_json

if TYPE_CHECKING:
    from audit.selftest.results import Selftest


@click.command()
@click.option("--only", metavar="A,B", help="Put these audits on trial alone.")
@click.option(
    "--repetitions",
    type=click.IntRange(1, 10_000),
    metavar="N",
    help="Sick checkpoints of each control, and as many twins. Default: 20; quick: 6.",
)
@click.option(
    "--profile",
    type=click.Choice(["quick", "standard"]),
    default="standard",
    show_default=True,
    help="How much is run, and the limits that so much can hold.",
)
@click.option(
    "--seed",
    type=click.IntRange(0, 2**32 - 1),
    default=0,
    show_default=True,
    metavar="N",
    help="Seed of everything that is random.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("selftest-out"),
    show_default=True,
    help="Folder of selftest.json.",
)
@json_option
def selftest(only: str | None, repetitions: int | None, profile: str, seed: int, out: Path, as_json: bool) -> int:
    """Are the audits themselves known to find what is wrong, and to leave alone what is not?

    Small checkpoints are made sick on purpose (a classifier that is biased against a group, a model that knows its
    training rows by heart, a pickle among the files), each with a healthy twin, and every installed audit that has
    controls is run on them: power is the share of the sick ones that it finds, false alarms the share of the healthy
    ones that it accuses. An interrupted selftest goes on where it stopped when the same command is given again.

    Exit codes: 0 every interval holds its limit; 1 not so, and which.

    \b
    Examples:
      aboveboard selftest
      aboveboard selftest --profile quick --only fairness,privacy
      aboveboard selftest --repetitions 50 --seed 1 --out selftest-50
      aboveboard audit ./checkpoint --data test.jsonl --selftest selftest-out/selftest.json
    """
    from audit.commands.selftest_progress import progress_shown
    from audit.registry import installed
    from audit.selftest.reading import read_selftest
    from audit.selftest.results import FILE
    from audit.selftest.trials import Plan, run_selftest
    from core_model.errors import BadInput
    from core_model.files import writable_folder, write_atomically

    names = None if only is None else [name.strip() for name in only.split(",") if name.strip()]
    registry = installed().only(names)
    path = writable_folder(out) / FILE
    previous = None
    if path.exists():
        try:
            previous = read_selftest(path)
        except BadInput:  # nothing to go on from; it is written anew
            previous = None
    saved: list[Selftest] = []

    def save(state: Selftest) -> None:
        saved[:] = [state]
        write_atomically(path, state.to_json())

    plan = Plan(profile=profile, repetitions=repetitions, seed=seed)  # type: ignore[arg-type]  # click holds it to two
    try:
        with progress_shown() as tell:
            run_selftest(registry, plan, previous=previous, save=save, tell=tell)
    except KeyboardInterrupt:
        if saved:
            _say(saved[0], path, as_json=as_json)
        raise
    _say(saved[0], path, as_json=as_json)
    return 0 if saved[0].verdict == "pass" else 1


def _say(state: Selftest, path: Path, *, as_json: bool) -> None:
    """The table, or the whole of it as JSON."""
    from audit.selftest.table import table, troubles
    from reports.text import terminal_text

    if as_json:
        document = state.model_dump(mode="json")
        print_json({"verdict": state.verdict, "written": str(path), "troubles": list(troubles(state)), **document})
        return
    for line in table(state):
        click.echo(terminal_text(line))
    click.echo(f"{state.verdict}: {path}")
