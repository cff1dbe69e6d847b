"""Optimizer and learning rate, as functions of the options and the step."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import torch

Schedule = Literal["linear", "cosine", "inverse-sqrt"]


def learning_rate(step: int, steps: int | None, *, peak: float, warmup: int, schedule: Schedule) -> float:
    """The rate of a step, counted from 0: it rises linearly to `peak`, then falls.

    Args:
        steps: of the whole run; "linear" and "cosine" (half a wave) reach 0 there, "inverse-sqrt" does not read it.
        warmup: steps in which the rate rises; "inverse-sqrt" then falls with 1 / sqrt(step).
    Source: Goyal et al. 2017, arXiv:1706.02677 (warm-up); Loshchilov & Hutter 2017, arXiv:1608.03983 (cosine);
        Vaswani et al. 2017, arXiv:1706.03762, section 5.3 (inverse square root).
    """
    if step < warmup:
        return peak * (step + 1) / (warmup + 1)
    if schedule == "inverse-sqrt":
        return peak * math.sqrt((warmup + 1) / (step + 1))
    if steps is None:
        raise ValueError(f"the {schedule} schedule needs the number of steps")
    done = (step - warmup) / max(steps - warmup, 1)
    return peak * (1 - done if schedule == "linear" else 0.5 * (1 + math.cos(math.pi * done)))


def build_optimizer(
    model: torch.nn.Module, *, name: Literal["adamw", "adam"] = "adamw", weight_decay: float, beta2: float = 0.999
) -> torch.optim.Optimizer:
    """AdamW or Adam over what is trained, fused into one pass over memory.

    AdamW shrinks the weights themselves (Loshchilov & Hutter 2019, arXiv:1711.05101); Adam adds the decay to the
    gradient, as an L2 penalty (Kingma & Ba 2015, arXiv:1412.6980). Vectors (biases, normalization) are spared the
    decay, as in BERT. A smaller `beta2` forgets the size of earlier gradients sooner: 0.98 in Vaswani et al. 2017.
    """
    import torch

    trained = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.dim() >= 2], "weight_decay": weight_decay},
        {"params": [p for p in trained if p.dim() < 2], "weight_decay": 0.0},
    ]
    kind = torch.optim.AdamW if name == "adamw" else torch.optim.Adam
    return kind([g for g in groups if g["params"]], lr=0.0, betas=(0.9, beta2), fused=True)
