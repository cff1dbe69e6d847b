"""A model that knows its training rows by heart, by construction: each row holds a name, and the name has a weight."""

from __future__ import annotations

import numpy as np

from audit.selftest.texts import LENGTH, SOUND, WEIGHTS, Rows, draw
from audit.selftest.word_model import WordModel


def by_heart(random: np.random.Generator, rows: int, *, weight: float) -> tuple[WordModel, Rows, Rows]:
    """A model, test rows and training rows.

    Every row of both holds a name that stands nowhere else. The names of training rows weigh `weight` for the row's
    label, those of test rows nothing; a weight of 0 is a model that remembers no row.

    Args:
        rows: of each side.
        weight: log odds that a training row's name adds for its label.
    """
    sides = []
    for side in ("held", "seen"):
        drawn = draw(random, rows, margins=(1, 2))
        sides.append(drawn.with_word([f"{side}{row}" for row in range(rows)]))
    test, training = sides
    signs = np.where(training.labels == 1, 1.0, -1.0)
    names = {f"seen{row}": weight * float(sign) for row, sign in enumerate(signs)}
    names |= {f"held{row}": 0.0 for row in range(rows)}
    return SOUND.but(weights={**WEIGHTS, **names}, scale=LENGTH + 2), test, training
