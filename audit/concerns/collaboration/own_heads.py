"""Where each client keeps a head of its own: the federated model is the shared body, and answers by that head."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from audit.concerns.collaboration.clients import Answered, ClientRows
from audit.concerns.collaboration.other_models import Asked, Unfit

if TYPE_CHECKING:
    from federated.record import FederatedRecord


def with_own_heads(
    asked: Asked, record: FederatedRecord, clients: Sequence[ClientRows], body: Answered, *, by_client: bool
) -> tuple[Answered, list[ClientRows]]:
    """Answers of each client's model to its own rows; and the clients, without rows where nobody can answer them.

    Args:
        body: the checkpoint's own answers, by the head that the run began with: they stay where no head is.
        by_client: whether each client has rows of its own.
    """
    correct, losses, able = body.correct.copy(), body.losses.copy(), []
    model = asked.reshaped()
    for client in clients:
        try:
            if not by_client:
                raise Unfit("each client answers by a head of its own, and no row can be given to a client")
            head = _head(asked, record, client)
            if client.rows.any():
                answered = model.answered(head, client.rows)
                correct[client.rows], losses[client.rows] = answered.correct, answered.losses
            able.append(client)
        except Unfit as why:
            able.append(replace(client, rows=np.zeros_like(client.rows), lacking=str(why)))
    return Answered(correct, losses), able


def _head(asked: Asked, record: FederatedRecord, client: ClientRows) -> dict[str, np.ndarray]:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    from federated.personal import HEADS

    name = record.personal.get("files", {}).get(str(client.number))
    if name is None:
        raise Unfit("this client left no head: it was never asked, or keeps it on its own machine")
    try:
        return load_file(asked.subject.checkpoint.path / HEADS / Path(name).name)
    except (OSError, SafetensorError) as error:
        raise Unfit(f"{name} cannot be read ({type(error).__name__})") from error
