"""Faults to plant. The pickles are written opcode by opcode, would only write a file, and are never loaded."""

from __future__ import annotations

import io
import json
import struct
import tarfile
import zipfile
from pathlib import Path

from core_model.supply_chain import Issue, scan_folder

MARK = "/nonexistent-folder/ran"
COMMAND = f"touch {MARK}".encode()
SYSTEM = b"cposix\nsystem\n(S'" + COMMAND + b"'\ntR."  # protocol 0: no sign of its own
EVAL = b"cbuiltins\neval\n(S'1'\ntR."
IMPORT = b"cimportlib\nimport_module\n(S'os'\ntR."
METHOD = b"coperator\nmethodcaller\n(S'x'\ntR."


def _text(value: bytes) -> bytes:
    return b"\x8c" + bytes([len(value)]) + value


STACKED = b"\x80\x04" + _text(b"posix") + _text(b"system") + b"\x93" + _text(COMMAND) + b"\x85R."
MEMOIZED = (  # the name is fetched from the memo, after a decoy on the stack
    b"\x80\x04" + _text(b"posix") + b"\x940" + _text(b"system") + b"\x940h\x00h\x01\x93" + _text(COMMAND) + b"\x85R."
)
BROKEN = SYSTEM[:-1] + b"\xff\xff"  # runs, and then fails
PLAIN = b"\x80\x04}" + _text(b"a") + b"K\x01s."  # {"a": 1}
ORDERED = b"\x80\x02ccollections\nOrderedDict\nq\x00)Rq\x01."
UNKNOWN = b"\x80\x02csome_package.some_module\nThing\n)R."
EVIL = {
    "system": SYSTEM, "eval": EVAL, "import": IMPORT, "method": METHOD, "stacked": STACKED, "memoized": MEMOIZED,
    "broken": BROKEN,
}  # fmt: skip


def issues_of(folder: Path, kind: str | None = None) -> list[Issue]:
    """What the scan of a folder finds, of one kind."""
    return [issue for issue in scan_folder(folder).issues if kind in (None, issue.kind)]


def zipped(**members: bytes) -> bytes:
    """A zip archive, stored, as torch writes them; `__` stands for a slash."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for name, data in members.items():
            archive.writestr(name.replace("__", "/"), data)
    return target.getvalue()


def tarred(*members: tuple[tarfile.TarInfo, bytes], mode: str = "w:") -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode=mode) as archive:
        for member, data in members:
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return target.getvalue()


def safetensors(header: dict | bytes, data: bytes) -> bytes:
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(raw)) + raw + data
