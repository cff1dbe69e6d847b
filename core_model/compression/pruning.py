"""A model with fewer attention heads: cut out where its configuration can say so, silenced where it cannot.

Llama's kind and T5 take the size of a head from the configuration, so that fewer heads are an ordinary checkpoint,
smaller and quicker. BERT's and GPT-2's kind divide the width by the number of heads: there the heads' output is set to
zero, the answers are those of the pruned model, and neither size nor time shrinks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from core_model.compression.heads import Attention, attentions, columns_of, magnitudes, silence, weakest
from core_model.errors import OptionUnfit

if TYPE_CHECKING:
    from transformers import PreTrainedModel

# Kinds whose configuration says how large a head is, and what it calls the counts of heads, and of heads of keys.
CUTTABLE = {
    **dict.fromkeys(("llama", "mistral", "qwen2", "qwen3"), ("head_dim", "num_attention_heads", "num_key_value_heads")),
    **dict.fromkeys(("t5", "mt5"), ("d_kv", "num_heads", None)),
}


@dataclass(frozen=True)
class Pruned:
    """What was taken away.

    Attributes:
        lost: groups of heads that each attention module lost, by its name.
        heads: heads of all modules before; heads_left: after.
        cut: whether they were cut out; else they are silenced.
    """

    lost: dict[str, list[int]]
    heads: int
    heads_left: int
    cut: bool


def prune_heads(model: PreTrainedModel, share: float) -> Pruned:
    """Take the weakest heads from every attention module, in place.

    Raises: TaskUnfit for an attention that is not known; OptionUnfit where a module has one group of heads only.
    """
    found = attentions(model)
    lone = next((one for one in found if one.groups < 2), None)
    if lone is not None:
        raise OptionUnfit(
            f"{lone.name} has {lone.groups} group of heads; nothing can be taken from it",
            mend="--method quantize or --method distill",
        )
    kind = model.config.model_type
    lost = _lost(model, found, share, shared=kind in ("t5", "mt5"))
    cut = kind in CUTTABLE and len({(one.groups, len(lost[one.name])) for one in found}) == 1
    for one in found:
        (_cut if cut else silence)(model, one, lost[one.name])
    if cut:
        _tell_configuration(model.config, found[0], len(lost[found[0].name]))
    before = sum(one.heads for one in found)
    gone = sum(len(lost[one.name]) * one.heads // one.groups for one in found)
    return Pruned(lost, before, before - gone, cut)


def _lost(model: PreTrainedModel, found: Sequence[Attention], share: float, *, shared: bool) -> dict[str, list[int]]:
    """The weakest groups of each module.

    T5 computes the bias of positions in a stack's first layer and hands it on, head by head: there the layers of a
    stack lose the same heads, by the sum of their scores, each as a share of its layer's.
    """
    scores = {one.name: magnitudes(model, one) for one in found}
    if not shared:
        return {name: weakest(score, share) for name, score in scores.items()}
    stacks: dict[str, torch.Tensor] = {}
    for name, score in scores.items():
        stacks[_stack(name)] = stacks.get(_stack(name), torch.zeros_like(score)) + score / score.sum()
    return {name: weakest(stacks[_stack(name)], share) for name in scores}


def _stack(name: str) -> str:
    """ "decoder SelfAttention" of "decoder.block.3.layer.0.SelfAttention"."""
    return f"{name.split('.', maxsplit=1)[0]} {name.rsplit('.', maxsplit=1)[-1]}"


def _cut(model: PreTrainedModel, one: Attention, groups: Sequence[int]) -> None:
    module: Any = model.get_submodule(one.name)
    gone = set(columns_of(one, groups))
    queries = torch.tensor([i for i in range(one.heads * one.size) if i not in gone])
    keys = torch.tensor([i for i in range(one.groups * one.size) if i // one.size not in groups])
    for part in one.parts:
        matrix = getattr(module, part)
        _keep(matrix, queries if part == one.parts[0] else keys, rows=True)
    _keep(getattr(module, one.output), queries, rows=False)
    bias = getattr(module, "relative_attention_bias", None)
    if bias is not None:  # T5: (buckets, heads)
        left = torch.tensor([head for head in range(one.heads) if head not in groups])
        bias.weight = torch.nn.Parameter(bias.weight.detach()[:, left].clone())


def _keep(matrix: torch.nn.Linear, kept: torch.Tensor, *, rows: bool) -> None:
    weight = matrix.weight.detach()
    matrix.weight = torch.nn.Parameter((weight[kept] if rows else weight[:, kept]).clone())
    if rows and matrix.bias is not None:
        matrix.bias = torch.nn.Parameter(matrix.bias.detach()[kept].clone())


def _tell_configuration(config: Any, one: Attention, gone: int) -> None:
    size, heads, groups = CUTTABLE[config.model_type]
    left = one.groups - gone
    setattr(config, size, one.size)
    setattr(config, heads, left * one.heads // one.groups)
    if groups:
        setattr(config, groups, left)
