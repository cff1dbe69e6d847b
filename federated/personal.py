"""Personal heads: each client keeps the layer that answers, and shares the body below it.

In a simulation the heads lie beside the result, `personal/client-3.safetensors`, each with the names that it has in the
model: loaded over the checkpoint's own head, they make that client's model. In a deployment they stay where they are.

Source: Arivazhagan et al. 2019, arXiv:1912.00818 (personalization layers).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from federated.arrays import of_record
from federated.state import CLIENTS, ClientHome

if TYPE_CHECKING:
    from federated.arrays import Update

HEADS = "personal"
HEAD = "head"  # in what stays with a client
NOTE = (
    "The head of this checkpoint is the one that the run began with: each client keeps a head of its own, and the "
    "body alone was trained together."
)


def write_heads(state: Path, options: Mapping[str, Any], out: Path) -> dict[str, Any]:
    """Leave every simulated client's head in a folder.

    Args:
        state: folder of the run's state, where the clients of a simulation keep theirs.
        options: of the federation.
        out: where `personal/` goes.
    Returns: what the record says of them; empty without personal heads.
    """
    from safetensors.numpy import save_file

    if not options["personalize"]:
        return {}
    written = {}
    for client in range(options["clients"]):
        kept = ClientHome(str(state / CLIENTS), client).latest()
        if kept is None or HEAD not in kept.array_records:
            continue  # it was never asked
        (out / HEADS).mkdir(exist_ok=True)
        file = f"{HEADS}/client-{client}.safetensors"
        save_file(plain_names(of_record(kept.array_records[HEAD])), out / file, {"format": "pt"})
        written[str(client)] = file
    return {"part": options["personalize"], "files": written, "source": "Arivazhagan et al. 2019, arXiv:1912.00818"}


def plain_names(head: Update) -> Update:
    """Names as they are in the merged checkpoint: peft puts words of its own into those of parts trained whole."""
    return {name.replace(".modules_to_save.default", ""): array for name, array in head.items()}
