"""How Flower's programs are started: nothing is sent home, nothing is installed, nothing is shared with other runs."""

from __future__ import annotations

import os
import sysconfig
from pathlib import Path

from federated.environment import SILENT

TASK_POLL_SECONDS = "0.2"  # how often Flower's SuperExec looks for work; its own default is 1


def flower_environment(home: Path, *, first: Path | None = None) -> dict[str, str]:
    """Environment of Flower's programs.

    Args:
        home: folder for what Flower keeps: its configuration, installed apps. One for each federation and client.
        first: a folder whose programs stand before Flower's own.
    """
    folders = [str(folder.absolute()) for folder in (first, programs()) if folder is not None]
    return {
        **os.environ,
        **SILENT,
        "FLWR_HOME": str(home.absolute()),
        "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
        "FLWR_SUPEREXEC_TASK_POLL_INTERVAL": TASK_POLL_SECONDS,
        "PYTHONUNBUFFERED": "1",
        "PATH": os.pathsep.join([*folders, os.environ.get("PATH", os.defpath)]),
    }


def programs() -> Path:
    """Where Flower's programs lie: with the other scripts of the Python that runs this."""
    return Path(sysconfig.get_path("scripts"))
