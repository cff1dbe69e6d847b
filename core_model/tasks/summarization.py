"""Summarization: a text is written again in fewer words."""

from __future__ import annotations

from typing import Any

from core_model.tasks import Task
from core_model.tasks.sequence_to_sequence import SequenceToSequence, prepare_pairs


def prepare(options: Any, **given: Any) -> SequenceToSequence:
    """An encoder-decoder and its pairs in tokens: see `prepare_pairs`."""
    return prepare_pairs(Task.SUMMARIZATION, options, **given)
