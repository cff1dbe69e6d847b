"""Controls of the generalization audit: learned by heart, too sure of itself, and weak in one part of the rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from audit.selftest.by_heart import by_heart
from audit.selftest.control import Case, Control, Sign
from audit.selftest.texts import SOUND, draw, subject_of, written

ROWS = 300


def _by_heart(sick: bool, random: np.random.Generator, folder: Path) -> Case:
    model, test, training = by_heart(random, ROWS, weight=8.0 if sick else 0.0)
    return Case(subject_of(written(model, folder), test, training=training))


def _too_sure(sick: bool, random: np.random.Generator, folder: Path) -> Case:
    model = SOUND.but(scale=4 * SOUND.scale) if sick else SOUND
    return Case(subject_of(written(model, folder), draw(random, ROWS)))


def _weak_part(sick: bool, random: np.random.Generator, folder: Path) -> Case:
    rows = draw(random, ROWS)
    source = random.choice(["letters", "reviews"], ROWS, p=[0.4, 0.6])
    coins = random.integers(2, size=ROWS)
    if sick:
        rows = rows.labelled(np.where(source == "letters", coins, rows.labels))
    return Case(subject_of(written(SOUND, folder), rows, groups={"source": source.tolist()}))


CONTROLS = (
    Control(
        "learned-by-heart", "each training row holds a name of its own, and the name's weight says the row's label",
        Sign(finding="generalization-overfitted"), _by_heart,
    ),
    Control(
        "too-sure", "log odds are 4 times those by which the labels were drawn",
        Sign(finding="generalization-miscalibrated"), _too_sure,
    ),
    Control(
        "weak-part", "in one of two sources the labels are coins",
        Sign(finding="generalization-worst-slice"), _weak_part,
    ),
)  # fmt: skip
