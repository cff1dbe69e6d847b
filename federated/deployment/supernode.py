"""A SuperNode: Flower's client program, which asks the SuperLink for work and runs our client app on its own rows."""

from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path

from core_model.files import write_atomically
from federated.deployment.environment import flower_environment
from federated.deployment.launch import PARENT
from federated.deployment.network import Address, free_port
from federated.deployment.node_keys import NodeKey
from federated.deployment.processes import Program
from federated.deployment.toml_text import Scalar, command_line_table

LOOPBACK = "127.0.0.1"
OWN_CLIENTAPP = """\
#!{python}
import sys

from federated.deployment.launch import main

sys.argv.insert(1, "clientapp")
main()
"""
NODE_ID = re.compile(r"SuperNode ID: (\d+)")
REFUSED = "[code: 2004]"  # a key that is not registered, or a node that the server still takes for online
HOPELESS = {302: "the private key cannot be read", 606: "the server runs another release of Flower"}


@dataclass(frozen=True)
class SuperNode:
    """What a client's program is started with.

    Attributes:
        home: folder for Flower's files, the log and what stays with the client.
        authority: certificate by which the server is recognised.
        key: what the client proves itself by.
        config: read by the client app: `data`, `base`, `name`, `home`.
    """

    home: Path
    server: Address
    authority: Path
    key: NodeKey
    config: dict[str, Scalar]

    @property
    def log(self) -> Path:
        """Where the program's output is."""
        return self.home / "supernode.log"

    def command(self, port: int) -> list[str]:
        """What is started; its own app processes reach it on `port` of this machine alone."""
        return [
            sys.executable, "-m", "federated.deployment.launch", "supernode",
            "--superlink", str(self.server),
            "--root-certificates", str(self.authority),
            "--auth-supernode-private-key", str(self.key.private),
            "--host", LOOPBACK, "--port", str(port),
            "--node-config", command_line_table(self.config),
        ]  # fmt: skip

    def start(self) -> Program:
        """Start it.

        Raises: OutputUnwritable.
        """
        own_programs = self.home / "bin"
        own = write_atomically(own_programs / "flwr-clientapp", OWN_CLIENTAPP.format(python=sys.executable))
        own.chmod(0o755)
        environment = flower_environment(self.home / "flower", first=own_programs) | {PARENT: str(os.getpid())}
        return Program(self.command(free_port(LOOPBACK)), environment=environment, log=self.log)


def node_id(said: str) -> int | None:
    """The number that a node got, from what it said; None before it was let in."""
    found = NODE_ID.findall(said)
    return int(found[-1]) if found else None


def is_refused(said: str) -> bool:
    """Whether the server did not let a node in."""
    return REFUSED in said


def hopeless(said: str) -> str | None:
    """Why it makes no sense to start a node again; None where it may."""
    return next((why for code, why in HOPELESS.items() if f"Exit Code: {code}" in said), None)
