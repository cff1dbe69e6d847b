"""Evaluation in the midst of training: the mean of each of a task's measures over the evaluation rows."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch

from core_model.batching import evaluation_order, evaluation_order_by_tokens
from core_model.objective import Precision
from core_model.training_step import sides_of, to_device

if TYPE_CHECKING:
    import numpy as np
    from accelerate import Accelerator

    from core_model.tasks.training_task import Examples, TrainingTask
    from core_model.training_options import TrainingOptions

LARGER = 2  # without gradients, a batch twice as large takes no more memory


class LossIsNoNumber(ArithmeticError):
    """The evaluation loss overflowed."""


def evaluate(
    task: TrainingTask,
    examples: Examples,
    options: TrainingOptions,
    *,
    accelerator: Accelerator,
    precision: Precision,
    after: Callable[[int, float], None],
) -> dict[str, Any]:
    """Mean of each measure over the units of all rows, with their number `n`. Processes share the batches.

    Args:
        after: told after each batch how many rows went by (over all processes) and how long they took, in seconds.
    Raises: LossIsNoNumber; what `after` raises.
    """
    model: Any = task.model
    model.eval()
    sums: dict[str, torch.Tensor] = {}
    units = 0
    batches = _order(examples, options)
    mine = batches[accelerator.process_index :: accelerator.num_processes]
    for rows in mine or batches[:1]:  # a process that got none looks at one to know the names, and counts nothing
        begun = time.perf_counter()
        with torch.inference_mode(), precision():
            measures = task.measures(model, to_device(task.batch(examples, rows), accelerator.device))
        for name, value in measures.items():
            sums[name] = sums.get(name, 0) + value.double() * bool(mine)
        units += examples.units(rows) * bool(mine)
        after(len(rows) * accelerator.num_processes, time.perf_counter() - begun)
    totals = sums_over_processes(accelerator, [*sums.values(), units])
    means = {name: value / totals[-1] for name, value in zip(sums, totals, strict=False)}
    if not math.isfinite(means["loss"]):
        raise LossIsNoNumber
    return {"n": round(totals[-1]), **means}


def sums_over_processes(accelerator: Accelerator, values: Sequence[float | torch.Tensor]) -> list[float]:
    """Each value summed over the processes."""
    together = torch.stack([torch.as_tensor(v, dtype=torch.float64, device=accelerator.device) for v in values])
    total: torch.Tensor = accelerator.reduce(together, reduction="sum")
    return [float(value) for value in total.cpu()]


def _order(examples: Examples, options: TrainingOptions) -> list[np.ndarray]:
    if options.batch_tokens is not None:
        return evaluation_order_by_tokens(sides_of(examples), LARGER * options.batch_tokens)
    return evaluation_order(examples.lengths, LARGER * (options.batch_size or 1))
