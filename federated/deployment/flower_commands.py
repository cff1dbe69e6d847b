"""Flower's own commands, as its manual has them: register a node, run an app, list runs and nodes, follow a log.

flwr supernode register KEY.pub federation --format json
flwr run APP federation --run-config FILE.toml --format json
flwr list federation --run-id N --format json
flwr supernode list federation --format json
flwr log N federation --stream                  (lasts as long as the run)
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core_model.errors import AboveboardError
from core_model.files import write_atomically
from federated.deployment.environment import flower_environment, programs
from federated.deployment.network import Address
from federated.deployment.toml_text import Scalar, toml_table

COMMAND_SECONDS = 120.0
CONNECTION = "federation"  # the SuperLink's name in Flower's configuration


class FlowerRefused(AboveboardError):
    """A command of Flower's did not do what it was asked."""


@dataclass(frozen=True)
class RunStatus:
    """How a run stands.

    Attributes:
        status: pending, starting, running, or finished:completed, finished:failed, finished:stopped.
        details: what Flower says about a failure.
        bytes_in, bytes_out: what the SuperLink received and sent, measured by it.
    """

    status: str
    details: str
    bytes_in: int
    bytes_out: int

    @property
    def finished(self) -> bool:
        """Whether it is over."""
        return self.status.startswith("finished")

    @property
    def completed(self) -> bool:
        """Whether it is over and well."""
        return self.status == "finished:completed"


class FlowerCommands:
    """Flower's command line, told of one SuperLink.

    Args:
        home: folder for Flower's configuration.
        server: address of the SuperLink, on its own machine.
        authority: certificate by which it is recognised.
    Raises: OutputUnwritable.
    """

    def __init__(self, home: Path, server: Address, authority: Path) -> None:
        self.home = home
        connection = {"address": str(server), "root-certificates": str(authority.absolute())}
        write_atomically(
            home / "config.toml",
            toml_table({"default": CONNECTION}, name="superlink")
            + toml_table(connection, name=f"superlink.{CONNECTION}"),
        )

    def register(self, public_key: Path) -> int:
        """Make a client's key known; returns the node's number.

        Raises: FlowerRefused, for a key that is registered already, too.
        """
        return int(self._json("supernode", "register", str(public_key), CONNECTION)["node-id"])

    def nodes(self) -> dict[int, str]:
        """Numbers of the registered nodes, and whether each is registered (never seen), online or offline."""
        listed = self._json("supernode", "list", CONNECTION)["nodes"]
        return {int(node["node-id"]): str(node["status"]) for node in listed}

    def submit(self, app: Path, run_config: Mapping[str, Scalar]) -> int:
        """Start a run; returns its number.

        Raises: FlowerRefused.
        """
        config = self.home / "run.toml"
        write_atomically(config, toml_table(run_config))
        return int(self._json("run", str(app), CONNECTION, "--run-config", str(config))["run-id"])

    def status(self, run: int) -> RunStatus:
        """How a run stands.

        Raises: FlowerRefused.
        """
        [found] = self._json("list", CONNECTION, "--run-id", str(run))["runs"]
        traffic = found["network-traffic"]
        return RunStatus(
            str(found["status"]), str(found["status-details"]), traffic["inbound-bytes"], traffic["outbound-bytes"]
        )

    def log_command(self, run: int) -> list[str]:
        """The command that shows what the server's app says, until it ends."""
        return [str(programs() / "flwr"), "log", str(run), CONNECTION, "--stream"]

    def _json(self, *arguments: str) -> dict[str, Any]:
        ran = subprocess.run(  # our own words, no shell
            [str(programs() / "flwr"), *arguments, "--format", "json"],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, encoding="utf-8", errors="replace",
            env=flower_environment(self.home), timeout=COMMAND_SECONDS, check=False, start_new_session=True,
        )  # fmt: skip
        answer = _last_object(ran.stdout)
        if ran.returncode or not answer.get("success"):
            told = answer.get("error-message") or ran.stderr.strip() or ran.stdout.strip() or f"code {ran.returncode}"
            raise FlowerRefused(f"flwr {' '.join(arguments)}: {told}", mend="see the log of the SuperLink")
        return answer


def _last_object(text: str) -> dict[str, Any]:
    """The JSON object in what a command said; empty when there is none."""
    start = text.find("{")
    try:
        found = json.loads(text[start:]) if start >= 0 else {}
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
