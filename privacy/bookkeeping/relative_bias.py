"""T5's relative positions: one table for all rows of a batch, so that no layer sees which row its gradient came from.

The table's lookups (queries x keys) have no dimension of rows; rows appear when the result is broadcast over the batch.
Here the broadcast is written out, and the gradient is taken behind it, where it still knows its row.

Source: Raffel et al. 2020, arXiv:1910.10683, section 2.1.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

Keep = Callable[[torch.Tensor], None]


def relative_attentions(model: nn.Module) -> dict[str, Any]:
    """The attention layers that own a table of relative positions, by name of the table."""
    from transformers.models.t5.modeling_t5 import T5Attention

    return {
        f"{name}.relative_attention_bias": layer
        for name, layer in model.named_modules()
        if type(layer) is T5Attention and layer.has_relative_attention_bias
    }


def spread_over_rows(attention: Any, rows: Callable[[], int | None], keep: Keep) -> Callable[[], None]:
    """Make an attention layer write its bias once for each row, and hand on the gradient of the table row by row.

    Args:
        rows: how many rows the batch under way has; None while nothing is kept.
        keep: told each example's gradient of the table, (rows, buckets, heads) float32.
    Returns: what puts the layer back as it was.
    """
    original = attention.compute_bias
    table: nn.Embedding = attention.relative_attention_bias

    def compute_bias(*arguments: Any, **named: Any) -> torch.Tensor:
        count = rows()
        if count is None:
            found: torch.Tensor = original(*arguments, **named)
            return found
        seen: list[torch.Tensor] = []
        handle = table.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
        try:
            bias = original(*arguments, **named)  # (1, heads, queries, keys)
        finally:
            handle.remove()
        [buckets] = seen  # (queries, keys)
        spread = bias.detach().expand(count, -1, -1, -1).clone().requires_grad_()
        spread.register_hook(lambda gradient: keep(_by_bucket(gradient, buckets, table.num_embeddings)))
        return spread

    attention.compute_bias = compute_bias

    def restore() -> None:
        attention.compute_bias = original

    return restore


def _by_bucket(gradient: torch.Tensor, buckets: torch.Tensor, count: int) -> torch.Tensor:
    """(rows, heads, queries, keys) summed into (rows, buckets, heads)."""
    rows, heads = gradient.shape[:2]
    flat = gradient.float().flatten(2).transpose(1, 2)  # (rows, queries x keys, heads)
    index = buckets.flatten()[None, :, None].expand(rows, -1, heads)
    return gradient.new_zeros(rows, count, heads, dtype=torch.float32).scatter_add_(1, index, flat)
