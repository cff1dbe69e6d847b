"""A planted world to train in: the word "good" or "bad" decides, all else is noise. Synthetic."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from tempfile import mkdtemp

import numpy as np

from core_model.checkpoint import Checkpoint, open_checkpoint
from core_model.data import Table
from core_model.training import train
from core_model.training_options import TrainingOptions
from tests.factories import WORDS, write_checkpoint

NOISE = [word for word in WORDS if word not in {"good", "bad"}]


def planted_rows(rows: int, seed: int) -> list[tuple[str, int]]:
    """Texts of 2 to 13 words, and whether "good" stands in them."""
    random = np.random.default_rng(seed)
    made = []
    for _ in range(rows):
        good = int(random.integers(2))
        words = [*random.choice(NOISE, random.integers(1, 13)), ("bad", "good")[good]]
        random.shuffle(words)
        made.append((" ".join(words), good))
    return made


@lru_cache
def planted_table(rows: int = 96, seed: int = 0) -> Table:
    texts, targets = zip(*planted_rows(rows, seed), strict=True)
    return Table.from_rows(
        name="planted", texts=texts, targets=targets, label_names=("negative", "positive"), synthetic=True
    )


@lru_cache
def tiny_base() -> Checkpoint:
    """Random weights, two layers of 32; one for all tests of a process."""
    return open_checkpoint(write_checkpoint(Path(mkdtemp(prefix="aboveboard-base-"))))


@lru_cache
def trained_checkpoint(*, epochs: int, learning_rate: float) -> Path:
    """The base, trained on the planted rows by seed 3 and evaluated on others, with its record; not to be changed."""
    out = Path(mkdtemp(prefix="aboveboard-trained-")) / "checkpoint"
    options = TrainingOptions(epochs=epochs, batch_size=12, learning_rate=learning_rate, seed=3)
    train(options, data=planted_table(), evaluation=planted_table(48, seed=7), base=tiny_base(), out=out)
    return out
