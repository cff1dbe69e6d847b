"""Texts by their length: short, longer, long."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


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
