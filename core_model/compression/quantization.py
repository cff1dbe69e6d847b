"""Int8 weights and activations: a quarter of the bytes, and quicker matrix products where the processor has int8 ones.

Weights are rounded once, one scale an output channel; activations at run time, one scale a token, so that a row's
answer depends on no other row of its batch. Of every linear layer inside the model and of the table of words; the head,
the positions and the normalization stay floats, and so does a table of words that is also the output layer.

On disk it is an ordinary folder: int8 tensors `weight` and float tensors `weight_scale` in safetensors, and in
config.json the scheme, in the layout "int-quantized" of compressed-tensors (https://github.com/vllm-project/compressed-tensors),
so that transformers (with that package) and vLLM load it, too. Nothing is pickled.
Source: Dettmers et al. 2022, arXiv:2208.07339, section 2 (absmax quantization by rows and columns, without their
float16 outliers).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn import functional

from core_model.compression.scheme import write_scheme
from core_model.errors import TaskUnfit

if TYPE_CHECKING:
    from transformers import PreTrainedModel

LARGEST = 127  # int8 reaches from -128; leaving that out keeps zero in the middle
LEAST = 1e-12  # the scale of a channel or token of zeros


class Int8Linear(nn.Module):
    """A linear layer on int8 numbers: (..., inputs) float -> (..., outputs) float.

    Attributes:
        weight: (outputs, inputs) int8; weight_scale: (outputs, 1) float; bias: (outputs,) float, or None.
    """

    weight: torch.Tensor
    weight_scale: torch.Tensor

    def __init__(self, inputs: int, outputs: int, *, bias: bool, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.in_features, self.out_features = inputs, outputs
        self.register_buffer("weight", torch.zeros(outputs, inputs, dtype=torch.int8))
        self.register_buffer("weight_scale", torch.ones(outputs, 1, dtype=dtype))
        self.bias = nn.Parameter(torch.zeros(outputs, dtype=dtype)) if bias else None

    @classmethod
    def of(cls, linear: nn.Linear) -> Int8Linear:
        """The rounded twin of a linear layer."""
        twin = cls(linear.in_features, linear.out_features, bias=linear.bias is not None, dtype=linear.weight.dtype)
        twin.weight, twin.weight_scale = rounded(linear.weight.detach())
        twin.bias = linear.bias
        return twin

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """The layer's outputs; int8 sums are exact, so that only the two roundings tell it from a float layer."""
        if values.requires_grad or values.device.type != "cpu":
            return self._in_floats(values)
        rows = values.reshape(-1, self.in_features)
        scale = rows.abs().amax(dim=1, keepdim=True).div_(LARGEST).clamp_min_(LEAST)
        # torch's product of int8 matrices has no public name; torchao calls it by this one, too.
        sums = torch._int_mm(rows.div(scale).round_().to(torch.int8), self.weight.t()).to(values.dtype)
        sums.mul_(scale).mul_(self.weight_scale.t())
        if self.bias is not None:
            sums.add_(self.bias)
        return sums.reshape(*values.shape[:-1], self.out_features)

    def _in_floats(self, values: torch.Tensor) -> torch.Tensor:
        """The same numbers by a float product, for gradients and for devices without the int8 one.

        Rounding has no gradient; it is taken for the identity (Bengio et al. 2013, arXiv:1308.3432).
        """
        scale = values.detach().abs().amax(dim=-1, keepdim=True).div(LARGEST).clamp_min(LEAST)
        error = (values.detach() / scale).round() * scale - values.detach()
        return functional.linear(values + error, self.weight * self.weight_scale, self.bias)


class Int8Embedding(nn.Module):
    """A table of int8 rows, one scale a row: (...,) ids -> (..., width) float."""

    weight: torch.Tensor
    weight_scale: torch.Tensor

    def __init__(self, rows: int, width: int, *, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.num_embeddings, self.embedding_dim = rows, width
        self.register_buffer("weight", torch.zeros(rows, width, dtype=torch.int8))
        self.register_buffer("weight_scale", torch.ones(rows, 1, dtype=dtype))

    @classmethod
    def of(cls, table: nn.Embedding) -> Int8Embedding:
        """The rounded twin of a table."""
        twin = cls(table.num_embeddings, table.embedding_dim, dtype=table.weight.dtype)
        twin.weight, twin.weight_scale = rounded(table.weight.detach())
        return twin

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """The rows of these ids."""
        return self.weight[ids] * self.weight_scale[ids]


def rounded(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """A matrix as int8, and one scale for each of its rows: (rows, columns) int8, (rows, 1).

    Each number differs from the one it stands for by at most half a scale.
    """
    scale = (weight.abs().amax(dim=1, keepdim=True) / LARGEST).clamp_min(LEAST)
    return (weight / scale).round().clamp(-LARGEST, LARGEST).to(torch.int8), scale


def quantize(model: PreTrainedModel, *, float_words: bool = False) -> PreTrainedModel:
    """Round a model's matrices in place, and say so in its configuration.

    Args:
        float_words: keep the table of words as it is.
    Raises: TaskUnfit where it has no linear layer to round (GPT-2's are of a kind of their own).
    """
    names = list(_inner_linears(model))
    if not names:
        raise TaskUnfit(
            f"{type(model).__name__} has no linear layer inside that int8 rounding knows",
            mend="--method prune-heads or --method distill",
        )
    words = None if float_words else _own_table(model)
    swap(model, [*names, *([words] if words else [])])
    ignored = [name for name, module in model.named_modules() if type(module) is nn.Linear]
    model.config.quantization_config = write_scheme(ignored=ignored, table=words)
    return model


def swap(model: nn.Module, names: list[str]) -> None:
    """Put int8 twins in the place of these modules."""
    for name in names:
        parent, _, last = name.rpartition(".")
        module: Any = model.get_submodule(name)
        twin = Int8Embedding.of(module) if isinstance(module, nn.Embedding) else Int8Linear.of(module)
        setattr(model.get_submodule(parent), last, twin)


def _inner_linears(model: nn.Module) -> Iterator[str]:
    """Linear layers inside the stacks of layers, not those of a head above them."""
    for name, module in model.named_modules():
        if type(module) is nn.Linear and any(part.isdigit() for part in name.split(".")):
            yield name


def _own_table(model: PreTrainedModel) -> str | None:
    """The name of the table of words; None where the model has it twice, as input and output."""
    table: Any = model.get_input_embeddings()
    users = [name for name, module in model.named_modules() if getattr(module, "weight", None) is table.weight]
    return users[0] if type(table) is nn.Embedding and len(users) == 1 else None
