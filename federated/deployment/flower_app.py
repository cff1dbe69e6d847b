"""The app that is submitted to the SuperLink: a table of contents that names what every participant has installed.

Written to a folder when it is needed, so that it is of this release, and bundled by `flwr run`.
"""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

from core_model.files import write_atomically
from federated.deployment.own_app import CLIENT_APP, SERVER_APP

CONTENT = """\
[project]
name = "federation"
version = "{version}"
description = "Aboveboard's federated training; the code is what each participant has installed"
license = {{ file = "LICENSE" }}
dependencies = []

[tool.flwr.app]
publisher = "aboveboard"

[tool.flwr.app.components]
serverapp = "{server}"
clientapp = "{client}"

[tool.flwr.app.config]
federation = ""
out = ""
eval-data = ""
resume = false
wait = 600.0
"""


def write_app(folder: Path, *, client: str = CLIENT_APP, server: str = SERVER_APP) -> Path:
    """Write the app into a folder; returns it.

    Raises: OutputUnwritable.
    """
    plain = ".".join(version("aboveboard").split(".")[:3])
    text = CONTENT.format(version=plain, client=client, server=server)
    write_atomically(folder / "pyproject.toml", text)
    return folder
