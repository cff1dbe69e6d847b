"""The flags by which `report` and `verify` are given a signature, so that they are the same words in both."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from reports.record import Record
    from reports.signing.bundle import Signed

Command = Callable[..., Any]


def signature_options(command: Command) -> Command:
    """Which signature, and by whose key."""
    command = click.option("--public-key", type=click.Path(path_type=Path), metavar="FILE",
                           help="The signer's public key, from whom you trust.")(command)  # fmt: skip
    return click.option("--signature", type=click.Path(path_type=Path), metavar="FILE",
                        help="What `aboveboard sign` wrote.")(command)  # fmt: skip


def both(signature: Path | None, public_key: Path | None) -> tuple[Path, Path] | None:
    """The signature with its key; None where neither was given.

    Raises: click.UsageError where only one was.
    """
    if signature is not None and public_key is not None:
        return signature, public_key
    if signature is not None or public_key is not None:
        raise click.UsageError(
            "a signature is verified with its key.\n  Try: --signature audit.sig --public-key key.pub"
        )
    return None


def signed_by(signature: Path | None, public_key: Path | None, *, source: Path | None, record: Record) -> Signed | None:
    """What a signature vouches for, where one was given and holds for this record.

    Raises: SignatureBroken, SignatureUnfit, KeyUnfit, LibraryMissing.
    """
    given = both(signature, public_key)
    if given is None or source is None:
        return None
    from audit.signing import vouched

    return vouched(source, record, signature=given[0], public_key=given[1])
