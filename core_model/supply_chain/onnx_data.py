"""The numbers of an ONNX graph: tensors that lie about their size, and external data that lie elsewhere.

A tensor's bytes may stand in another file ("external data"), which the graph names by path, offset and length; a reader
that checks less than it should reads any file, or beyond one. ONNX Runtime marks tensors that are in memory by a path
of its own, and takes the offset for an address; in a file, that is an attack on its memory.
Source: https://onnx.ai/onnx/repo-docs/ExternalData.html; CVE-2022-25882, CVE-2024-27318 (paths out of the folder).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from core_model.onnx_tensors import ALL_BITS, KINDS
from core_model.supply_chain import onnx_schema as onnx
from core_model.supply_chain.archives import outside
from core_model.supply_chain.content import LARGEST, Item
from core_model.supply_chain.folder import stays_inside
from core_model.supply_chain.issues import Issue, Kind, Level, quoted
from core_model.supply_chain.protobuf import BYTES, VARINT, Field, Message, Tree, Wire

MOST_LENGTHS = 64  # of a shape; readers allow fewer
EXTERNAL, MEMORY = 1, re.compile(r"_MEM_ADDR_")
ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
AGAIN = "fetch the file again, and compare its hash with the publisher's"
BESIDE = "put the data beside the graph and write it again: onnx.save(model, FILE, save_as_external_data=True)"
BEYOND = "readers that check less read beyond the file, or memory that is not the tensor's"
HIGH = bytes(range(0x80, 0x100))
BYTES_EACH = {onnx.FLOATS: 4, onnx.DOUBLES: 8}  # of typed lists; others are numbers of 7 bits a byte


@dataclass(frozen=True)
class Stretch:
    """Bytes of a file of external data that a tensor claims; `at`: the byte of the graph that names the file."""

    file: str
    start: int
    end: int
    tensor: str
    at: int


def scan_tensors(item: Item, wire: Wire, tree: Tree) -> Iterator[Issue]:
    """Issues of every tensor: initializers, constants of nodes, parts of sparse ones."""
    claimed: list[Stretch] = []
    for tensor in (one for one in tree.by_kind[onnx.TENSOR] if one.whole):
        name = quoted(wire.text(tensor, onnx.TENSOR_NAME))
        count = _elements(wire, tensor)
        place = tensor.leaves[onnx.LOCATION]
        outer = bool(tensor.messages[onnx.EXTERNAL_DATA]) or bool(place and place[-1].value == EXTERNAL)
        if isinstance(count, str):
            yield _lies(item, tensor.start, f"tensor {name} has {count}")
        elif outer:
            yield from _external(item, wire, tensor, name, _size(tensor, count), claimed)
        elif (said := _held(wire, tensor, count)) is not None:
            yield _lies(item, said[0], f"tensor {name} of {count:,} numbers {said[1]}")
    yield from _overlaps(item, claimed)


def _lies(item: Item, at: int, what: str, level: Level = Level.HIGH, why: str = BEYOND, mend: str = AGAIN) -> Issue:
    return Issue(Kind.WEIGHTS, level, item.name, at, what, why, mend)


def _elements(wire: Wire, tensor: Message) -> int | str:
    """How many numbers its shape promises, or what is wrong with the shape."""
    lengths: list[int] = []
    for one in tensor.leaves[onnx.DIMS]:
        lengths += [one.signed] if one.wire == VARINT else _packed(wire, one)
    if len(lengths) > MOST_LENGTHS:
        return f"{len(lengths):,} lengths"
    return "a length below 0" if any(length < 0 for length in lengths) else math.prod(lengths)


def _packed(wire: Wire, field: Field) -> list[int]:
    found, value, shift = [], 0, 0
    for byte in wire.content(field, 4096):
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            found.append(value - 2**64 if value >= 2**63 else value)
            value = shift = 0
    return found


def _size(tensor: Message, count: int) -> int | None:
    """Bytes of so many numbers; None for texts, and kinds that are not known."""
    kind = tensor.leaves[onnx.DATA_TYPE]
    bits = ALL_BITS.get(KINDS.get(kind[-1].value, "")) if kind else None
    return None if bits is None else -(-count * bits // 8)


def _held(wire: Wire, tensor: Message, count: int) -> tuple[int, str] | None:
    """(byte, what is wrong) when the tensor does not hold what its shape promises."""
    size, raw = _size(tensor, count), tensor.leaves[onnx.RAW]
    if raw:
        has = raw[-1].end - raw[-1].start
        return None if size is None or has == size else (raw[-1].start, f"has {has:,} bytes instead of {size:,}")
    for number in (onnx.FLOATS, onnx.INTS32, onnx.STRINGS, onnx.INTS64, onnx.DOUBLES, onnx.UINTS64):
        fields = tensor.leaves[number]
        if fields:
            has = sum(_listed(wire, number, one) for one in fields)
            kind = KINDS.get(tensor.leaves[onnx.DATA_TYPE][-1].value, "") if tensor.leaves[onnx.DATA_TYPE] else ""
            fits = {count, -(-count // 2)} if ALL_BITS.get(kind, 8) < 8 else {count}  # two to a number
            return None if has in fits else (fields[0].start, f"holds {has:,}")
    return (tensor.start, "holds none") if count else None


def _listed(wire: Wire, number: int, field: Field) -> int:
    """How many values one field of a list brings: one, or a packed row of them."""
    if number == onnx.STRINGS or field.wire != BYTES:
        return 1
    if number in BYTES_EACH:
        return (field.end - field.start) // BYTES_EACH[number]
    last, at = 0, field.start
    while at < field.end:  # a number's last byte is below 128
        block = wire.item.read(min(LARGEST, field.end - at), at=at)
        if not block:
            break
        last += len(block.translate(None, HIGH))
        at += len(block)
    return last


def _external(
    item: Item, wire: Wire, tensor: Message, name: str, size: int | None, claimed: list[Stretch]
) -> Iterator[Issue]:
    """Issues of a tensor whose bytes stand in another file; what it claims of it is added to `claimed`."""
    said = {wire.text(one, onnx.KEY): one for one in tensor.messages[onnx.EXTERNAL_DATA]}
    entry = said.get("location")
    file = wire.text(entry, onnx.VALUE_TEXT) if entry is not None else ""
    at = entry.leaves[onnx.VALUE_TEXT][-1].start if entry is not None and file else tensor.start
    if MEMORY.search(file):
        yield _lies(
            item, at, f"tensor {name} names an address of the reader's memory ({quoted(file)})",
            why="ONNX Runtime that believes it takes memory of its own process for the tensor",
        )  # fmt: skip
        return
    if (problem := _outside(file)) is not None:
        yield _lies(
            item, at, f"tensor {name} lies in {quoted(file)}, which {problem}",
            why="whoever opens the graph reads a file of this machine, and its outputs may tell what stands there",
            mend=BESIDE,
        )  # fmt: skip
        return
    numbers = {key: wire.text(said[key], onnx.VALUE_TEXT) for key in ("offset", "length") if key in said}
    wrong = next((key for key, value in numbers.items() if not (value.isdecimal() and value.isascii())), None)
    if wrong is not None:
        yield _lies(item, at, f"tensor {name} has the {wrong} {quoted(numbers[wrong])}, which is no count")
        return
    start, length = int(numbers.get("offset", "0")[:20]), int(numbers.get("length", "0")[:20])
    if size is not None and length not in (0, size):
        yield _lies(item, at, f"tensor {name} takes {length:,} bytes of {quoted(file)} instead of {size:,}")
    stretch = Stretch(file, start, start + (length or size or 0), name, at)
    claimed.append(stretch)
    if item.path is not None and item.root is not None:
        yield from _on_disk(item, item.path.parent / file, item.root, stretch)


def _outside(file: str) -> str | None:
    if not file or "\0" in file:
        return "is no file's name"
    return "is an address" if ADDRESS.match(file) else outside(file)


def _on_disk(item: Item, path: Path, root: Path, stretch: Stretch) -> Iterator[Issue]:
    """Hold what a tensor claims against the file that there is."""
    said = f"tensor {stretch.tensor} lies in {quoted(stretch.file)}"
    try:
        real = path.resolve(strict=True)
    except (OSError, RuntimeError, ValueError):
        yield _lies(
            item, stretch.at, f"{said}, which is not there", Level.MEDIUM,
            "what it will open is decided by whoever makes that file", AGAIN,
        )  # fmt: skip
        return
    if not stays_inside(root, real):
        yield _lies(
            item, stretch.at, f"{said}, which is a link out of the folder",
            why="whoever opens the graph reads a file of this machine, and its outputs may tell what stands there",
            mend=BESIDE,
        )  # fmt: skip
    elif not real.is_file():
        yield _lies(
            item, stretch.at, f"{said}, which is no file", why="whoever opens it may wait for ever", mend=BESIDE
        )
    elif (has := real.stat().st_size) < stretch.end:
        yield _lies(item, stretch.at, f"{said} up to byte {stretch.end:,}, and there are {has:,}")


def _overlaps(item: Item, claimed: list[Stretch]) -> Iterator[Issue]:
    """Tensors that share some bytes and not all: two that are the same share all of them."""
    order = sorted(claimed, key=lambda one: (one.file, one.start, one.end))
    for first, second in pairwise(order):
        same = (first.start, first.end) == (second.start, second.end)
        if first.file == second.file and second.start < first.end and not same:
            yield _lies(
                item, second.at,
                f"tensor {second.tensor} overlaps tensor {first.tensor} in {quoted(second.file)} at byte "
                f"{second.start:,}",
                why="one of the two is not what it says that it is",
            )  # fmt: skip
