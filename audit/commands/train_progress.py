"""How training is shown: a bar with loss, speed and time left on a terminal, else plain lines; always on stderr."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from audit.commands.progress import on_terminal

if TYPE_CHECKING:
    from core_model.progress import Progress, Tell

PLAIN_SECONDS = 20  # between plain lines; logs that stay silent for minutes get runs killed


@contextmanager
def progress_shown() -> Iterator[Tell]:
    """Something to tell a training run's progress to."""
    if on_terminal():
        with _bar() as draw:
            yield draw
        return
    from core_model.progress import Now

    now, first = Now(PLAIN_SECONDS), [True]

    def tell(said: Progress) -> None:
        if said.stage == "evaluated" or first[0] or now.due():
            first[0] = False
            click.echo(line(said), err=True)

    yield tell


@contextmanager
def _bar() -> Iterator[Tell]:
    from rich.console import Console
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn
    from rich.progress import Progress as Bar

    console = Console(stderr=True)
    columns = (BarColumn(), TaskProgressColumn(), TextColumn("{task.description}", markup=False))
    with Bar(*columns, console=console, transient=True) as bar:
        task = bar.add_task("starting", total=None)

        def tell(said: Progress) -> None:
            bar.update(task, completed=said.step, total=said.steps, description=line(said))
            if said.stage == "evaluated":
                console.print(line(said), highlight=False, markup=False)

        yield tell


def line(said: Progress) -> str:
    """One line: where, loss, accuracy, speed, time left."""
    where = f"epoch {_of(said.epoch, said.epochs)}, step {_of(said.step, said.steps)}"
    parts = [f"{where}, {said.stage}" if said.stage != "training" else where]
    if said.loss is not None:
        parts.append(f"{'evaluation loss' if said.stage == 'evaluated' else 'loss'} {said.loss:.4f}")
    if said.accuracy is not None:
        parts.append(f"accuracy {said.accuracy:.4f}")
    if said.epsilon is not None:
        parts.append(f"epsilon {said.epsilon:.2f} spent")
    if said.examples_per_second is not None:
        parts.append(f"{said.examples_per_second:.0f} rows/s")
    if said.seconds_left is not None:
        parts.append(f"{duration(said.seconds_left)} left")
    return ", ".join(parts)


def _of(done: int, all_of_it: int | None) -> str:
    return f"{done:,}" if all_of_it is None else f"{done:,} of {all_of_it:,}"


def duration(seconds: float) -> str:
    """Hours, minutes and seconds as people say them."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
