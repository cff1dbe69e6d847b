"""Adversarial training: the loss is taken where small shifts of the token embeddings make it large.

FreeLB: from a random shift, `steps` times: add 1/steps of the parameters' gradient there, then move each row's shift
along its own gradient, and back onto the ball. One pass serves both, so that it costs `steps` trainings and no more.
    shift <- project(shift + step_size * gradient / |gradient|),  |shift| <= radius  (a row's Frobenius norms)
Source: Zhu et al. 2020, arXiv:1909.11764, algorithm 1; dropout is the same in all steps, as in its section 3.3.

Lengths are in units of the norm of the row's own embeddings: 0.1 is a tenth of it, whatever the model and the text. The
shift is added at the output of the embedding layer by a hook, so that encoders, decoders and encoder-decoders (there at
the source) take it in the same way, and models that look at token ids still see them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from core_model.errors import TaskUnfit

if TYPE_CHECKING:
    import numpy as np

    from core_model.objective import Backward, Objective


class FreeLB:
    """An objective at shifted embeddings.

    Args:
        inner: what is minimized there.
        embeddings: the layer that turns the ids of `input_ids` into vectors.
        steps: ascents, at least 1.
        radius, step_size: in units of a row's embedding norm.
    """

    def __init__(
        self, inner: Objective, *, embeddings: torch.nn.Module, steps: int, radius: float, step_size: float
    ) -> None:
        self.inner, self.embeddings = inner, embeddings
        self.steps, self.radius, self.step_size = steps, radius, step_size

    def backward(
        self, model: Any, batch: Mapping[str, torch.Tensor], *, rows: np.ndarray, weight: float, backward: Backward
    ) -> torch.Tensor:
        """See `Objective.backward`; the loss is the mean over the steps."""
        ids, attended = batch["input_ids"], batch["attention_mask"].unsqueeze(-1)
        with torch.no_grad():
            scale = row_norms(self.embeddings(ids).float() * attended)
        shift = first_shift(scale * self.radius, attended, width=self._width(ids))
        random = _random_state(ids.device)
        total = torch.zeros((), device=ids.device)
        for step in range(self.steps):
            _set_random_state(ids.device, random)  # the same dropout in every step
            shift = shift.detach().requires_grad_()
            with shifted(self.embeddings, ids, shift):
                total += self.inner.backward(model, batch, rows=rows, weight=weight / self.steps, backward=backward)
            if shift.grad is not None and step + 1 < self.steps:
                shift = ascend(shift.detach(), shift.grad, scale, step_size=self.step_size, radius=self.radius)
        return total / self.steps

    def _width(self, ids: torch.Tensor) -> int:
        with torch.no_grad():
            return int(self.embeddings(ids[:1, :1]).shape[-1])


def row_norms(vectors: torch.Tensor) -> torch.Tensor:
    """The Frobenius norm of each row's vectors, (rows, tokens, width) -> (rows, 1, 1)."""
    return vectors.flatten(1).norm(dim=1)[:, None, None]


def first_shift(radius: torch.Tensor, attended: torch.Tensor, *, width: int) -> torch.Tensor:
    """Uniform in +-radius / sqrt(numbers of the row), (rows, tokens, width); nothing at padding."""
    numbers = attended.sum(dim=1, keepdim=True) * width
    drawn = torch.rand(*attended.shape[:2], width, device=attended.device) * 2 - 1
    return drawn * attended * radius / numbers.sqrt()


def ascend(
    shift: torch.Tensor, gradient: torch.Tensor, scale: torch.Tensor, *, step_size: float, radius: float
) -> torch.Tensor:
    """One step along each row's gradient, then back onto the ball; a row without a gradient stays."""
    gradient = gradient.float()
    moved = shift + step_size * scale * gradient / row_norms(gradient).clamp_min(torch.finfo(torch.float32).tiny)
    return moved * (radius * scale / row_norms(moved).clamp_min(torch.finfo(torch.float32).tiny)).clamp_max(1.0)


@contextmanager
def shifted(embeddings: torch.nn.Module, ids: torch.Tensor, shift: torch.Tensor) -> Iterator[None]:
    """Add a shift to the embeddings of `ids` for one forward pass.

    An encoder-decoder may embed its target by the same layer: its ids lie elsewhere in memory, and stay unshifted.

    Raises: TaskUnfit when the model embedded these ids in another way.
    """
    uses = 0

    def add(module: torch.nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> torch.Tensor:
        nonlocal uses
        if inputs[0].data_ptr() != ids.data_ptr():
            return output
        uses += 1
        return output + shift.to(output.dtype).view_as(output)

    handle = embeddings.register_forward_hook(add)
    try:
        yield
    finally:
        handle.remove()
    if uses != 1:
        raise TaskUnfit(
            f"adversarial = freelb: the model embedded its input {uses} times by its embedding layer, not once",
            mend="leave --adversarial out for this architecture",
        )


def _random_state(device: torch.device) -> list[torch.Tensor]:
    states = [torch.get_rng_state()]
    return states if device.type == "cpu" else [*states, torch.get_device_module(device).get_rng_state()]


def _set_random_state(device: torch.device, states: list[torch.Tensor]) -> None:
    torch.set_rng_state(states[0])
    if device.type != "cpu":
        torch.get_device_module(device).set_rng_state(states[1])
