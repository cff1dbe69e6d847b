"""Safetensors files, verified before anything loads them: the header says what must be there, byte for byte.

Format: 8 bytes little-endian header length N, N bytes of JSON (name -> dtype, shape, data_offsets), then the data
without holes. Source: the safetensors format, https://github.com/huggingface/safetensors#format.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from core_model.checkpoint_files import checked, read_json
from core_model.errors import CheckpointDamaged, CheckpointUnsafe

LARGEST_HEADER = 100_000_000  # bytes; the limit of the format's own reader
BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "U16": 16, "I16": 16, "U32": 32, "I32": 32, "U64": 64, "I64": 64, "F4": 4,
    "F6_E2M3": 6, "F6_E3M2": 6, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E5M2FNUZ": 8, "F8_E4M3FNUZ": 8, "F8_E8M0": 8,
    "F16": 16, "BF16": 16, "F32": 32, "F64": 64, "C64": 64,
}  # fmt: skip
AGAIN = "fetch or copy the checkpoint again"


@dataclass(frozen=True)
class Tensor:
    """One tensor of the weights, by its header entry; `start` and `end` are bytes in `file`."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    file: Path
    start: int
    end: int

    @property
    def size(self) -> int:
        """How many numbers it holds."""
        return math.prod(self.shape)


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """The tensors of one file, by name.

    Raises: CheckpointDamaged when it is truncated, overlong, or its header is not sound.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(8)
        length = int.from_bytes(head, "little")
        if len(head) < 8 or not 2 <= length <= LARGEST_HEADER:
            raise CheckpointDamaged(
                f"{path} is no safetensors file: it does not begin with a header length", mend=AGAIN, offset=0
            )
        if 8 + length > size:
            raise CheckpointDamaged(
                f"{path} is truncated: its header alone needs {8 + length:,} bytes, there are {size:,}",
                mend=AGAIN,
                offset=size,
            )
        raw = file.read(length)
    try:
        header = json.loads(raw.decode("utf-8"), object_pairs_hook=_named_once)
        entries = {name: entry for name, entry in header.items() if name != "__metadata__"}
        tensors = {name: _tensor(path, name, entry, 8 + length) for name, entry in entries.items()}
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointDamaged(f"{path}: its header is not sound ({error})", mend=AGAIN, offset=8) from None
    at = 8 + length
    for tensor in sorted(tensors.values(), key=lambda tensor: (tensor.start, tensor.end)):
        if tensor.start != at:
            what = "overlaps another" if tensor.start < at else "leaves a hole before it"
            found = f"{path}: tensor {tensor.name!r} {what} at byte {tensor.start:,}"
            raise CheckpointDamaged(found, mend=AGAIN, offset=tensor.start)
        at = tensor.end
    if at != size:
        what = "is truncated" if size < at else "holds bytes that its header does not know"
        found = f"{path} {what}: the header promises {at:,} bytes, there are {size:,}"
        raise CheckpointDamaged(found, mend=AGAIN, offset=min(at, size))
    return tensors


def _named_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object; of two values under one name, readers disagree which one counts."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in found if names.count(name) > 1)
        raise ValueError(f"the name {twice[:80]!r} stands there twice")
    return found


def _tensor(path: Path, name: str, entry: Any, data: int) -> Tensor:
    shape = tuple(entry["shape"])
    start, end = entry["data_offsets"]
    if not all(type(number) is int and number >= 0 for number in (*shape, start, end)):
        raise ValueError(f"tensor {name!r} has a shape or offset that is no count")
    if entry["dtype"] not in BITS:
        raise ValueError(f"tensor {name!r} has the unknown dtype {entry['dtype']!r}")
    if (end - start) * 8 != math.prod(shape) * BITS[entry["dtype"]]:
        raise ValueError(f"tensor {name!r} of shape {shape} and dtype {entry['dtype']} spans {end - start:,} bytes")
    return Tensor(name, entry["dtype"], shape, path, data + start, data + end)


def read_weights(folder: Path) -> tuple[dict[str, Tensor], list[str]]:
    """All tensors of a checkpoint, and the names of the files that hold them; none where there are no safetensors.

    Raises: CheckpointDamaged when a shard is missing or differs from the index; CheckpointUnsafe when the index points
        out of the folder.
    """
    single = checked(folder, "model.safetensors")
    if single is not None:
        return read_safetensors(single), [single.name]
    index = checked(folder, "model.safetensors.index.json")
    if index is None:
        return {}, []
    shards = read_json(index).get("weight_map")
    if not isinstance(shards, dict) or not shards or not all(isinstance(file, str) for file in shards.values()):
        raise CheckpointDamaged(f"{index} has no weight_map of names and files", mend=AGAIN)
    files = sorted(set(shards.values()))
    tensors: dict[str, Tensor] = {}
    for name in files:
        if PurePosixPath(name).name != name or "\\" in name or not name.endswith(".safetensors"):
            raise CheckpointUnsafe(f"{index} names {name!r}, which is no safetensors file beside it", mend=AGAIN)
        shard = checked(folder, name)
        if shard is None:
            raise CheckpointDamaged(f"{folder} lacks the shard {name} that {index.name} names", mend=AGAIN)
        tensors |= read_safetensors(shard)
    odd = sorted(key for key in {*shards, *tensors} if key not in tensors or tensors[key].file.name != shards.get(key))
    if odd:
        raise CheckpointDamaged(f"{index}: tensor {odd[0]!r} is not in the shard that the index names", mend=AGAIN)
    return tensors, [index.name, *files]


def count_parameters(tensors: Iterable[Tensor]) -> int:
    """How many trained numbers there are: floats or int8, no buffers, and a matrix that is stored twice counted once.

    Stored twice are tied matrices (input and output embeddings): two-dimensional, equal in shape and in every byte.
    """
    trained = [tensor for tensor in tensors if tensor.dtype.startswith(("F", "BF", "I8")) and not _is_buffer(tensor)]
    shapes = Counter((tensor.dtype, tensor.shape) for tensor in trained if _may_be_tied(tensor))
    seen: set[str] = set()
    total = 0
    for tensor in trained:
        if _may_be_tied(tensor) and shapes[tensor.dtype, tensor.shape] > 1:
            content = hash_tensor(tensor)
            if content in seen:
                continue
            seen.add(content)
        total += tensor.size
    return total


def _is_buffer(tensor: Tensor) -> bool:
    """What is saved beside the weights: BART's zero bias, GPT-2's mask, statistics, frequencies, scales of int8."""
    mask = tensor.name.endswith("attn.bias") and len(tensor.shape) == 4
    return mask or tensor.name.endswith(
        ("final_logits_bias", "running_mean", "running_var", "inv_freq", "masked_bias", ".weight_scale")
    )


def _may_be_tied(tensor: Tensor) -> bool:
    words = ("embed", "lm_head", "shared", "wte", "decoder.weight")
    return len(tensor.shape) == 2 and any(word in tensor.name for word in words)


def hash_tensor(tensor: Tensor) -> str:
    """The sha256 of a tensor's bytes, type and shape, read a megabyte at a time."""
    digest = hashlib.sha256(f"{tensor.dtype}{tensor.shape}".encode())
    with tensor.file.open("rb") as file:
        file.seek(tensor.start)
        left = tensor.end - tensor.start
        while left:
            block = file.read(min(left, 1 << 20))
            digest.update(block)
            left -= len(block)
    return digest.hexdigest()


def main_dtype(tensors: Mapping[str, Tensor]) -> str | None:
    """The dtype that most of the numbers have."""
    sizes: Counter[str] = Counter()
    for tensor in tensors.values():
        sizes[tensor.dtype] += tensor.size
    return sizes.most_common(1)[0][0] if sizes else None
