"""One real federation on loopback for all tests that need one: a server and three clients, each its own process."""

from __future__ import annotations

import json
import os
import signal
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from federated.deployment.network import Address, free_port
from federated.deployment.node_keys import ensure_node_key
from federated.deployment.processes import Program, stop_all
from federated.deployment.serving import Server
from federated.options import FederationOptions
from federated.run_settings import RunSettings
from tests.factories import write_checkpoint, write_rows

ABOVEBOARD = Path(sysconfig.get_path("scripts")) / "aboveboard"
NAMES = ("north", "south", "west")
ROWS = 8


@dataclass
class Federation:
    """What the tests share."""

    folder: Path
    base: Path
    told: list[str] = field(default_factory=list)
    clients: dict[str, Program] = field(default_factory=dict)
    address: Address = field(default_factory=lambda: Address("127.0.0.1", free_port()))

    def __post_init__(self) -> None:
        self.server = self.new_server()

    def new_server(self) -> Server:
        """A server of this federation, not yet started."""
        return Server(self.folder / "server", hosts=(), address=self.address, tell=self.told.append)

    def join(self, name: str, *more: str, authority: Path | None = None) -> Program:
        """`aboveboard federate join`, as a client would type it."""
        command = [
            str(ABOVEBOARD), "federate", "join", "--server", str(self.address), "--home", str(self.folder / name),
            "--authority", str(authority or self.server.authority), "--name", name,
            "--data", str(self.folder / f"{name}.jsonl"), "--base", str(self.base), *more,
        ]  # fmt: skip
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        return Program(command, environment=environment, log=self.folder / f"{name}.log")

    def settings(self, **options: object) -> RunSettings:
        """A run's settings; one step over all rows at once, so that their order does not matter."""
        chosen = {
            "clients": len(NAMES), "rounds": 2, "deadline": 120.0, "optimizer": "sgd", "learning_rate": 0.9,
            "batch_size": 3 * ROWS, "weight_decay": 0.0, **options,
        }  # fmt: skip
        return RunSettings(
            federation=FederationOptions.model_validate(chosen),
            base=str(self.base),
            columns={"text_column": "text", "label_column": "label"},
        )


def rows_of(name: str) -> list[dict[str, str]]:
    """A client's rows. Synthetic."""
    good, bad = {"north": ("good film", "sad day"), "south": ("happy dog", "awful city")}.get(
        name, ("kind cat", "poor meal")
    )
    return [
        {
            "text": f"{good if i % 2 else bad} {'one two three'.split()[i % 3]}",
            "label": "positive" if i % 2 else "negative",
        }
        for i in range(ROWS)
    ]


def without_dropout(base: Path) -> Path:
    """The same checkpoint, with nothing random left in its training."""
    config = json.loads((base / "config.json").read_text())
    config |= {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    (base / "config.json").write_text(json.dumps(config))
    return base


@contextmanager
def started(folder: Path, *flags: str) -> Iterator[Federation]:
    """A server that answers and three clients that were let in, or are on their way; `flags` are for `join`."""
    made = Federation(folder, without_dropout(write_checkpoint(folder / "base", hidden=16, layers=1)))
    keys = [ensure_node_key(folder / name).public for name in NAMES]
    (folder / "roster.pub").write_text("".join(key.read_text() for key in keys))
    for name in NAMES:
        write_rows(folder / f"{name}.jsonl", rows_of(name))
    try:
        made.server.__enter__()
        made.server.register(keys)
        made.clients |= {name: made.join(name, *flags) for name in NAMES}
        yield made
    finally:
        stop_all(list(made.clients.values()))
        made.server.__exit__(None, None, None)


@pytest.fixture(scope="session")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    """See `started`."""
    with started(tmp_path_factory.mktemp("federation")) as made:
        yield made


@pytest.fixture
def at_most() -> Iterator[None]:
    """Four minutes, and no longer."""
    with limited(240):
        yield


@contextmanager
def limited(seconds: int) -> Iterator[None]:
    """So long, and no longer."""

    def late(number: int, frame: object) -> None:
        raise TimeoutError(f"{seconds} seconds have passed")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def child_running(program: Program, word: str) -> psutil.Process | None:
    """The process below a program whose command line has a word."""
    try:
        family = psutil.Process(program.pid).children(recursive=True)
        return next((child for child in family if word in child.cmdline()), None)
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return None
