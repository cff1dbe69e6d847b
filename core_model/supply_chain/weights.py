"""Safetensors whose header does not tell the truth: sizes, overlaps, holes, bytes that no tensor owns.

The header is read and held against the file by `core_model.checkpoint_weights`, as before every opening; here the
letter that it writes becomes an issue with its byte.
"""

from __future__ import annotations

from pathlib import Path

from core_model.checkpoint_weights import read_safetensors
from core_model.errors import CheckpointDamaged
from core_model.supply_chain.issues import Issue, Kind, Level


def scan_safetensors(path: Path, name: str) -> Issue | None:
    """What is wrong with a safetensors file; None when its header is true to the last byte."""
    try:
        read_safetensors(path)
    except CheckpointDamaged as error:
        return Issue(
            Kind.WEIGHTS, Level.HIGH, name, error.offset, error.found.removeprefix(str(path)).lstrip(": "),
            "readers that check less read beyond the file or tensors that nobody described; bytes without an owner can "
            "hide anything", "fetch the file again, and compare its hash with the publisher's",
        )  # fmt: skip
    return None
