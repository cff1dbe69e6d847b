"""The SuperLink: Flower's server program, with TLS, with clients that must have a registered key, with a database.

with SuperLink(home, certificates, address) as superlink:
    superlink.commands.register(public_key)
    run = superlink.commands.submit(app, config)
"""

from __future__ import annotations

import http.client
import os
import ssl
import sys
from pathlib import Path
from types import TracebackType

from core_model.errors import AboveboardError
from federated.deployment.certificates import Certificates
from federated.deployment.environment import flower_environment
from federated.deployment.flower_commands import FlowerCommands
from federated.deployment.launch import PARENT
from federated.deployment.network import Address, refuse_taken_port
from federated.deployment.processes import Program, wait_until

START_SECONDS = 120.0
EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  # listening on all, it is asked on loopback


class ProgramFailed(AboveboardError):
    """A program of Flower's ended, or never came up."""


class SuperLink:
    """The server's program. What it must remember lies in `home`, so that it can be started again.

    Args:
        home: folder for its database, its log and Flower's configuration.
        address: where it listens.
    Raises: OptionUnfit when the port is taken.
    """

    def __init__(self, home: Path, certificates: Certificates, address: Address) -> None:
        refuse_taken_port(address.host, address.port)
        self.home, self.certificates, self.address = home, certificates, address
        self.own_address = Address(EVERYWHERE.get(address.host, address.host), address.port)
        self.log = home / "superlink.log"
        self.commands = FlowerCommands(home / "flower", self.own_address, certificates.authority)
        self._program: Program | None = None

    def command(self) -> list[str]:
        """What is started."""
        files = self.certificates
        return [
            sys.executable, "-m", "federated.deployment.launch", "superlink",
            "--host", self.address.host, "--port", str(self.address.port),
            "--ssl-certfile", str(files.certificate), "--ssl-keyfile", str(files.key),
            "--ssl-ca-certfile", str(files.authority),
            "--enable-supernode-auth",
            "--database", str(self.home / "superlink.db"),
            "--disable-runtime-dependency-installation",
        ]  # fmt: skip

    def start(self) -> None:
        """Start it and wait until it answers.

        Raises: ProgramFailed with what it said last.
        """
        environment = flower_environment(self.home / "flower") | {PARENT: str(os.getpid())}
        self._program = program = Program(self.command(), environment=environment, log=self.log)
        try:
            up = wait_until(lambda: program.code is not None or self.answers(), seconds=START_SECONDS)
            if not up or program.code is not None:
                raise ProgramFailed(
                    f"the SuperLink {'did not come up' if program.code is None else f'ended with {program.code}'}: "
                    f"{last_words(program.said())}",
                    mend=f"see {self.log}",
                )
        except BaseException:
            self.stop()
            raise

    def answers(self) -> bool:
        """Whether it is up: its health, asked over TLS."""
        context = ssl.create_default_context(cafile=str(self.certificates.authority))
        connection = http.client.HTTPSConnection(
            self.own_address.host, self.own_address.port, timeout=5, context=context
        )
        try:
            connection.request("GET", "/health")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()

    @property
    def pid(self) -> int | None:
        """Number of its process, while it runs."""
        return self._program.pid if self._program is not None and self._program.code is None else None

    def refuse_gone(self) -> None:
        """Whether it still runs.

        Raises: ProgramFailed with what it said last.
        """
        if self._program is not None and self._program.code is not None:
            raise ProgramFailed(
                f"the SuperLink ended with {self._program.code}: {last_words(self._program.said())}",
                mend="the same command with --resume goes on after the last round",
            )

    def stop(self) -> None:
        """End it, with the server's app if that runs."""
        if self._program is not None:
            self._program.stop()
            self._program = None

    def __enter__(self) -> SuperLink:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def last_words(said: str, lines: int = 3) -> str:
    """The last lines of a program, in one."""
    return " / ".join([line.strip() for line in said.splitlines() if line.strip()][-lines:]) or "it said nothing"
