"""A program of Flower's while it runs: its output in a file, and an end that leaves nobody behind.

Each program gets a session of its own, so that Ctrl-C reaches us alone and we end it in order; and the programs watch
their parent (see `federated.deployment.launch`), so that they end as well when we are killed.
"""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

GRACE_SECONDS = 10.0
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
        self.log = log
        self._begin = log.stat().st_size if log.exists() else 0
        with log.open("ab") as output:
            self._process = subprocess.Popen(  # noqa: S603  # our own words, no shell
                list(command), stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                env=dict(environment), start_new_session=True,
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
        import psutil

        family = _family(self.pid)
        for member in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                member.terminate()
        _, alive = psutil.wait_procs(family, timeout=grace)
        for member in {*alive, *(child for one in alive for child in _family(one.pid))}:
            with contextlib.suppress(psutil.NoSuchProcess):
                member.kill()
        self._process.wait(grace)


def _family(pid: int) -> list:  # type: ignore[type-arg]  # of psutil.Process, which is imported when needed
    import psutil

    try:
        parent = psutil.Process(pid)
        return [*parent.children(recursive=True), parent]
    except psutil.NoSuchProcess:
        return []


@contextlib.contextmanager
def stopped_at_end(program: Program) -> Iterator[Program]:
    """The program is stopped when the block ends, however it ends."""
    try:
        yield program
    finally:
        program.stop()


def wait_until(condition, *, seconds: float, poll: float = 0.2) -> bool:  # type: ignore[no-untyped-def]
    """Whether a condition came true within so many seconds."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(poll)
    return True
