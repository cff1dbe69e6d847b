"""A checkpoint, opened with care: every file verified and hashed, nothing in it run.

checkpoint = open_checkpoint("models/my-classifier")
checkpoint.task, checkpoint.labels, checkpoint.parameters, checkpoint.sha256
model, tokenizer = checkpoint.load_model(), checkpoint.load_tokenizer()
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core_model.tasks import Task

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """What a verified checkpoint says of itself, read from its files without running a model."""

    name: str
    path: Path
    location: str
    sha256: str
    files: Mapping[str, str]
    task: Task
    architecture: str
    parameters: int
    labels: tuple[str, ...]
    licence: str | None
    card: str | None
    max_length: int
    facts: Mapping[str, Any]
    claims: Sequence[tuple[str, Any, str]] = ()
    training_record: Mapping[str, Any] | None = None
    pickled: bool = field(default=False, repr=False)

    def load_model(self, dtype: str = "float32") -> PreTrainedModel:
        """The model in eval mode, on the CPU."""
        raise NotImplementedError

    def load_tokenizer(self) -> PreTrainedTokenizerBase:
        """The checkpoint's own tokenizer."""
        raise NotImplementedError


def open_checkpoint(location: str | Path, *, allow_pickle: bool = False) -> Checkpoint:
    """Open and verify a checkpoint."""
    raise NotImplementedError
