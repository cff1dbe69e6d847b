"""Promises about weights: a header that lies is told, with the byte where it does."""

from __future__ import annotations

import json
import struct

import pytest

from core_model.supply_chain import Level
from tests.core_model.supply_chain.planted import issues_of, safetensors


def tensor(start: int, end: int, *, shape: int = 2) -> dict:
    return {"dtype": "F32", "shape": [shape], "data_offsets": [start, end]}


def at(header: dict, byte: int) -> int:
    """Byte of the file at which a byte of the data stands."""
    return len(safetensors(header, b"")) + byte


GOOD = {"a": tensor(0, 8), "b": tensor(8, 16)}
OVERLAP = {"a": tensor(0, 8), "b": tensor(4, 12)}
HOLE = {"a": tensor(0, 8), "b": tensor(12, 20)}
TWICE = json.dumps({"a": tensor(0, 8), "b": tensor(0, 8)}).replace('"b"', '"a"').encode()


@pytest.mark.parametrize(
    ("data", "says", "offset"),
    [
        (safetensors(OVERLAP, bytes(12)), "overlaps another", at(OVERLAP, 4)),
        (safetensors(HOLE, bytes(20)), "leaves a hole", at(HOLE, 12)),
        (safetensors(GOOD, bytes(15)), "is truncated", at(GOOD, 15)),
        (safetensors(GOOD, bytes(17)), "does not know", at(GOOD, 16)),
        (safetensors({"a": tensor(0, 4)}, bytes(4)), "spans 4 bytes", 8),
        (safetensors(b"{not json", b""), "not sound", 8),
        (safetensors(TWICE, bytes(8)), "'a' stands there twice", 8),
        (struct.pack("<Q", 2**40) + b"{}", "header length", 0),
        (struct.pack("<Q", 1000) + b"{}", "its header alone needs", 10),
    ],
    ids=["overlap", "hole", "short", "long", "size", "no json", "twice", "huge", "cut"],
)
def test_a_header_that_lies_is_told_with_its_byte(tmp_path, data, says, offset):
    (tmp_path / "model.safetensors").write_bytes(data)
    [issue] = issues_of(tmp_path)
    assert (issue.kind, issue.level, issue.offset) == ("weights", Level.HIGH, offset)
    assert says in issue.what and str(tmp_path) not in issue.what


def test_a_true_header_is_fine(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(safetensors(GOOD, bytes(16)))
    assert issues_of(tmp_path) == []
