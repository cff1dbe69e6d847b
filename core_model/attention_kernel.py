"""Which attention kernel trains fastest: torch's fused one, or plain matrix products.

The fused one saves memory, and time where rows are long. On a CPU in bfloat16 its backward pass is slow for short rows:
4,096 tokens in rows of 16, 64, 128 and 256, four heads of 64, forward and backward, took 79, 53, 53 and 42 ms of one
core, plain products 10, 18, 26 and 45 (torch 2.13, AMX). In float32 the two are alike up to 128 tokens.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

LONGEST = 192  # tokens; up to here plain products win


def choose_attention(model: PreTrainedModel, *, device: torch.device, dtype: torch.dtype, longest: int) -> None:
    """Let a model that is to be trained use plain products where they are faster; its saved files do not change.

    Args:
        dtype: of the forward pass.
        longest: tokens of the longest sequence that it will read.
    """
    import torch

    if device.type == "cpu" and dtype == torch.bfloat16 and longest <= LONGEST:
        model.set_attn_implementation("eager")
