"""Synthetic rows for tests of the whole way: labels that the text decides, groups that it does not."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.factories import WORDS, write_rows

GOOD, BAD = ("good", "great", "fine", "happy", "kind"), ("bad", "awful", "poor", "sad", "cruel")


def made_up_rows(count: int, *, seed: int = 0) -> list[dict[str, str]]:
    """Rows {text, label, sex}: the label is the mood of one word."""
    random = np.random.default_rng(seed)
    rows = []
    for number in range(count):
        positive = bool(random.integers(2))
        who = str(random.choice(["he", "she"]))
        word = str(random.choice(GOOD if positive else BAD))
        filler = " ".join(random.choice(WORDS[:20], size=int(random.integers(2, 9))))
        rows.append(
            {
                "text": f"{who} said the film was {word} {filler} {number}",
                "label": "positive" if positive else "negative",
                "sex": "male" if who == "he" else "female",
            }
        )
    return rows


def write_made_up_rows(path: Path, count: int, *, seed: int = 0) -> Path:
    """Those rows as JSON Lines."""
    return write_rows(path, made_up_rows(count, seed=seed))
