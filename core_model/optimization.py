"""Optimizer and learning rate, as functions of the options and the step."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import torch


def learning_rate(step: int, steps: int, *, peak: float, warmup: int, schedule: Literal["linear", "cosine"]) -> float:
    """The rate of a step, counted from 0: it rises linearly to `peak`, then falls to 0 linearly or as half a cosine.

    Source: Goyal et al. 2017, arXiv:1706.02677 (warm-up); Loshchilov & Hutter 2017, arXiv:1608.03983 (cosine).
    """
    if step < warmup:
        return peak * (step + 1) / (warmup + 1)
    done = (step - warmup) / max(steps - warmup, 1)
    return peak * (1 - done if schedule == "linear" else 0.5 * (1 + math.cos(math.pi * done)))


def build_optimizer(model: torch.nn.Module, *, weight_decay: float) -> torch.optim.Optimizer:
    """AdamW (Loshchilov & Hutter 2019, arXiv:1711.05101), fused into one pass over memory.

    Vectors (biases, normalization) are spared the decay, as in BERT.
    """
    import torch

    trained = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.dim() >= 2], "weight_decay": weight_decay},
        {"params": [p for p in trained if p.dim() < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW([g for g in groups if g["params"]], lr=0.0, fused=True)
