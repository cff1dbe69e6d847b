"""A program of Flower's while it runs: its output in a file, and an end that leaves nobody behind.

Each program gets a session of its own, so that Ctrl-C reaches us alone and we end it in order; and the programs watch
their parent (see `federated.deployment.launch`), so that they end as well when we are killed.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from psutil import Process

GRACE_SECONDS = 10.0
MARK = "ABOVEBOARD_PROGRAM"  # in the environment of a program, and so of all that it starts
TAIL_BYTES = 8192


class Program:
    """A running program.

    Args:
        command: what to run.
        log: file that its output is appended to.
    Raises: OSError when it cannot be started.
    """

    def __init__(self, command: Sequence[str], *, environment: Mapping[str, str], log: Path) -> None:
        log.parent.mkdir(parents=True, exist_ok=True)
        self.log, self.mark = log, secrets.token_hex(8)
        self._begin = log.stat().st_size if log.exists() else 0
        with log.open("ab") as output:
            self._process = subprocess.Popen(  # our own words, no shell
                list(command), stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                env={**environment, MARK: self.mark}, start_new_session=True,
            )  # fmt: skip

    @property
    def pid(self) -> int:
        """Number of the process."""
        return self._process.pid

    @property
    def code(self) -> int | None:
        """What it ended with; None while it runs. Negative: the signal that ended it."""
        return self._process.poll()

    def said(self) -> str:
        """The end of what it has said since it began."""
        with self.log.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(self._begin, size - TAIL_BYTES))
            return file.read().decode("utf-8", "replace")

    def wait(self, seconds: float) -> int | None:
        """Its code, or None when it still runs after so many seconds."""
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def stop(self, *, grace: float = GRACE_SECONDS) -> None:
        """End it and all that it started: first asked, then, after `grace` seconds, killed."""
        stop_all([self], grace=grace)


def stop_all(programs: Sequence[Program], *, grace: float = GRACE_SECONDS) -> None:
    """End programs and all that they started, at the same time: first asked, then, after `grace` seconds, killed."""
    import psutil

    family = [member for program in programs for member in _family(program.pid)]
    for member in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            member.terminate()
    _, alive = psutil.wait_procs(family, timeout=grace)
    for member in {*alive, *(child for one in alive for child in _family(one.pid))}:
        with contextlib.suppress(psutil.NoSuchProcess):
            member.kill()
    kill_marked({program.mark for program in programs})
    for program in programs:
        program.wait(grace)


def kill_marked(marks: set[str]) -> None:
    """Kill all that programs with these marks have started, and themselves: Flower's sit in sessions of their own."""
    import psutil

    for process in sorted(marked(marks), key=lambda process: process.pid == os.getpid()):  # this one last
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


def marked(marks: set[str]) -> list[Process]:
    """The programs with these marks that run, and all that they have started."""
    import psutil

    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.environ().get(MARK) in marks:
                found.append(process)
    return found


def _family(pid: int) -> list[Process]:
    import psutil

    try:
        parent = psutil.Process(pid)
        return [*parent.children(recursive=True), parent]
    except psutil.NoSuchProcess:
        return []


def wait_until(condition: Callable[[], bool], *, seconds: float, poll: float = 0.2) -> bool:
    """Whether a condition came true within so many seconds."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(poll)
    return True
