"""What clients measured on the rows that they hold out, read with care and put together."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from flwr.app import Message

    from federated.roster import Member

EXAMPLES = "num-examples"
MEASURES = ("loss", "accuracy")  # of every task that can be evaluated on the way, where it has them
KEPT_IN_FULL = 50  # clients whose own numbers stand in every round's entry; of more, in the last round's alone


def read_evaluations(replies: Iterable[Message], members: Mapping[int, Member]) -> list[dict[str, Any]]:
    """One entry a client: client, name, n (rows, or tokens where texts are written), and its measures.

    What is no number is left out, with its client; what is one is the client's word.

    Args:
        members: by node.
    """
    found: dict[int, dict[str, Any]] = {}
    for reply in replies:
        member = members.get(reply.metadata.src_node_id)
        metrics = None if reply.has_error() else reply.content.metric_records.get("metrics")
        if member is None or metrics is None:
            continue
        n, measured = metrics.get(EXAMPLES), {name: metrics[name] for name in MEASURES if name in metrics}
        sound = all(isinstance(value, int | float) and math.isfinite(value) for value in measured.values())
        if isinstance(n, int) and n > 0 and measured and sound:
            found[member.number] = {"client": member.number, "name": member.name, "n": n, **measured}
    return [found[client] for client in sorted(found)]


def summary(found: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """Clients' evaluations together: the mean over all their rows, and each client's own; None without any."""
    if not found:
        return None
    weights = [entry["n"] for entry in found]
    means = {
        name: float(np.average([entry[name] for entry in found], weights=weights))
        for name in MEASURES
        if all(name in entry for entry in found)
    }
    return {"n": sum(weights), **means, "clients": list(found)}


def shortened(evaluation: dict[str, Any] | None) -> dict[str, Any] | None:
    """An earlier round's summary, so that the record of many clients and rounds stays readable."""
    if evaluation is None or len(evaluation["clients"]) <= KEPT_IN_FULL:
        return evaluation
    return {**evaluation, "clients": []}
