"""Positions, said once for a whole batch, said again for each row.

Many models look positions up in an embedding with ids of shape (1, tokens) and add the result to every row; the
gradient that comes back is then one sum over all rows. With the ids repeated for each row, it stays apart.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn


def spread_positions(model: nn.Module, rows: Callable[[], int | None]) -> list[Callable[[], None]]:
    """Repeat the ids of trainable embeddings that are given once for all rows.

    Args:
        rows: how many rows the batch under way has; None while nothing is to be changed.
    Returns: what takes the hooks off again.
    """

    def repeat(layer: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...] | None:
        count, ids = rows(), inputs[0]
        if count is None:
            return None
        # Contiguous, too: Opacus' norms of embeddings take no other ids.
        once_for_all = ids.dim() == 2 and len(ids) == 1
        return (ids.repeat(count, 1) if once_for_all else ids.contiguous(), *inputs[1:])

    return [
        layer.register_forward_pre_hook(repeat).remove
        for layer in model.modules()
        if type(layer) is nn.Embedding and layer.weight.requires_grad
    ]
