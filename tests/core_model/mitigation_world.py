"""A planted world in which who a text speaks of predicts its label for no good reason. Synthetic.

Each text holds a word of merit ("good" or "bad"), which tells the label in 8 of 10 rows whoever is meant, and "man" or
"woman". In training rows men are mostly labelled positive and women negative; in fair rows the label is independent.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from core_model.data import Table

NOISE = "the is was and very this that film book meal city day said went saw".split()


def rows_of(rows: int, seed: int, *, positive: dict[str, float]) -> list[dict[str, Any]]:
    """Rows in which a share `positive[sex]` of each sex has the label "positive"."""
    random = np.random.default_rng(seed)
    made = []
    for row in range(rows):
        sex = ("man", "woman")[row % 2]
        label = int(random.random() < positive[sex])
        merit = label if random.random() < 0.8 else 1 - label
        words = [*random.choice(NOISE, 4), sex, ("bad", "good")[merit]]
        random.shuffle(words)
        made.append({"text": " ".join(words), "label": ("negative", "positive")[label], "sex": sex})
    return made


def biased_rows(rows: int = 480, seed: int = 0) -> list[dict[str, Any]]:
    """Training rows whose labels lean on the sex."""
    return rows_of(rows, seed, positive={"man": 0.85, "woman": 0.15})


def fair_rows(rows: int = 400, seed: int = 1) -> list[dict[str, Any]]:
    """Rows to judge by: either sex is as often positive."""
    return rows_of(rows, seed, positive={"man": 0.5, "woman": 0.5})


def table_of(rows: list[dict[str, Any]]) -> Table:
    return Table.from_rows(
        name="planted",
        texts=[row["text"] for row in rows],
        targets=[row["label"] == "positive" for row in rows],
        label_names=("negative", "positive"),
        groups={"sex": [row["sex"] for row in rows]},
        synthetic=True,
    )


def unequal_rows(rows: int, seed: int) -> list[dict[str, Any]]:
    """Merit is as frequent in either sex, but men are labelled positive more often than women of equal merit."""
    random = np.random.default_rng(seed)
    share = {("man", 1): 0.95, ("man", 0): 0.55, ("woman", 1): 0.45, ("woman", 0): 0.05}
    made = []
    for row in range(rows):
        sex, merit = ("man", "woman")[row % 2], row // 2 % 2
        label = int(random.random() < share[sex, merit])
        words = [*random.choice(NOISE, 4), sex, ("bad", "good")[merit]]
        random.shuffle(words)
        made.append({"text": " ".join(words), "label": ("negative", "positive")[label], "sex": sex})
    return made
