"""How a selftest is shown: a bar on a terminal, else one line for each control; always on stderr."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from audit.commands.progress import on_terminal

if TYPE_CHECKING:
    from audit.selftest.trials import Step

Tell = Callable[["Step"], None]


@contextmanager
def progress_shown() -> Iterator[Tell]:
    """Something to tell a selftest's steps to."""
    if not on_terminal():
        yield lambda step: click.echo(line(step), err=True) if step.done else None
        return
    from rich.console import Console
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn
    from rich.progress import Progress as Bar

    console = Console(stderr=True)
    columns = (BarColumn(), TaskProgressColumn(), TextColumn("{task.description}", markup=False))
    with Bar(*columns, console=console, transient=True) as bar:
        task = bar.add_task("starting", total=None)

        def tell(step: Step) -> None:
            whole = step.place - 1 + (1 if step.done else len(step.result.sick) / step.repetitions)
            bar.update(task, completed=whole, total=step.of, description=line(step))
            if step.done:
                console.print(line(step), highlight=False, markup=False)

        yield tell


def line(step: Step) -> str:
    """One line: which control, and what is known of it."""
    from audit.selftest.table import share_words
    from reports.text import terminal_text

    result = step.result
    about = f"[{step.place}/{step.of}] {result.audit}, {result.control}"
    if not step.done:
        return terminal_text(f"{about}: {len(result.sick)} of {step.repetitions}")
    if result.power is None:
        return terminal_text(f"{about}: {result.reason or 'nothing was run'}")
    found, accused = share_words(result.power), share_words(result.false_alarms)
    return terminal_text(f"{about}: power {found}, false alarms {accused}, {result.seconds:.1f} s")
