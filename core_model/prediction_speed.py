"""A shorter way to the same numbers: of the last layer, compute only what the head reads.

A classifier of BERT's kind reads the first token alone. In the last layer every other token is needed as key and value,
but its query, its attention output and its feed-forward are thrown away: 10 of the 12 matrix products of that layer, so
about an eighth of a six-layer model. The shortened model shares every weight with the whole one and is used only where
a trial on random inputs, with and without padding, gives the same logits.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

# Encoders whose layers share BERT's structure, in classifiers that read the first token.
KNOWN = {
    "BertForSequenceClassification",
    "RobertaForSequenceClassification",
    "XLMRobertaForSequenceClassification",
    "CamembertForSequenceClassification",
    "ElectraForSequenceClassification",
}
LARGEST_DIFFERENCE = 1e-5  # of logits of order 1, as between two batch sizes


def shortened(model: PreTrainedModel) -> PreTrainedModel:
    """The same classifier with its last layer computed for the first token only, or `model` where that does not fit."""
    config = model.config
    fits = (
        type(model).__name__ in KNOWN
        and not getattr(config, "is_decoder", False)
        and not getattr(config, "chunk_size_feed_forward", 0)
        and getattr(config, "_attn_implementation", None) == "sdpa"
    )
    if not fits:
        return model
    # Copies of the modules on the way to the last layer; everything else, weights included, is shared.
    short = _sharing(model)
    base = _replaced(short, model.base_model_prefix)
    encoder = _replaced(base, "encoder")
    layers = _replaced(encoder, "layer")
    last = str(len(layers) - 1)
    layers._modules[last] = _first_token_layer(layers._modules[last])
    return short if _agree(model, short) else model


def _sharing(module: Any) -> Any:
    twin = copy.copy(module)
    twin._modules = dict(module._modules)
    return twin


def _replaced(parent: Any, name: str) -> Any:
    parent._modules[name] = _sharing(parent._modules[name])
    return parent._modules[name]


def _first_token_layer(layer: Any) -> torch.nn.Module:
    import torch

    class FirstTokenLayer(torch.nn.Module):
        """An encoder layer whose output is the first token's: (batch, tokens, hidden) -> (batch, 1, hidden)."""

        def __init__(self) -> None:
            super().__init__()
            self.layer = layer

        def forward(self, hidden: torch.Tensor, attention_mask: torch.Tensor | None = None, *_: Any, **__: Any) -> Any:
            attention = self.layer.attention.self
            size = attention.attention_head_size
            first = hidden[:, :1]
            query, key, value = (
                projected.unflatten(-1, (-1, size)).transpose(1, 2)  # (batch, heads, tokens, size)
                for projected in (attention.query(first), attention.key(hidden), attention.value(hidden))
            )
            mask = None if attention_mask is None else attention_mask[:, :, :1]
            context = torch.nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
            attended = self.layer.attention.output(context.transpose(1, 2).flatten(2), first)
            return self.layer.output(self.layer.intermediate(attended), attended)

    return FirstTokenLayer().eval()


def _agree(model: PreTrainedModel, short: PreTrainedModel) -> bool:
    import torch

    random = torch.Generator().manual_seed(0)
    ids = torch.randint(2, max(3, int(model.config.vocab_size)), (4, 9), generator=random)
    mask = torch.ones_like(ids)
    mask[2:, 5:] = 0
    with torch.inference_mode():
        try:
            pairs = [
                (network(input_ids=ids, attention_mask=m).logits for network in (model, short)) for m in (None, mask)
            ]
            return all(torch.allclose(a, b, atol=LARGEST_DIFFERENCE, rtol=LARGEST_DIFFERENCE) for a, b in pairs)
        except Exception:  # a structure that only looked alike: the whole model serves
            return False
