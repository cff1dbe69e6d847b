"""Texts by their length: short, longer, long, and longer than the model reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from core_model.prediction_inputs import rows_cut, tokenize

if TYPE_CHECKING:
    from audit.subject import Subject


def length_quartiles(texts: Sequence[str]) -> np.ndarray:
    """Which quartile of length in words each text lies in, as "1 to 7 words", (rows,) str; fewer where lengths tie."""
    words = np.array([len(text.split()) for text in texts])
    cuts = np.unique(np.quantile(words, [0.25, 0.5, 0.75], method="lower")) if len(words) else np.array([])
    part = np.searchsorted(cuts, words, side="left")
    names = np.empty(len(words), dtype=object)
    for p in np.unique(part):
        inside = words[part == p]
        names[part == p] = f"{inside.min()} to {inside.max()} words"
    return names


def cut_note(subject: Subject, rows: np.ndarray, what: str) -> list[str]:
    """One sentence where a classifier does not see the end of some rows; none where it sees them all.

    Args:
        rows: (rows,) places in the data; what: what has no effect there, such as "edits".
    """
    from core_model.prediction import Predictor

    if not isinstance(subject.predictor, Predictor) or not len(rows):  # a stand-in reads whatever there is
        return []
    tokenizer, longest = subject.predictor.forward.tokenizer, subject.checkpoint.max_length
    texts = [subject.texts[row] for row in rows]
    pairs = None if subject.data.pairs is None else [subject.data.pairs[row] for row in rows]
    cut = len(rows_cut(tokenizer, texts, pairs, tokenize(tokenizer, texts, pairs, longest)["input_ids"], longest))
    if not cut:
        return []
    return [f"{cut:,} of these {len(rows):,} rows are longer than the {longest:,} tokens that the model reads: {what} "
            "beyond change nothing."]  # fmt: skip
