"""A program that dies is started again, with patience; one that cannot run is given up. Time is made up."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest

from federated.deployment.node_keys import NodeKeyUnfit
from federated.deployment.processes import Program
from federated.deployment.superlink import ProgramFailed
from federated.deployment.supervisor import Backoff, Supervisor

REFUSED = "Exit Code: 305\n[code: 2004] Failed to activate SuperNode."  # as Flower 1.41 says it
LET_IN = "INFO :      SuperNode ID: 4711\n"


class Time:
    """A clock that moves when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class Life:
    """A program that says something, and ends after so many seconds; None: never."""

    log, pid = Path("supernode.log"), 1

    def __init__(self, time: Time, words: str, seconds: float | None) -> None:
        self._time, self._words, self._stopped = time, words, False
        self._ends = None if seconds is None else time.now + seconds

    @property
    def code(self) -> int | None:
        ended = self._stopped or (self._ends is not None and self._time.now >= self._ends)
        return 1 if ended else None

    def said(self) -> str:
        return self._words

    def stop(self) -> None:
        self._stopped = True


class Stage:
    """Lives one after the other, and when each began."""

    def __init__(self, *lives: tuple[str, float | None], until: int | None = None, patience: float = 150.0) -> None:
        self.time, self.lives, self.begun, self.told = Time(), list(lives), [], []
        self.programs: list[Life] = []
        self.until = len(lives) if until is None else until
        self.supervisor = Supervisor(
            self.start, key="SHA256:k", tell=self.told.append, patience=patience, clock=self.time.clock,
            sleep=self.time.sleep,
        )  # fmt: skip

    def start(self) -> Program:
        words, seconds = self.lives[min(len(self.begun), len(self.lives) - 1)]
        self.begun: list[float] = [*self.begun, self.time.now]
        self.programs.append(Life(self.time, words, seconds))
        return cast(Program, self.programs[-1])

    def run(self) -> None:
        self.supervisor.run(lambda: len(self.begun) >= self.until and self.time.now > self.begun[-1] + 5)


def test_pauses_double_up_to_a_limit_and_begin_anew_after_a_success() -> None:
    backoff = Backoff()
    assert [backoff.pause() for _ in range(7)] == [1, 2, 4, 8, 16, 30, 30]
    backoff.reset()
    assert backoff.pause() == 1


def test_a_killed_program_is_started_again() -> None:
    stage = Stage((LET_IN, 100.0), (LET_IN, None))
    stage.run()
    assert len(stage.begun) == 2
    assert stage.begun[1] == pytest.approx(101.0, abs=1.0)
    assert stage.supervisor.node == 4711


def test_the_refusal_after_a_kill_is_outwaited() -> None:
    """Flower takes a killed node for online for 60 s, and refuses it meanwhile."""
    stage = Stage((LET_IN, 100.0), *[(REFUSED, 2.0)] * 6, (LET_IN, None))
    stage.run()
    assert stage.begun[-1] - stage.begun[0] - 100 > 60
    assert stage.supervisor.node == 4711
    assert sum("refuses this client" in line for line in stage.told) == 1


def test_pauses_begin_anew_once_it_was_let_in() -> None:
    stage = Stage((LET_IN, 10.0), (REFUSED, 1.0), (REFUSED, 1.0), (LET_IN, 10.0), (LET_IN, None))
    stage.run()
    assert stage.begun[4] - stage.begun[3] == pytest.approx(11.0, abs=1.0)


def test_a_key_that_stays_refused_is_not_registered() -> None:
    stage = Stage((REFUSED, 2.0), until=99)
    with pytest.raises(NodeKeyUnfit, match=r"refuses the key SHA256:k(.|\n)*node\.pub"):
        stage.run()
    assert 150 <= stage.time.now < 200


def test_without_patience_one_refusal_is_enough() -> None:
    stage = Stage((REFUSED, 2.0), until=99, patience=0.0)
    with pytest.raises(NodeKeyUnfit):
        stage.run()
    assert len(stage.begun) == 1


def test_what_cannot_be_mended_by_waiting_is_given_up_at_once() -> None:
    stage = Stage(("Exit Code: 302\nUnable to parse the private key file.", 1.0), until=99)
    with pytest.raises(ProgramFailed, match="private key"):
        stage.run()
    assert len(stage.begun) == 1


def test_a_program_that_never_comes_up_is_given_up() -> None:
    stage = Stage(("ModuleNotFoundError: No module named 'flwr'", 1.0), until=99)
    with pytest.raises(ProgramFailed, match="5 times before the server let it in: ModuleNotFoundError"):
        stage.run()


def test_one_that_was_let_in_is_never_given_up() -> None:
    stage = Stage(*[(LET_IN, 50.0)] * 20, (LET_IN, None))
    stage.run()
    assert len(stage.begun) == 21


def test_every_program_is_ended_when_the_supervisor_is() -> None:
    stage = Stage((LET_IN, 100.0), (LET_IN, None))
    stage.run()
    assert all(program.code is not None for program in stage.programs)
