"""Which attention heads say least, and a model without them.

A head reads a token by its value matrix V (size, width) and writes by its slice of the output projection O (width,
size); what it can write at all is the matrix O V. Heads are ranked by the Frobenius norm of that product, within their
own layer, and each layer loses as many.

Michel et al. rank by the gradient of the loss instead, which needs data; this needs none, and says less.
Source: Michel, Levy and Neubig 2019, arXiv:1905.10650; O V as a head's map: Elhage et al. 2021, "A Mathematical
Framework for Transformer Circuits".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from core_model.errors import TaskUnfit

if TYPE_CHECKING:
    from transformers import PreTrainedModel

# Names of query, key, value and output below an attention module; GPT-2 has the first three in one matrix.
SEPARATE = (
    ("self.query", "self.key", "self.value", "output.dense"),  # BERT, RoBERTa, ELECTRA
    ("q_lin", "k_lin", "v_lin", "out_lin"),  # DistilBERT
    ("q_proj", "k_proj", "v_proj", "o_proj"),  # Llama, Mistral, Qwen
    ("q_proj", "k_proj", "v_proj", "out_proj"),  # BART, Marian
    ("q", "k", "v", "o"),  # T5
)
JOINED = ("c_attn", "c_proj")  # GPT-2
COUNTS = ("num_attention_heads", "n_heads", "num_heads")


@dataclass(frozen=True)
class Attention:
    """One attention module.

    Attributes:
        name: of the module in the model.
        parts: names of the matrices that read (query, key, value; one for GPT-2); output: of the one that writes.
        heads: query heads; groups: heads of keys and values, of which several query heads may share one.
        size: numbers of a head.
    """

    name: str
    parts: tuple[str, ...]
    output: str
    heads: int
    groups: int
    size: int


def attentions(model: PreTrainedModel) -> list[Attention]:
    """Every attention module, in the model's order.

    Raises: TaskUnfit where none is of a known kind.
    """
    found = [one for name, module in model.named_modules() if (one := _attention(name, module)) is not None]
    if not found:
        raise TaskUnfit(
            f"the attention of {type(model).__name__} is of a kind that is not known here",
            mend="--method quantize or --method distill",
        )
    return found


def _attention(name: str, module: Any) -> Attention | None:
    for *parts, output in SEPARATE:
        matrices = [_find(module, part) for part in (*parts, output)]
        if all(isinstance(matrix, torch.nn.Linear) for matrix in matrices):
            query, key = matrices[0].out_features, matrices[1].out_features
            size = getattr(module, "head_dim", None) or query // _count(module)
            return Attention(name, tuple(parts), output, query // size, key // size, size)
    joined, output = JOINED
    if _find(module, joined) is not None and _find(module, output) is not None:
        heads = _count(module)
        return Attention(name, (joined,), output, heads, heads, module.embed_dim // heads)
    return None


def _find(module: Any, path: str) -> Any:
    for part in path.split("."):
        module = getattr(module, part, None)
        if module is None:
            return None
    return module


def _count(module: Any) -> int:
    places = (module, getattr(module, "self", None))
    return next(int(n) for place in places for name in COUNTS if (n := getattr(place, name, None)))


def magnitudes(model: PreTrainedModel, one: Attention) -> torch.Tensor:
    """||O V|| of each group of heads that share keys and values, (groups,) float64.

    ||O V||^2 = trace(O^T O V V^T), so that the widths are never multiplied with each other.
    """
    module = model.get_submodule(one.name)
    output = _rows_out(_find(module, one.output)).double()  # (width, heads * size)
    value = _rows_out(_find(module, one.parts[-1])).double()[-one.groups * one.size :]  # GPT-2's values come last
    squares = torch.zeros(one.groups, dtype=torch.float64)
    for head in range(one.heads):
        group = head // (one.heads // one.groups)
        o = output[:, head * one.size : (head + 1) * one.size]
        v = value[group * one.size : (group + 1) * one.size]
        squares[group] += ((o.T @ o) * (v @ v.T).T).sum()
    return squares.sqrt()


def _rows_out(matrix: Any) -> torch.Tensor:
    """The weight as (outputs, inputs); GPT-2 keeps it the other way round."""
    weight: torch.Tensor = matrix.weight.detach()
    return weight if isinstance(matrix, torch.nn.Linear) else weight.T


def weakest(scores: torch.Tensor, share: float) -> list[int]:
    """Groups to lose: `share` of them, rounded, at least one, and one stays; the first of equals goes first."""
    wanted = min(max(round(share * len(scores)), 1), len(scores) - 1)
    return sorted(torch.argsort(scores, stable=True)[:wanted].tolist())


def silence(model: PreTrainedModel, one: Attention, groups: Sequence[int]) -> None:
    """Zero what these heads write: their columns of the output projection. Shapes stay."""
    columns = columns_of(one, groups)
    matrix = _find(model.get_submodule(one.name), one.output)
    with torch.no_grad():
        if isinstance(matrix, torch.nn.Linear):
            matrix.weight[:, columns] = 0
        else:
            matrix.weight[columns] = 0


def columns_of(one: Attention, groups: Sequence[int]) -> list[int]:
    """Columns of the output projection that belong to these groups' query heads."""
    heads = one.heads // one.groups
    width = heads * one.size
    return [column for group in groups for column in range(group * width, (group + 1) * width)]
