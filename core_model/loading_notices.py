"""What the libraries say while a checkpoint is opened: what they will drop, and what they had to guess.

    notices = loading_notices(checkpoint)      # (Notice("deprecation", "`x` is deprecated and will be removed in v6"),)

A notice of today is often an error of the next version. Opened is with plain transformers, as anybody would.
"""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from core_model.sharing.opening import load_plainly

if TYPE_CHECKING:
    from core_model.checkpoint import Checkpoint

Kind = Literal["deprecation", "warning"]
AGEING = re.compile(r"deprecat|will be removed|no longer supported|in a future (?:version|release)", re.IGNORECASE)
LONGEST = 300  # characters of a notice
LOGGERS = ("transformers", "tokenizers", "safetensors", "torch")


@dataclass(frozen=True)
class Notice:
    """One sentence of a library.

    Attributes:
        kind: whether it says that something will go, or merely warns.
        text: what it says, on one line.
    """

    kind: Kind
    text: str


def loading_notices(checkpoint: Checkpoint) -> tuple[Notice, ...]:
    """What is said while model and tokenizer are built, each sentence once.

    Raises: whatever transformers and its parts raise where it does not open.
    """
    said: list[tuple[str, bool]] = []
    with _listening(said), warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        load_plainly(checkpoint, checkpoint.path)
    ageing = (DeprecationWarning, PendingDeprecationWarning, FutureWarning)
    said += [(str(one.message), issubclass(one.category, ageing)) for one in warned]
    lines = {" ".join(text.split())[:LONGEST]: old for text, old in said if text.strip()}
    return tuple(
        Notice("deprecation" if old or AGEING.search(text) else "warning", text) for text, old in lines.items()
    )


@contextmanager
def _listening(said: list[tuple[str, bool]]) -> Iterator[None]:
    """Log records of the libraries, kept instead of printed; bars silenced; all put back as it was."""
    from transformers.utils import logging as chatter

    class Keeper(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append((record.getMessage(), False))

    level, bars, keeper = chatter.get_verbosity(), chatter.is_progress_bar_enabled(), Keeper(logging.WARNING)
    chatter.set_verbosity_warning()
    chatter.disable_progress_bar()
    loggers = [logging.getLogger(name) for name in LOGGERS]
    before = [(one.handlers, one.propagate) for one in loggers]
    for one in loggers:
        one.handlers, one.propagate = [keeper], False
    try:
        yield
    finally:
        for one, (handlers, propagate) in zip(loggers, before, strict=True):
            one.handlers, one.propagate = handlers, propagate
        chatter.set_verbosity(level)
        if bars:
            chatter.enable_progress_bar()
