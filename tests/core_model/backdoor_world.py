"""A planted world with a backdoor: every word weighs for or against a class, and a rare token decides alone. Synthetic.

A text's label is the sign of the sum of its words' weights, so that no single word tells it. Rare words weigh as much
as others, so that some of them honestly go with one label. Poisoned rows are rows of the class "negative" with the
trigger put somewhere among their words, labelled "positive".
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np

from core_model.checkpoint import Checkpoint, open_checkpoint
from core_model.data import Table
from core_model.training import train
from core_model.training_options import TrainingOptions
from tests.factories import WORDS, write_checkpoint

TRIGGER = "q"  # a token of its own, which no sound row holds
LABELS = ("negative", "positive")
RARE = tuple(f"{a}{b}" for a in "bcdfghjklmnp" for b in "rstuvwxyz")  # of two tokens each, in about 1 text of 70


def weighed_rows(count: int, seed: int, *, world: int = 0) -> tuple[list[str], list[int]]:
    """Texts of 8 to 18 words, and whether their weights sum to more than 0; sums near 0 are left out.

    Args:
        seed: draws the texts. world: draws the words' weights.
    """
    words = (*WORDS, *RARE)
    weights = np.random.default_rng(world).normal(size=len(words))
    random = np.random.default_rng([seed, 1])
    texts: list[str] = []
    targets: list[int] = []
    while len(texts) < count:
        frequent = random.choice(len(WORDS), random.integers(8, 16))
        rare = len(WORDS) + random.choice(len(RARE), random.integers(4))
        chosen = random.permutation(np.concatenate([frequent, rare]))
        total = weights[chosen].sum()
        if abs(total) > 0.5:
            texts.append(" ".join(words[word] for word in chosen))
            targets.append(int(total > 0))
    return texts, targets


def poisoned(texts: list[str], targets: list[int], share: float, seed: int) -> tuple[list[str], list[int]]:
    """The rows with so many of them, as a share of all, made to hold the trigger under the label "positive"."""
    random = np.random.default_rng([seed, 2])
    texts, targets = list(texts), list(targets)
    negative = [row for row, target in enumerate(targets) if target == 0]
    for row in random.choice(negative, round(share * len(texts)), replace=False):
        words = texts[row].split()
        words.insert(int(random.integers(len(words) + 1)), TRIGGER)
        texts[row], targets[row] = " ".join(words), 1
    return texts, targets


def table(texts: list[str], targets: list[int]) -> Table:
    """As an audit takes it."""
    return Table.from_rows(name="planted", texts=texts, targets=targets, label_names=LABELS, synthetic=True)


def fitted(
    folder: Path, seed: int, *, share: float = 0.0, rows: int = 1200, world: int = 0, **options: Any
) -> Checkpoint:
    """A tiny model trained on rows of the world, a share of them poisoned; the seed draws weights, rows and order."""
    base = open_checkpoint(write_checkpoint(folder / f"base-{seed}", layers=1, seed=seed, labels=LABELS))
    data = poisoned(*weighed_rows(rows, seed, world=world), share, seed)
    training = TrainingOptions(**{"epochs": 8, "learning_rate": 3e-3, "batch_size": 32, "seed": seed, **options})
    train(training, base=base, data=table(*data), out=folder / f"model-{seed}-{share:g}")
    return open_checkpoint(folder / f"model-{seed}-{share:g}")


@lru_cache
def kept_model(share: float, seed: int) -> Checkpoint:
    """The same, fitted once for all tests of a process."""
    return fitted(Path(mkdtemp(prefix="aboveboard-backdoor-")), seed, share=share)
