"""GGUF files: the chat templates in their metadata, read without reading a tensor.

Format: "GGUF", version, counts of tensors and of keys; each key is a string, a type and a value. A file that lies about
its lengths ends the reading, and that is told.
Source: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from core_model.supply_chain.content import Item
from core_model.supply_chain.issues import Issue, Kind, Level
from core_model.supply_chain.templates import LONGEST_TEMPLATE, scan_template

SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}  # bytes of each plain type
STRING, ARRAY = 8, 9
TEMPLATE = b"tokenizer.chat_template"
MOST_KEYS = 100_000


def scan_gguf(item: Item) -> Iterator[Issue]:
    """Issues of the chat templates in a GGUF file."""
    try:
        for at, text in _templates(item):
            yield from scan_template(item.name, text.decode("utf-8", "replace"), offsets=[at])
    except (struct.error, ValueError, OverflowError, OSError) as error:
        yield Issue(
            Kind.WEIGHTS, Level.MEDIUM, item.name, item.stream.tell(), f"its GGUF metadata is not sound ({error})",
            "readers that check less read beyond the file", "fetch the file again",
        )  # fmt: skip


def _templates(item: Item) -> Iterator[tuple[int, bytes]]:
    """(byte, text) of each chat template."""
    item.stream.seek(4)
    version, _, keys = _plain(item, "<IQQ")
    if version not in (2, 3) or keys > MOST_KEYS:
        raise ValueError(f"version {version} with {keys:,} keys")
    found = []
    for _ in range(keys):
        key = _string(item)
        (kind,) = _plain(item, "<I")
        if kind == STRING and key.startswith(TEMPLATE):
            at = item.stream.tell() + 8
            found.append((at, _string(item)))
        else:
            _skip(item, kind)
    yield from found


def _plain(item: Item, form: str) -> tuple[int, ...]:
    return struct.unpack(form, item.stream.read(struct.calcsize(form)))


def _string(item: Item) -> bytes:
    (length,) = _plain(item, "<Q")
    if length > min(item.size - item.stream.tell(), 4 * LONGEST_TEMPLATE):
        raise ValueError(f"a text of {length:,} bytes")
    return item.stream.read(length)


def _skip(item: Item, kind: int) -> None:
    if kind == STRING:
        _string(item)
    elif kind == ARRAY:
        inner, count = _plain(item, "<IQ")
        if count > item.size or inner == ARRAY:
            raise ValueError(f"a list of {count:,} values of type {inner}")
        if inner == STRING:
            for _ in range(count):
                _string(item)
        else:
            _forward(item, count * _size(inner))
    else:
        _forward(item, _size(kind))


def _size(kind: int) -> int:
    if kind not in SIZES:
        raise ValueError(f"the unknown type {kind}")
    return SIZES[kind]


def _forward(item: Item, count: int) -> None:
    if item.stream.tell() + count > item.size:
        raise ValueError("values beyond the end of the file")
    item.stream.seek(count, 1)
