"""Control of the maintainability audit: a version that forgot half of its words."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from audit.selftest.control import Case, Control, Sign
from audit.selftest.texts import GOOD, SOUND, WEIGHTS, draw, subject_of, written

ROWS = 300
ALLOWED = 0.05


def _forgetful(sick: bool, random: np.random.Generator, folder: Path) -> Case:
    before = written(SOUND, folder / "before")
    forgotten = {**WEIGHTS, **dict.fromkeys(GOOD, 0.0)} if sick else WEIGHTS
    subject = subject_of(written(SOUND.but(weights=forgotten), folder / "now"), draw(random, ROWS))
    subject.reference = before
    return Case(subject)


CONTROLS = (
    Control(
        "forgetful", f"a version no longer knows half of the words; at most {ALLOWED:.0%} of the rows may be lost",
        Sign(metric="negative_flip_rate"), _forgetful, {"max_negative_flips": ALLOWED},
    ),
)  # fmt: skip
