"""One server for one folder: a second one, or an orphan that outlived its SuperLink, would spoil its state."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from core_model.errors import OutputUnwritable
from core_model.files import unwritable_letters

NAME = "lock"
PATIENCE_SECONDS = 60.0  # an orphan notices within this time that nobody hears it
POLL_SECONDS = 0.2


@contextmanager
def alone(
    folder: Path, *, patience: float = PATIENCE_SECONDS, stopped: Callable[[], bool] = lambda: False
) -> Iterator[None]:
    """While a `with` lasts, no other process works in the folder; the system lets go when a process dies.

    Args:
        folder: of a run's state; made where there is none.
        patience: seconds to wait for another process to end.
        stopped: asked while it waits.
    Raises: OutputUnwritable when another process still works there; KeyboardInterrupt when it was stopped.
    """
    with unwritable_letters(folder):
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / NAME).open("w")
    until = time.monotonic() + patience
    with file:
        while not _locked(file.fileno()):
            if stopped():
                raise KeyboardInterrupt
            if time.monotonic() > until:
                raise OutputUnwritable(
                    f"another process still trains in {folder.parent}", mend="wait for it or end it, or another --out"
                )
            time.sleep(POLL_SECONDS)
        yield


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
