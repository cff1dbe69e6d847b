"""Files that only their owner may read: private keys."""

from __future__ import annotations

import os
from pathlib import Path

from core_model.files import replace_file


def write_privately(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, readable by its owner alone from its first byte on.

    Raises: OutputUnwritable.
    """
    with replace_file(path) as fresh:
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
