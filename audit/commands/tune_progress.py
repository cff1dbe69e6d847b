"""How a search is shown: a bar with the best value and the time left on a terminal, else plain lines; on stderr."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from audit.commands.progress import on_terminal
from audit.commands.train_progress import PLAIN_SECONDS, duration
from audit.commands.train_progress import line as training_line

if TYPE_CHECKING:
    from core_model.tuning import TuningProgress

Tell = Callable[["TuningProgress"], None]


@contextmanager
def progress_shown() -> Iterator[Tell]:
    """Something to tell a search's progress to."""
    if on_terminal():
        with _bar() as draw:
            yield draw
        return
    from core_model.progress import Now

    now = Now(PLAIN_SECONDS)

    def tell(said: TuningProgress) -> None:
        if said.ending is not None or said.training is None or now.due():
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

        def tell(said: TuningProgress) -> None:
            done = said.trial - 1.0 + _share(said)
            bar.update(task, completed=done, total=said.trials, description=line(said))
            if said.ending is not None:
                console.print(line(said), highlight=False, markup=False)

        yield tell


def _share(said: TuningProgress) -> float:
    """How much of the trial under way is done."""
    if said.ending is not None:
        return 1.0
    training = said.training
    return training.step / training.steps if training is not None and training.steps else 0.0


def line(said: TuningProgress) -> str:
    """One line: which trial, how it goes or ended, the best value so far, and the time left."""
    from reports.text import terminal_text

    parts = [f"trial {said.trial} of {said.trials}"]
    if said.ending is not None:
        parts.append(terminal_text(said.ending))
    elif said.training is not None:
        parts.append(training_line(said.training))
    if said.training is None:
        parts.append(" ".join(f"{name}={short(value)}" for name, value in said.parameters.items()))
    if said.best is not None:
        parts.append(f"best {said.best:.4f}")
    if said.seconds_left is not None:
        parts.append(f"{duration(said.seconds_left)} left for all trials")
    return ", ".join(parts)


def short(value: Any) -> str:
    """A parameter's value in a few characters."""
    return f"{value:.3g}" if isinstance(value, float) else str(value).lower() if value is None else str(value)
