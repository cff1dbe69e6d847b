"""Mutants of a model: the same model with one small thing broken, in memory, and put back bit by bit afterwards.

    for mutation in planned(12):
        with mutated(model, mutation, np.random.default_rng(0)) as made:
            ...                       # made is False where this model has nothing of the kind that would be broken

What is broken, and how badly, is chosen beforehand; where (which layer, heads, neurons, class) is drawn. Weights are
changed in place, so that whatever shares them changes along; leave the model on trial alone, and take a copy.

Source: Ma et al. 2018, "DeepMutation", arXiv:1805.05206 (Gaussian fuzzing, neuron effect block); Humbatova et al. 2021,
"DeepCrime", doi:10.1145/3460319.3471825.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

Changes = Mapping[str, "torch.Tensor"]  # parameter -> what it becomes


@dataclass(frozen=True)
class Mutation:
    """One way to break a model.

    Attributes:
        operator: what is broken (`OPERATORS`).
        size: how badly; `MEANING` says in what unit.
        draw: which of several draws of the place.
    """

    operator: str
    size: float
    draw: int = 1

    @property
    def name(self) -> str:
        """As the record says it."""
        return f"{self.operator} {self.size:g}" + (f" #{self.draw}" if self.draw > 1 else "")


MEANING: Mapping[str, str] = {
    "weight_noise": "Gaussian noise on every matrix of one layer; size in standard deviations of the matrix",
    "heads_silenced": "attention heads of one layer write zeros; size is their share",
    "neurons_blocked": "neurons of one layer's feed-forward part give 0; size is their share",
    "bias_shifted": "the head's bias raised for one class; size in logits",
    "outputs_swapped": "two classes' outputs exchanged",
    "embeddings_exchanged": "embeddings of frequent tokens exchanged in pairs; size is the share of these tokens",
}
_SIZES = (
    ("weight_noise", 1.0), ("heads_silenced", 1.0), ("neurons_blocked", 1.0), ("bias_shifted", 2.0),
    ("outputs_swapped", 1.0), ("embeddings_exchanged", 1.0), ("weight_noise", 0.5), ("heads_silenced", 0.5),
    ("neurons_blocked", 0.5), ("bias_shifted", 1.0), ("embeddings_exchanged", 0.25), ("weight_noise", 2.0),
)  # fmt: skip


def planned(count: int) -> list[Mutation]:
    """The first so many mutations; after a dozen the same ones in other places."""
    return [Mutation(*_SIZES[i % len(_SIZES)], draw=1 + i // len(_SIZES)) for i in range(count)]


@contextmanager
def mutated(
    model: PreTrainedModel, mutation: Mutation, random: np.random.Generator, *, frequent: Sequence[int] = ()
) -> Iterator[bool]:
    """The model with one thing broken, within this block; afterwards every bit is as it was.

    Args:
        frequent: ids of tokens whose embeddings may be exchanged.
    Yields: whether anything was changed.
    """
    with _with(model, OPERATORS[mutation.operator](model, mutation.size, random, frequent)) as made:
        yield made


@contextmanager
def permuted(model: PreTrainedModel, random: np.random.Generator) -> Iterator[bool]:
    """The model with the hidden units of its feed-forward parts in another order, which computes the same function.

    Last bits differ, for sums are added in another order. Yields: whether such parts were found.
    """
    with _with(model, _reordered(model, random)) as made:
        yield made


@contextmanager
def _with(model: PreTrainedModel, changes: Changes) -> Iterator[bool]:
    import torch

    parameters = dict(model.named_parameters())
    before = {name: parameters[name].detach().clone() for name in changes}
    try:
        with torch.no_grad():
            for name, value in changes.items():
                parameters[name].copy_(value)
        yield bool(changes)
    finally:
        with torch.no_grad():
            for name, value in before.items():
                parameters[name].copy_(value)


def _matrices(module: Any) -> dict[str, Any]:
    """The linear maps in a module, by name; GPT-2's are called Conv1D."""
    import torch
    from transformers.pytorch_utils import Conv1D

    return {name: one for name, one in module.named_modules() if isinstance(one, torch.nn.Linear | Conv1D)}


def _shape(matrix: Any) -> tuple[int, int]:
    """(inputs, outputs)."""
    import torch

    rows, columns = matrix.weight.shape
    return (columns, rows) if isinstance(matrix, torch.nn.Linear) else (rows, columns)


def _outward(matrix: Any, change: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
    """A new weight from a change of the weight as (outputs, inputs)."""
    import torch

    weight = matrix.weight.detach().clone()
    return change(weight) if isinstance(matrix, torch.nn.Linear) else change(weight.T).T


def _blocks(model: Any) -> list[tuple[str, dict[str, Any]]]:
    """Each layer's name and its linear maps; a layer is an element of a list that stands in no other list."""
    import torch

    lists = [name for name, module in model.named_modules() if isinstance(module, torch.nn.ModuleList)]
    outer = [name for name in lists if not any(name.startswith(f"{other}.") for other in lists)]
    children = [(f"{name}.{place}", one) for name in outer for place, one in model.get_submodule(name).named_children()]
    found = [(name, {f"{name}.{inner}": one for inner, one in _matrices(child).items()}) for name, child in children]
    return [(name, matrices) for name, matrices in found if matrices]


def _weight_noise(model: Any, size: float, random: np.random.Generator, _: Sequence[int]) -> Changes:
    import torch

    blocks = _blocks(model)
    if not blocks:
        return {}
    _name, matrices = blocks[int(random.integers(len(blocks)))]
    changes = {}
    for name, matrix in matrices.items():
        weight = matrix.weight.detach()
        noise = torch.from_numpy(random.standard_normal(tuple(weight.shape), dtype=np.float32)).to(weight)
        changes[f"{name}.weight"] = weight + size * weight.std() * noise
    return changes


def _heads_silenced(model: Any, size: float, random: np.random.Generator, _: Sequence[int]) -> Changes:
    from core_model.compression.heads import attentions, columns_of
    from core_model.errors import TaskUnfit

    try:
        found = attentions(model)
    except TaskUnfit:
        return {}
    one = found[int(random.integers(len(found)))]
    groups = random.permutation(one.groups)[: max(1, round(size * one.groups))].tolist()
    columns = columns_of(one, groups)

    def silent(weight: torch.Tensor) -> torch.Tensor:
        weight[:, columns] = 0
        return weight

    name = f"{one.name}.{one.output}"
    return {f"{name}.weight": _outward(model.get_submodule(name), silent)}


def _widest(matrices: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The maps into a layer's widest part, and those out of it."""
    width = max(_shape(one)[1] for one in matrices.values())
    into = {name: one for name, one in matrices.items() if _shape(one)[1] == width and _shape(one)[0] != width}
    out = {name: one for name, one in matrices.items() if _shape(one)[0] == width and _shape(one)[1] != width}
    return into, out


def _neurons_blocked(model: Any, size: float, random: np.random.Generator, _: Sequence[int]) -> Changes:
    blocks = [out for _name, matrices in _blocks(model) for out in [_widest(matrices)[1]] if out]
    if not blocks:
        return {}
    chosen = blocks[int(random.integers(len(blocks)))]
    width = _shape(next(iter(chosen.values())))[0]
    gone = random.permutation(width)[: max(1, round(size * width))]

    def blocked(weight: torch.Tensor) -> torch.Tensor:
        weight[:, gone] = 0
        return weight

    return {f"{name}.weight": _outward(matrix, blocked) for name, matrix in chosen.items()}


def _head(model: Any) -> tuple[str, Any] | None:
    """The last linear map that has as many outputs as there are classes."""
    classes = int(model.config.num_labels)
    found = [(name, one) for name, one in _matrices(model).items() if _shape(one)[1] == classes]
    return found[-1] if found and classes > 1 else None


def _bias_shifted(model: Any, size: float, random: np.random.Generator, _: Sequence[int]) -> Changes:
    head = _head(model)
    if head is None or head[1].bias is None:
        return {}
    bias = head[1].bias.detach().clone()
    bias[int(random.integers(len(bias)))] += size
    return {f"{head[0]}.bias": bias}


def _outputs_swapped(model: Any, size: float, random: np.random.Generator, _: Sequence[int]) -> Changes:
    head = _head(model)
    if head is None:
        return {}
    name, matrix = head
    one, other = random.permutation(_shape(matrix)[1])[:2].tolist()
    order = list(range(_shape(matrix)[1]))
    order[one], order[other] = other, one
    changes = {f"{name}.weight": _outward(matrix, lambda weight: weight[order])}
    return changes if matrix.bias is None else {**changes, f"{name}.bias": matrix.bias.detach()[order].clone()}


def _embeddings_exchanged(model: Any, size: float, random: np.random.Generator, frequent: Sequence[int]) -> Changes:
    count = 2 * (round(size * len(frequent)) // 2)
    embeddings = model.get_input_embeddings()
    names = [name for name, one in model.named_parameters() if one is getattr(embeddings, "weight", None)]
    if count < 2 or not names:
        return {}
    left, right = random.permutation(np.asarray(frequent))[:count].reshape(2, -1)
    weight = embeddings.weight.detach().clone()
    weight[np.concatenate([left, right])] = weight[np.concatenate([right, left])]
    return {names[0]: weight}


def _reordered(model: Any, random: np.random.Generator) -> Changes:
    changes: dict[str, torch.Tensor] = {}
    for _name, matrices in _blocks(model):
        into, out = _widest(matrices)
        if not into or not out:
            continue
        order = random.permutation(_shape(next(iter(into.values())))[1])
        for name, matrix in into.items():
            changes[f"{name}.weight"] = _outward(matrix, lambda weight, order=order: weight[order])  # type: ignore[misc]
            if matrix.bias is not None:
                changes[f"{name}.bias"] = matrix.bias.detach()[order].clone()
        for name, matrix in out.items():
            changes[f"{name}.weight"] = _outward(matrix, lambda weight, order=order: weight[:, order])  # type: ignore[misc]
    return changes


Operator = Callable[[Any, float, np.random.Generator, Sequence[int]], Changes]
OPERATORS: Mapping[str, Operator] = {
    "weight_noise": _weight_noise,
    "heads_silenced": _heads_silenced,
    "neurons_blocked": _neurons_blocked,
    "bias_shifted": _bias_shifted,
    "outputs_swapped": _outputs_swapped,
    "embeddings_exchanged": _embeddings_exchanged,
}
