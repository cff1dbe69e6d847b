"""The tensors of two checkpoints side by side: which belong together, and their numbers, a block at a time.

Files are read as their headers say, never as a whole: whatever the size of a checkpoint, two blocks are in memory.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from core_model.checkpoint_weights import BITS, Tensor, hash_tensor

BLOCK = 4 * 2**20  # numbers at a time
FEWEST = 256  # numbers; tensors of fewer are alike by chance, or all zeros
KINDS: dict[str, Any] = {"F32": "<f4", "F64": "<f8", "F16": "<f2", "BF16": "<u2", "I8": "i1", "U8": "u1"}
"""How numbers lie in a file; bfloat16 is the upper half of a float32."""
INTEGERS = ("I8", "U8")
OLD_NAMES = {".gamma": ".weight", ".beta": ".bias"}  # of layer norms, in checkpoints of 2018
FINENESS = ("F8_E4M3", "F16", "BF16", "F32", "F64")


@dataclass(frozen=True)
class Pair:
    """A tensor of ours and the one of theirs that has its place and shape."""

    name: str
    ours: Tensor
    theirs: Tensor

    @property
    def size(self) -> int:
        """How many numbers each holds."""
        return self.ours.size


def pair_up(ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor]) -> list[Pair]:
    """Tensors of equal name and shape, names without the model's own first part ("bert.").

    A checkpoint with a head writes `bert.encoder...` where its base writes `encoder...`: of all ways of leaving such a
    first part out, the one that pairs most numbers is taken. What is left is paired where the bytes are the same.
    """
    readable = [{n: t for n, t in side.items() if t.dtype in KINDS and t.size} for side in (ours, theirs)]
    ways = (
        _by_name(_without(readable[0], first), _without(readable[1], second))
        for first, second in product(*map(_first_parts, readable))
    )
    named = max(ways, key=lambda pairs: sum(pair.size for pair in pairs))
    return [*named, *_by_content(readable, named)]


def _by_content(sides: list[dict[str, Tensor]], named: list[Pair]) -> Iterator[Pair]:
    """Tensors without a partner of their name that are some tensor of theirs, byte by byte: a copy with other names."""
    taken = {id(tensor) for pair in named for tensor in (pair.ours, pair.theirs)}
    ours, theirs = ([t for t in side.values() if id(t) not in taken and t.size >= FEWEST] for side in sides)
    shapes = {(tensor.dtype, tensor.shape) for tensor in ours}
    known = {hash_tensor(tensor): tensor for tensor in theirs if (tensor.dtype, tensor.shape) in shapes}
    for tensor in ours if known else ():
        if (other := known.get(hash_tensor(tensor))) is not None:
            yield Pair(tensor.name, tensor, other)


def _by_name(ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor]) -> list[Pair]:
    return [
        Pair(name, tensor, other)
        for name, tensor in ours.items()
        if (other := theirs.get(name)) is not None and other.shape == tensor.shape
    ]


def _first_parts(side: Mapping[str, Tensor]) -> list[str]:
    """Nothing, and the first parts of names that most tensors share."""
    shared = Counter(name.split(".")[0] + "." for name in side if name.count(".") > 1)
    return ["", *(first for first, _ in shared.most_common(3))]


def _without(side: Mapping[str, Tensor], first: str) -> dict[str, Tensor]:
    named = {}
    for name, tensor in side.items():
        plain = name.removeprefix(first)
        ending = next((ending for ending in OLD_NAMES if plain.endswith(ending)), "")
        named[plain.removesuffix(ending) + OLD_NAMES.get(ending, "")] = tensor
    return named


def layer_of(name: str) -> str:
    """The part of a model that a tensor belongs to: "layer 3", "encoder layer 3", "embeddings", "above the layers"."""
    found = re.search(r"\.?(?:^|\.)(\d{1,4})\.", name)
    if found:
        side = next((side + " " for side in ("encoder", "decoder") if re.search(rf"(^|\.){side}\.", name)), "")
        both = side if "decoder" in name or "encoder.block" in name or "encoder.layers" in name else ""
        return f"{both}layer {int(found[1]) + 1}"
    return "embeddings" if re.search(r"embed|wte|wpe|shared|tokens", name) else "above the layers"


def blocks(pair: Pair) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Both tensors' numbers, at most BLOCK at a time, as float32 (float64 where they are)."""
    sides = [_mapped(pair.ours), _mapped(pair.theirs)]
    for start in range(0, pair.size, BLOCK):
        yield numbers(sides[0][start : start + BLOCK], pair.ours), numbers(sides[1][start : start + BLOCK], pair.theirs)


def reader(tensor: Tensor) -> Callable[[np.ndarray], np.ndarray]:
    """What gives the numbers at some places, counted row by row: (places,) -> (places,) floats.

    A tensor of one block is read once; of a larger one, only what is asked for.
    """
    mapped = _mapped(tensor)
    if tensor.size > BLOCK:
        return lambda places: numbers(mapped[places], tensor)
    whole = numbers(np.asarray(mapped), tensor)
    return lambda places: whole[places]


def numbers(raw: np.ndarray, tensor: Tensor) -> np.ndarray:
    """Numbers as they lie in a file, as floats that can be reckoned with."""
    if tensor.dtype == "BF16":
        return (raw.astype(np.uint32) << 16).view(np.float32)
    return raw.astype(np.float64 if tensor.dtype == "F64" else np.float32)


def coarser(pair: Pair) -> str:
    """Of two types, the one that keeps fewer digits."""
    return min((pair.ours.dtype, pair.theirs.dtype), key=lambda t: FINENESS.index(t) if t in FINENESS else -1)


def rounded(values: np.ndarray, dtype: str) -> np.ndarray:
    """Floats as a type of fewer digits would keep them, ties to even; floats again."""
    if dtype == "BF16":
        bits = values.astype(np.float32).view(np.uint32)
        return ((bits + 0x7FFF + ((bits >> 16) & 1)) & np.uint32(0xFFFF0000)).view(np.float32)
    return values.astype(KINDS[dtype]).astype(np.float32) if dtype in ("F16", "F32") else values


def _mapped(tensor: Tensor) -> np.ndarray:
    """(size,) the tensor's numbers as they lie on the disk; nothing is read before it is asked for."""
    assert BITS[tensor.dtype] >= 8  # noqa: S101 - KINDS holds whole bytes alone
    return np.memmap(tensor.file, dtype=np.dtype(KINDS[tensor.dtype]), mode="r", offset=tensor.start, shape=tensor.size)
