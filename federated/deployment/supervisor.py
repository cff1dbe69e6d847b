"""Keeps a client's program running: started again when it dies, each time after a longer pause, until told to stop.

A SuperNode that was killed cannot come back at once. The SuperLink takes it for online until two of its heartbeats are
missing (60 s) and refuses it meanwhile, with the very code that it has for a key it does not know. So a refusal is
believed only after `patience` seconds.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from federated.deployment.node_keys import NodeKeyUnfit
from federated.deployment.processes import Program
from federated.deployment.superlink import ProgramFailed, last_words
from federated.deployment.supernode import hopeless, is_refused, node_id

PATIENCE_SECONDS = 150.0  # two heartbeats of 30 s, and what a loaded machine takes to start a program
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0  # seconds
QUICK_DEATHS = 5  # of a program that was never let in, before we give up
POLL_SECONDS = 0.5

Tell = Callable[[str], None]


@dataclass
class Backoff:
    """Pauses that double: 1, 2, 4 ... up to 30 seconds."""

    first: float = FIRST_PAUSE
    longest: float = LONGEST_PAUSE
    _next: float | None = field(default=None, init=False)

    def pause(self) -> float:
        """How long to wait before the next attempt."""
        now = self.first if self._next is None else self._next
        self._next = min(2 * now, self.longest)
        return now

    def reset(self) -> None:
        """After a success."""
        self._next = None


class Supervisor:
    """Starts a SuperNode, and starts it again.

    Args:
        start: starts the program.
        key: what to call the client's key in a letter.
        tell: is told what happens, a line at a time.
        patience: seconds for which a refusal is not believed.
        clock, sleep: of this machine; a test has its own.
    """

    def __init__(
        self,
        start: Callable[[], Program],
        *,
        key: str,
        tell: Tell,
        patience: float = PATIENCE_SECONDS,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._start, self._key, self._tell, self.patience = start, key, tell, patience
        self._clock, self._sleep = clock, sleep
        self._backoff = Backoff()
        self._refused_since: float | None = None
        self._deaths = 0  # in a row, without having been let in
        self.node: int | None = None
        self.program: Program | None = None

    def run(self, stopped: Callable[[], bool] = lambda: False) -> None:
        """Until `stopped`; the program is ended then, and whenever this raises.

        Raises: NodeKeyUnfit when the server goes on refusing it; ProgramFailed when it cannot run at all; OSError when
            it cannot be started.
        """
        while not stopped():
            self.program = program = self._start()
            try:
                let_in = self._watch(program, stopped)
            finally:
                program.stop()
            if stopped():
                return
            self._consider(program, let_in=let_in)
            pause = self._backoff.pause()
            self._tell(f"starting the client's program again in {pause:.0f} s")
            self._sleep(pause)

    def _watch(self, program: Program, stopped: Callable[[], bool]) -> bool:
        """Wait for its end; returns whether the server let it in."""
        let_in = False
        while not stopped():
            ended = program.code is not None
            if not let_in and (node := node_id(program.said())) is not None:
                let_in, self.node = True, node
                self._refused_since, self._deaths = None, 0
                self._backoff.reset()
                self._tell(f"the server has let this client in, as node {node}")
            if ended:
                return let_in
            self._sleep(POLL_SECONDS)
        return let_in

    def _consider(self, program: Program, *, let_in: bool) -> None:
        """Whether to start it again.

        Raises: NodeKeyUnfit, ProgramFailed.
        """
        said = program.said()
        if (why := hopeless(said)) is not None:
            raise ProgramFailed(f"the client's program cannot run: {why}", mend=f"see {program.log}")
        if is_refused(said):
            self._believe_refusal()
            return
        self._tell(f"the client's program ended with {program.code}: {last_words(said, 1)}")
        self._deaths += not let_in
        if self._deaths >= QUICK_DEATHS:
            raise ProgramFailed(
                f"the client's program ended {self._deaths} times before the server let it in: {last_words(said)}",
                mend=f"see {program.log}",
            )

    def _believe_refusal(self) -> None:
        now = self._clock()
        if self._refused_since is None:
            self._refused_since = now
            self._tell(
                f"the server refuses this client: its key {self._key} is not registered, or the server still takes it "
                f"for online; trying for {self.patience:.0f} s more"
            )
        if now - self._refused_since >= self.patience:
            raise NodeKeyUnfit(
                f"the server refuses the key {self._key}",
                mend="give the public key, node.pub, to whoever runs the server, who adds it with --client-keys",
            )
