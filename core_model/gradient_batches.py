"""The gradient of a classifier's loss in batches of labelled rows: how long is it, and how far do batches agree?

Two passes over the same batches, so that no two gradients lie in memory at once: the first sums them up, the second
holds each against their mean. The squared norms |g_i|^2 and the products g_i . G are all that norms by layer, the noise
scale and a jackknife over batches need. The model is a copy of its own, in eval mode: dropout draws nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from core_model.batching import Ragged
from core_model.prediction_forward import Forward, torch_threads
from core_model.prediction_inputs import tokenize

if TYPE_CHECKING:
    import torch

    from core_model.data import Table


@dataclass(frozen=True, eq=False)
class BatchGradients:
    """What is known of the batches' gradients. The mean over batches is G.

    Attributes:
        names: (tensors,) of the parameters.
        matrices: (tensors,) bool, whether it has two dimensions or more.
        weight_squares: (tensors,) sum of the parameter's squares.
        squares: (batches, tensors) |g_i|^2 of each.
        dots: (batches, tensors) g_i . G of each; None where a number is not finite.
        not_finite: (batches,) bool, whether some number of the batch's gradient is infinite or none.
        rows: rows of a batch.
        mean: G, a tensor for each parameter; None as `dots`.
    """

    names: tuple[str, ...]
    matrices: np.ndarray
    weight_squares: np.ndarray
    squares: np.ndarray
    dots: np.ndarray | None
    not_finite: np.ndarray
    rows: int
    mean: list[torch.Tensor] | None


def batch_gradients(forward: Forward, table: Table, *, batches: int, max_length: int) -> BatchGradients:
    """The gradients of the mean cross-entropy of each batch with respect to every parameter.

    Args:
        forward: a classifier of one's own: its parameters are asked for gradients, and frozen again.
        table: labelled rows in random order; what is left over when they are cut into equal batches is not read.
        batches: how many, at least one row each.
    """
    import torch

    per_batch = table.rows // batches
    found = tokenize(
        forward.tokenizer, list(table.texts), None if table.pairs is None else list(table.pairs), max_length
    )
    ids = Ragged.of(found["input_ids"])
    types = Ragged.of(found["token_type_ids"]) if "token_type_ids" in found else None
    named = list(forward.model.named_parameters())
    parameters = [parameter for _, parameter in named]

    def gradients() -> Iterator[list[torch.Tensor]]:
        for start in range(0, batches * per_batch, per_batch):
            rows = np.arange(start, start + per_batch)
            targets = torch.from_numpy(table.targets[rows].copy()).to(forward.device)
            yield _gradient(forward, ids, types, rows, targets, parameters)

    squares = np.zeros((batches, len(named)))
    dots: np.ndarray | None = np.zeros((batches, len(named)))
    mean = [torch.zeros_like(parameter, dtype=torch.float32) for parameter in parameters]
    with _asked_for_gradients(forward):
        for batch, gradient in enumerate(gradients()):
            squares[batch] = [_dot(part, part) for part in gradient]
            torch._foreach_add_(mean, gradient, alpha=1 / batches)
        not_finite = np.asarray(~np.isfinite(squares).all(axis=1))
        if not_finite.any():
            dots = None
        else:
            assert dots is not None  # noqa: S101 - it was made above
            for batch, gradient in enumerate(gradients()):
                dots[batch] = [_dot(part, whole) for part, whole in zip(gradient, mean, strict=True)]
    return BatchGradients(
        names=tuple(name for name, _ in named),
        matrices=np.array([parameter.ndim > 1 for parameter in parameters]),
        weight_squares=np.array([_dot(parameter.detach(), parameter.detach()) for parameter in parameters]),
        squares=squares, dots=dots, not_finite=not_finite, rows=per_batch, mean=None if dots is None else mean,
    )  # fmt: skip


def _gradient(
    forward: Forward,
    ids: Ragged,
    types: Ragged | None,
    rows: np.ndarray,
    targets: torch.Tensor,
    parameters: list[torch.nn.Parameter],
) -> list[torch.Tensor]:
    """Of one batch's mean loss; zeros for a parameter that the loss does not read."""
    import torch

    # A batch of one row, or of a model that cannot pad, is the mean of its rows' own losses.
    parts = [rows] if forward.can_pad else [rows[i : i + 1] for i in range(len(rows))]
    loss = torch.zeros((), device=forward.device)
    for part in parts:
        logits = forward.model(**forward.batch(ids, types, part)).logits.float()
        where = torch.from_numpy(part - rows[0]).to(targets.device)
        loss = loss + torch.nn.functional.cross_entropy(logits, targets[where], reduction="sum") / len(rows)
    found = torch.autograd.grad(loss, parameters, allow_unused=True)
    return [
        torch.zeros_like(parameter, dtype=torch.float32) if part is None else part.float()
        for part, parameter in zip(found, parameters, strict=True)
    ]


@contextmanager
def _asked_for_gradients(forward: Forward) -> Iterator[None]:
    """Within it every parameter has a gradient, and a CPU computes with one thread, for the same bits on any number."""
    import torch

    forward.model.requires_grad_(True)
    try:
        with torch.enable_grad(), torch_threads(1) if forward.device.type == "cpu" else nullcontext():
            yield
    finally:
        forward.model.requires_grad_(False)


def _dot(a: torch.Tensor, b: torch.Tensor) -> float:
    """Over all numbers of both. A float32 sum: relative error about 1e-6."""
    import torch

    return float(torch.dot(a.reshape(-1).float(), b.reshape(-1).float()))


def step_down(forward: Forward, gradients: BatchGradients, relative: float) -> bool:
    """One plain gradient step in place: along -G, `relative` times as long as the norm of all weights.

    Returns: whether there was a gradient to go along.
    """
    import torch

    if gradients.mean is None or gradients.dots is None:
        return False
    length = float(np.sqrt(gradients.dots.mean(axis=0).sum()))
    if not length > 0:
        return False
    scale = relative * float(np.sqrt(gradients.weight_squares.sum())) / length
    with torch.no_grad():
        for parameter, part in zip(forward.model.parameters(), gradients.mean, strict=True):
            parameter.sub_(part.to(parameter.dtype), alpha=scale)
    return True
