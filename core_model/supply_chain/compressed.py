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
    """What is in a compressed stream, and an issue where it grows as only bombs do, or cannot be read to its end."""
    data, read, problem = _inflate(item, content)
    if content is Content.ZLIB and not data:
        return  # two bytes are a weak sign: much else begins with them
    if problem is not None:
        bomb = len(data) >= LARGEST and len(data) > BOMB_RATIO * read
        yield Issue(
            Kind.ARCHIVE if bomb else Kind.NOT_LOOKED_INTO,
            Level.HIGH if bomb else Level.MEDIUM,
            item.name,
            read,
            f"{content}: its first {read:,} bytes unpack to {len(data):,}, and {problem}",
            "unpacking it fills the disk or the memory" if bomb else "what is in the rest is not known",
            remove(item.name),
        )
    yield Item(f"{item.name}!unpacked", io.BytesIO(data), len(data), item.depth + 1)


def _machine(content: Content) -> Any:
    if content is Content.BZIP2:
        return bz2.BZ2Decompressor()
    if content is Content.XZ:
        return lzma.LZMADecompressor(memlimit=LARGEST_DICTIONARY)
    return zlib.decompressobj(47)  # 32 + 15: gzip or zlib, by its own header


def _inflate(item: Item, content: Content) -> tuple[bytes, int, str | None]:
    """(unpacked bytes, compressed bytes read, why that is not all); streams one after the other are all unpacked."""
    parts: list[bytes] = []
    size = read = 0
    machine, block = _machine(content), b""
    item.stream.seek(0)
    while size <= LARGEST:
        if not block:
            block = item.stream.read(BLOCK)
            read += len(block)
            if not block:
                return b"".join(parts), read, None if machine.eof else "it ends in the middle"
        if machine.eof:
            machine = _machine(content)
        try:
            parts.append(machine.decompress(block, LARGEST + 1 - size))
        except (zlib.error, lzma.LZMAError, OSError, ValueError, EOFError, MemoryError) as error:
            return b"".join(parts), read, f"the rest cannot be unpacked ({type(error).__name__})"
        size += len(parts[-1])
        block = machine.unused_data if machine.eof else b""
    return b"".join(parts)[:LARGEST], read, "there is more"
