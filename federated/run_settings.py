"""What every process of one run must know: options, base, and where rows come from. Sent as JSON text.

In a simulation each process reads the one file and cuts it anew, so that nothing but this text need travel; in a
deployment each client has its own file, which its node's configuration names.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from federated.options import FederationOptions, Frozen

KEY = "federation"  # in a run's configuration, or in a message's where the run has none


class RunSettings(Frozen):
    """Settings of a run, the same for all of its processes but for what `for_node` changes."""

    federation: FederationOptions
    base: str = Field(description="folder or hub id of the checkpoint that is fine-tuned")
    data: str | None = Field(None, description="file that is divided among simulated clients; None in a deployment")
    columns: dict[str, str | None] = Field(default_factory=dict, description="arguments of `open_table`")
    labels: tuple[str, ...] = Field((), description="the classes that all clients agree on; none: the data's own")
    home: str | None = Field(None, description="folder where clients keep what stays with them; None: in memory")
    own_rows: bool = Field(False, description="whether the file is one client's own, and all of it")

    def to_text(self) -> str:
        """As JSON."""
        return self.model_dump_json()

    def for_node(self, node: Mapping[str, Any]) -> RunSettings:
        """As one node sees them: its configuration may name its own `data`, `base` and `home`."""
        own: dict[str, Any] = {name: str(node[name]) for name in ("data", "base", "home") if name in node}
        return self.model_copy(update={**own, "own_rows": "data" in node}) if own else self


def settings_of(run_config: Mapping[str, Any], message_config: Mapping[str, Any]) -> RunSettings:
    """From a run's configuration, else from a message's.

    Raises: KeyError when neither has them.
    """
    text = run_config.get(KEY) or message_config[KEY]
    return RunSettings.model_validate_json(str(text))
