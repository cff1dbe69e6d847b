"""An exponential moving average of the weights: steadier than the last step's, and often better.

After each step, average = d * average + (1 - d) * weights, with d = min(decay, (1 + step) / (10 + step)): early on the
average follows closely, so that it is not a mixture with weights that had learnt nothing yet.

Source: Polyak & Juditsky 1992, doi:10.1137/0330046 (averaging); the rising decay is that of TensorFlow's
`ExponentialMovingAverage` (`num_updates`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch


class WeightAverage:
    """The average of a model's trained parameters; it begins as their copy.

    Args:
        decay: in (0, 1); about 1 / (1 - decay) steps are averaged.
    """

    def __init__(self, model: torch.nn.Module, decay: float) -> None:
        self.decay = decay
        self._parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
        self.tensors = {name: p.detach().clone() for name, p in self._parameters.items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after a step; the first step is 1."""
        decay = min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(list(self.tensors.values()), list(self._parameters.values()), 1 - decay)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """While a `with` lasts, the model has the averaged weights; nothing is copied, storage changes places."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def put(self) -> None:
        """Give the model the averaged weights for good."""
        self._swap()

    def load(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Take up an average that was set down."""
        for name, tensor in tensors.items():
            self.tensors[name].copy_(tensor)

    def _swap(self) -> None:
        for name, parameter in self._parameters.items():
            parameter.data, self.tensors[name] = self.tensors[name], parameter.data
