"""One rule a layer: from what went in and the gradient of what came out to each example's gradient.

A rule gives a parameter either `Factors` (matrices) or each example's gradient itself (vectors, small tables). A layer
without a rule cannot be trained privately: guessing would clip another gradient than the one that is applied.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from privacy.bookkeeping.factors import Factors

Found = dict[str, Factors | torch.Tensor]
Rule = Callable[[Any, torch.Tensor, torch.Tensor], Found]
RULES: dict[type, Rule] = {}


def rule_for(*types: type) -> Callable[[Rule], Rule]:
    """Register a rule for layers of exactly these types; a subclass may compute something else."""

    def register(rule: Rule) -> Rule:
        RULES.update(dict.fromkeys(types, rule))
        return rule

    return register


def linear(layer: nn.Linear, inputs: torch.Tensor, outputs: torch.Tensor) -> Found:
    """y = W x + b. inputs: (rows, tokens, d) or (rows, d); outputs: gradient of y, (rows, tokens, p) or (rows, p)."""
    inputs, outputs = where_gradients_are(_with_tokens(inputs), _with_tokens(outputs))
    found: Found = {"weight": Factors(outputs, inputs)}
    if layer.bias is not None:
        found["bias"] = outputs.float().sum(dim=1)
    return found


def transposed_linear(layer: Any, inputs: torch.Tensor, outputs: torch.Tensor) -> Found:
    """y = x W + b, as GPT-2 writes it (`Conv1D`): W has shape (d, p)."""
    inputs, outputs = where_gradients_are(_with_tokens(inputs), _with_tokens(outputs))
    return {"weight": Factors(inputs, outputs), "bias": outputs.float().sum(dim=1)}


def embedding(layer: nn.Embedding, inputs: torch.Tensor, outputs: torch.Tensor) -> Found:
    """y = W[id]. inputs: ids (rows, tokens); outputs: (rows, tokens, d). Padding's row has no gradient, as in torch."""
    if inputs.dim() == 1:
        inputs, outputs = inputs[:, None], outputs[:, None]
    if layer.padding_idx is not None:
        outputs = outputs.masked_fill((inputs == layer.padding_idx)[..., None], 0)
    return {"weight": Factors(inputs, outputs)}


def layer_norm(layer: nn.LayerNorm, inputs: torch.Tensor, outputs: torch.Tensor) -> Found:
    """y = W (x - mean) / deviation + b, over the last dimensions.

    The sum over tokens of gradient * (x - mean) / deviation, with both taken out of the product over the width.
    """
    inputs, outputs = (tensor.float().flatten(-layer.weight.dim()) for tensor in (inputs, outputs))
    inputs, outputs = where_gradients_are(_with_tokens(inputs), _with_tokens(outputs))
    mean = inputs.mean(dim=-1, keepdim=True)
    variance = (_mean_square(inputs) - mean.square()).clamp(min=0)  # rounding may leave 0 a little below it
    scale = torch.rsqrt(variance + layer.eps)
    weight = _weighted_sum(scale, outputs * inputs) - _weighted_sum(scale * mean, outputs)
    found: Found = {"weight": weight.unflatten(1, layer.weight.shape)}
    if layer.bias is not None:
        found["bias"] = outputs.sum(dim=1).unflatten(1, layer.weight.shape)
    return found


def rms_norm(layer: Any, inputs: torch.Tensor, outputs: torch.Tensor) -> Found:
    """y = W x / sqrt(mean(x^2) + eps), over the last dimension. Source: Zhang and Sennrich 2019, arXiv:1910.07467."""
    eps = next(getattr(layer, name) for name in ("variance_epsilon", "eps") if hasattr(layer, name))
    eps = torch.finfo(inputs.dtype).eps if eps is None else eps
    inputs, outputs = where_gradients_are(_with_tokens(inputs.float()), _with_tokens(outputs.float()))
    return {"weight": _weighted_sum(torch.rsqrt(_mean_square(inputs) + eps), outputs * inputs)}


def _mean_square(vectors: torch.Tensor) -> torch.Tensor:
    """(rows, tokens, d) -> (rows, tokens, 1)."""
    return torch.linalg.vector_norm(vectors, dim=-1, keepdim=True).square() / vectors.shape[-1]


def _weighted_sum(weights: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """Sum over tokens: weights (rows, tokens, 1), values (rows, tokens, d) -> (rows, d)."""
    return torch.bmm(weights.transpose(1, 2), values)[:, 0]


def where_gradients_are(inputs: torch.Tensor, outputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Both without the tokens at which no row has a gradient, where these are many: nothing is lost, and much is saved.

    A classifier that reads its first token sends no gradient to the others of its last layer, but for keys and values;
    nor does padding have one.

    Args:
        inputs, outputs: (rows, tokens, d) and (rows, tokens, p), the second the gradient.
    """
    if outputs.device.type != "cpu":  # elsewhere a look at the numbers would wait for all that is still computed
        return inputs, outputs
    few = outputs.shape[1] / 4  # fewer are not worth a copy of the others
    idle = outputs[0, :, 0] == 0  # one number of each token rules most of them out
    if int(idle.sum()) < few:
        return inputs, outputs
    idle = ((outputs.amin(dim=2) == 0) & (outputs.amax(dim=2) == 0)).all(dim=0)
    if int(idle.sum()) < few:
        return inputs, outputs
    kept = (~idle).nonzero()[:, 0]
    return inputs[:, kept], outputs[:, kept]


def _with_tokens(tensor: torch.Tensor) -> torch.Tensor:
    """(rows, tokens, width): whatever stands between rows and width counts as tokens."""
    return tensor[:, None] if tensor.dim() == 2 else tensor.flatten(1, -2)


def _register() -> None:
    from transformers.models.llama.modeling_llama import LlamaRMSNorm
    from transformers.models.mistral.modeling_mistral import MistralRMSNorm
    from transformers.models.qwen2.modeling_qwen2 import Qwen2RMSNorm
    from transformers.models.t5.modeling_t5 import T5LayerNorm
    from transformers.pytorch_utils import Conv1D

    rule_for(nn.Linear, nn.modules.linear.NonDynamicallyQuantizableLinear)(linear)
    rule_for(Conv1D)(transposed_linear)
    rule_for(nn.Embedding)(embedding)
    rule_for(nn.LayerNorm)(layer_norm)
    rule_for(nn.RMSNorm, LlamaRMSNorm, MistralRMSNorm, Qwen2RMSNorm, T5LayerNorm)(rms_norm)


_register()
