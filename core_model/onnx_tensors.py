"""The numbers of an ONNX graph, by what its file says of them: names, kinds, shapes, and the files beside it.

Tensors stand in the graph, in branches and functions inside it, and as constants of nodes. Large ones may lie in files
beside it ("external data"); these must lie in the graph's own folder and be as long as the graph says.

Source: ONNX's intermediate representation, https://onnx.ai/onnx/repo-docs/IR.html, and its page on external data.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from core_model.checkpoint_files import checked
from core_model.checkpoint_weights import AGAIN, BITS, Tensor
from core_model.errors import CheckpointDamaged, CheckpointUnsafe

KINDS = {
    1: "F32", 2: "U8", 3: "I8", 4: "U16", 5: "I16", 6: "I32", 7: "I64", 9: "BOOL", 10: "F16", 11: "F64", 12: "U32",
    13: "U64", 16: "BF16", 17: "F8_E4M3", 18: "F8_E4M3FNUZ", 19: "F8_E5M2", 20: "F8_E5M2FNUZ", 21: "U4", 22: "I4",
}  # fmt: skip
ALL_BITS = BITS | {"U4": 4, "I4": 4}
ROUNDED = ("I8", "U8", "I4", "U4")
SIDES_OF_ROUNDING = ("_scale", "_zero_point")  # as ONNX Runtime's own quantization calls them


def graphs_of(model: Any) -> Iterator[Any]:
    """The graph of a ModelProto, its functions, and the branches inside nodes."""
    waiting = [model.graph, *model.functions]
    while waiting:
        graph = waiting.pop()
        yield graph
        for node in graph.node:
            for attribute in node.attribute:
                waiting += [attribute.g] if attribute.HasField("g") else []
                waiting += attribute.graphs


def tensors_of(model: Any) -> Iterator[Any]:
    """Every TensorProto, constants of nodes and the parts of sparse tensors among them."""
    for graph in graphs_of(model):
        sparse = list(getattr(graph, "sparse_initializer", ()))  # functions have no tensors of their own
        yield from getattr(graph, "initializer", ())
        for attribute in (attribute for node in graph.node for attribute in node.attribute):
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
            sparse += [attribute.sparse_tensor] if attribute.HasField("sparse_tensor") else []
            sparse += attribute.sparse_tensors
        for one in sparse:
            yield from (one.values, one.indices)


def check_tensors(model: Any, path: Path) -> list[str]:
    """Hold every tensor against the bytes that there are.

    Args:
        model: a ModelProto, read without its external data. path: its file.
    Returns: names of the files beside it that hold external data, ascending.
    Raises: CheckpointUnsafe when such a file lies outside the folder; CheckpointDamaged when one is missing or too
        short, or a tensor has another number of bytes than its shape.
    """
    files: set[str] = set()
    for tensor in tensors_of(model):
        if any(length < 0 for length in tensor.dims):
            raise CheckpointDamaged(f"{path}: tensor {tensor.name!r} has a length below 0", mend=AGAIN)
        bits = ALL_BITS.get(KINDS.get(tensor.data_type, ""))
        size = None if bits is None else -(-math.prod(tensor.dims) * bits // 8)
        if tensor.data_location == 1:  # EXTERNAL
            files.add(_external(tensor, size, path))
        elif tensor.raw_data and size is not None and len(tensor.raw_data) != size:
            raise CheckpointDamaged(
                f"{path}: tensor {tensor.name!r} of shape {tuple(tensor.dims)} has {len(tensor.raw_data):,} bytes "
                f"instead of {size:,}",
                mend=AGAIN,
            )
    return sorted(files)


def _external(tensor: Any, size: int | None, path: Path) -> str:
    """The name of the file that holds this tensor's bytes, all of them."""
    said = {entry.key: entry.value for entry in tensor.external_data}
    name = said.get("location", "")
    place = PurePosixPath(name)
    if not name or place.is_absolute() or ".." in place.parts or "\\" in name or ":" in name:
        raise CheckpointUnsafe(
            f"{path}: tensor {tensor.name!r} lies in {name!r}, which is outside the graph's folder",
            mend="put the file beside the graph and write it again: onnx.save(model, FILE, save_as_external_data=True)",
        )
    file = checked(path.parent, name)
    if file is None:
        raise CheckpointDamaged(f"{path.parent} lacks {name}, in which {path.name} keeps its numbers", mend=AGAIN)
    offset, length = (_count(said.get(key), key, tensor, path) for key in ("offset", "length"))
    wanted = length or size or 0
    if size is not None and length not in (0, size):
        raise CheckpointDamaged(
            f"{path}: tensor {tensor.name!r} of shape {tuple(tensor.dims)} has {length:,} bytes in {name} instead of "
            f"{size:,}",
            mend=AGAIN,
        )
    if (has := file.stat().st_size) < offset + wanted:
        raise CheckpointDamaged(
            f"{file} is truncated: {path.name} promises {offset + wanted:,} bytes, there are {has:,}",
            mend=AGAIN,
            offset=has,
        )
    return name


def _count(said: str | None, key: str, tensor: Any, path: Path) -> int:
    if said is None:
        return 0
    if not said.isdecimal():
        raise CheckpointDamaged(f"{path}: tensor {tensor.name!r} has the {key} {said[:40]!r}, no count", mend=AGAIN)
    return int(said)


def initializers(model: Any, path: Path) -> dict[str, Tensor]:
    """The graph's own tensors by name; a rounded table is called what it was called before it was rounded."""
    found = {}
    for tensor in model.graph.initializer:
        name = tensor.name.removesuffix("_quantized")
        kind = KINDS.get(tensor.data_type, "unknown")
        found[name] = Tensor(name, kind, tuple(tensor.dims), path, 0, 0)
    return found


def count_parameters(tensors: Iterable[Tensor]) -> int:
    """How many trained numbers a graph holds: floats and rounded tables; scalars and what rounding adds left out."""
    return sum(
        tensor.size
        for tensor in tensors
        if tensor.shape
        and not tensor.name.endswith(SIDES_OF_ROUNDING)
        and (tensor.dtype.startswith(("F", "BF")) or tensor.dtype in ROUNDED)
    )
