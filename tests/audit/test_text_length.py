"""Quartiles of length."""

from __future__ import annotations

import numpy as np

from audit.text_length import length_quartiles


def test_length_quartiles_hold_about_a_quarter_each_and_bear_ties() -> None:
    words = np.random.default_rng(5).integers(1, 100, size=400)
    names, counts = np.unique(length_quartiles(["w " * n for n in words]), return_counts=True)
    assert len(names) == 4 and counts.min() > 80
    assert set(length_quartiles(["same length"] * 50)) == {"2 to 2 words"}
