"""One compressed stream (gzip, bzip2, xz, zlib, as joblib writes them), unpacked in memory up to a fixed size."""

from __future__ import annotations

import bz2
import io
import lzma
import zlib
from collections.abc import Iterator
from typing import Any

from core_model.supply_chain.archives import BOMB_RATIO
from core_model.supply_chain.content import LARGEST, Content, Item
from core_model.supply_chain.issues import Issue, Kind, Level, remove

BLOCK = 64 * 1024
LARGEST_DICTIONARY = 256 * 2**20  # bytes that an xz file may make its reader allocate


def unpack(item: Item, content: Content) -> Iterator[Issue | Item]:
    """What is in a compressed stream, and an issue where it grows as only bombs do."""
    try:
        data, read, whole = _inflate(item, _machine(content))
    except (zlib.error, lzma.LZMAError, OSError, ValueError, EOFError, MemoryError) as error:
        if content is not Content.ZLIB:  # two bytes are a weak sign: much else begins with them
            yield Issue(
                Kind.NOT_LOOKED_INTO, Level.MEDIUM, item.name, 0, f"{content} that cannot be unpacked "
                f"({type(error).__name__})", "what is in it is not known", remove(item.name),
            )  # fmt: skip
        return
    if not whole:
        bomb = len(data) > BOMB_RATIO * read
        yield Issue(
            Kind.ARCHIVE if bomb else Kind.NOT_LOOKED_INTO, Level.HIGH if bomb else Level.MEDIUM, item.name, read,
            f"its first {read:,} bytes unpack to {len(data):,}, and there is more",
            "unpacking it fills the disk or the memory" if bomb else "the rest was not looked at", remove(item.name),
        )  # fmt: skip
    yield Item(f"{item.name}!unpacked", io.BytesIO(data), len(data), item.depth + 1)


def _machine(content: Content) -> Any:
    if content is Content.BZIP2:
        return bz2.BZ2Decompressor()
    if content is Content.XZ:
        return lzma.LZMADecompressor(memlimit=LARGEST_DICTIONARY)
    return zlib.decompressobj(47)  # 32 + 15: gzip or zlib, by its own header


def _inflate(item: Item, machine: Any) -> tuple[bytes, int, bool]:
    """(unpacked bytes, compressed bytes read, whether that is all)."""
    parts: list[bytes] = []
    size = read = 0
    item.stream.seek(0)
    while not machine.eof and (block := item.stream.read(BLOCK)):
        read += len(block)
        if isinstance(machine, bz2.BZ2Decompressor | lzma.LZMADecompressor):
            parts.append(machine.decompress(block, LARGEST + 1 - size))
        else:
            parts.append(machine.decompress(machine.unconsumed_tail + block, LARGEST + 1 - size))
        size += len(parts[-1])
        if size > LARGEST:
            return b"".join(parts)[:LARGEST], read, False
    return b"".join(parts), read, True
