"""What a file is, told by its first bytes and not by its name."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from io import SEEK_SET
from pathlib import Path
from typing import BinaryIO

HEAD = 512  # bytes; a tar archive says that it is one at byte 257
LARGEST = 64 * 2**20  # bytes of one pickle, text or unpacked member that are looked at


class Content(StrEnum):
    """Kinds that are told apart here."""

    ZIP = "zip"
    TAR = "tar"
    GZIP = "gzip"
    BZIP2 = "bzip2"
    XZ = "xz"
    ZLIB = "zlib"
    SEALED = "an archive of a kind that is not looked into (7z, rar, zstd, lz4)"
    NUMPY = "numpy"
    PICKLE = "pickle"
    GGUF = "gguf"
    ELF = "a Linux program or library (ELF)"
    PE = "a Windows program or library (PE)"
    MACH_O = "a macOS program or library (Mach-O)"
    WASM = "a WebAssembly program"
    BYTECODE = "a Java or Dalvik program"
    SCRIPT = "a script (#!)"
    OTHER = "other"


MAGIC = {
    b"PK\x03\x04": Content.ZIP, b"PK\x05\x06": Content.ZIP, b"\x1f\x8b": Content.GZIP, b"BZh": Content.BZIP2,
    b"\xfd7zXZ\x00": Content.XZ, b"7z\xbc\xaf\x27\x1c": Content.SEALED, b"Rar!\x1a\x07": Content.SEALED,
    b"\x28\xb5\x2f\xfd": Content.SEALED, b"\x04\x22\x4d\x18": Content.SEALED, b"\x93NUMPY": Content.NUMPY,
    b"GGUF": Content.GGUF, b"\x7fELF": Content.ELF, b"\xfe\xed\xfa\xce": Content.MACH_O,
    b"\xfe\xed\xfa\xcf": Content.MACH_O, b"\xce\xfa\xed\xfe": Content.MACH_O, b"\xcf\xfa\xed\xfe": Content.MACH_O,
    b"\x00asm": Content.WASM, b"\xca\xfe\xba\xbe": Content.BYTECODE, b"dex\n": Content.BYTECODE,
    b"#!": Content.SCRIPT,
}  # fmt: skip
PROGRAMS = frozenset({
    Content.ELF, Content.PE, Content.MACH_O, Content.WASM, Content.BYTECODE, Content.SCRIPT,
})  # fmt: skip
PROTOCOLS = tuple(bytes([0x80, version]) for version in range(1, 6))  # how pickles since protocol 2 begin


@dataclass
class Item:
    """Bytes to look at: a file, or what was unpacked from one.

    Attributes:
        name: path from the folder, `!member` for what is inside an archive.
        stream: can be read and sought; size: bytes.
        depth: how many archives it stands in.
        path, root: where a file lies, and the folder that is looked at; None for what stands in an archive.
    """

    name: str
    stream: BinaryIO
    size: int
    depth: int = 0
    path: Path | None = None
    root: Path | None = None

    def read(self, count: int = LARGEST, *, at: int = 0) -> bytes:
        """At most `count` bytes from byte `at` on; none where a file that lies points to before or behind all files."""
        if not 0 <= at < 2**63:
            return b""
        self.stream.seek(at, SEEK_SET)
        return self.stream.read(count)


def content_of(item: Item) -> Content:
    """What an item is by its first bytes. Pickles of protocol 0 and 1 have no sign of their own: they are OTHER."""
    head = item.read(HEAD)
    for magic, content in MAGIC.items():
        if head.startswith(magic):
            return content
    if head.startswith(PROTOCOLS):
        return Content.PICKLE
    if head[257:262] == b"ustar":
        return Content.TAR
    if head[:2] == b"MZ" and _is_pe(item, head):
        return Content.PE
    if len(head) > 2 and head[0] == 0x78 and int.from_bytes(head[:2], "big") % 31 == 0:
        return Content.ZLIB
    return Content.OTHER


def _is_pe(item: Item, head: bytes) -> bool:
    at = int.from_bytes(head[0x3C:0x40], "little")
    return 0 < at < item.size and item.read(4, at=at) == b"PE\x00\x00"
