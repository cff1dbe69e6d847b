"""How long work is shown: a live table on a terminal, plain lines elsewhere. Always on stderr."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from audit.engine import Event
    from audit.session import Session

QUIET_SECONDS = 20  # plain lines at least this often while one audit runs


def on_terminal() -> bool:
    """Whether a person watches a terminal that can redraw."""
    return sys.stderr.isatty() and os.environ.get("TERM") != "dumb" and not os.environ.get("CI")


@contextmanager
def narrator(session: Session) -> Iterator[Callable[[Event], None]]:
    """Something to tell events to while a session runs; it also shows the predictor's rows as they pass."""
    with _lines() as (say, note):
        rows_said = [0.0]

        def rows(done: int, total: int) -> None:
            now = time.monotonic()
            if on_terminal() or now - rows_said[0] >= QUIET_SECONDS:
                rows_said[0] = now
                note(f"{done:,} of {total:,} rows")

        session.subject.predictor.progress = rows  # type: ignore[attr-defined]

        def tell(event: Event) -> None:
            rows_said[0] = time.monotonic()
            if event.stage == "started":
                note(f"[{event.place}/{event.of}] {event.audit}")
                return
            word = {"not_measured": "not measured", "resumed": "kept from the interrupted run"}.get(
                event.stage, event.stage
            )
            reason = f": {event.message}" if event.message else ""
            say(f"[{event.place}/{event.of}] {event.audit}: {word} in {event.seconds:.0f} s{reason}")

        yield tell


@contextmanager
def _lines() -> Iterator[tuple[Callable[[str], None], Callable[[str], None]]]:
    """(say, note): `say` leaves a line; `note` shows what goes on now, in place on a terminal."""
    from reports.text import terminal_text

    if not on_terminal():
        yield (
            lambda text: click.echo(terminal_text(text), err=True),
            lambda text: click.echo(terminal_text(f"  {text}"), err=True),
        )
        return
    from rich.console import Console
    from rich.markup import escape

    console = Console(stderr=True)
    with console.status("starting") as status:
        audit = [""]

        def note(text: str) -> None:
            if text.startswith("["):
                audit[0] = text
            shown = text if text.startswith("[") else f"{audit[0]}: {text}"
            status.update(escape(terminal_text(shown)))

        yield lambda text: console.print(escape(terminal_text(text)), highlight=False), note
