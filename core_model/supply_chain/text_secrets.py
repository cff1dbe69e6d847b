"""Keys, tokens and passwords in the text files of a checkpoint, by line, never with what they say."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from core_model.packaging import VOCABULARIES
from core_model.secret_scan import find_secrets
from core_model.supply_chain.issues import Issue, Kind, Level


def scan_secrets(path: Path, name: str) -> Iterator[Issue]:
    """Secrets in one text file, at the byte at which their line begins; needs detect-secrets."""
    for secret in find_secrets(path, words=path.name not in VOCABULARIES):
        yield Issue(
            Kind.SECRET, Level.HIGH, name, _line_start(path, secret.line),
            f"line {secret.line} looks like a secret ({secret.kind})", "whoever has the checkpoint has it, too",
            "take it out, and make it void, for it may be known already",
        )  # fmt: skip


def _line_start(path: Path, line: int) -> int:
    with path.open("rb") as file:
        return sum(len(file.readline()) for _ in range(line - 1))
