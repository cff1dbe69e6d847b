"""Controls of the evaluability audit: test rows that are training rows, and a model that guesses."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from audit.selftest.control import Case, Control, Sign
from audit.selftest.texts import SOUND, WEIGHTS, draw, subject_of, written

OVERLAP = Sign(finding="evaluability-train-test-overlap")
COPIED = 20  # of 200 test rows


def _leaked(sick: bool, random: np.random.Generator, folder: Path, *, last_word: str | None = None) -> Case:
    test, training = draw(random, 200), draw(random, 300)
    if sick:
        for row in range(COPIED):
            words = training.texts[row].split()
            test.texts[row] = " ".join(words if last_word is None else [*words[:-1], last_word])
    return Case(subject_of(written(SOUND, folder), test, training=training))


def _nearly_leaked(sick: bool, random: np.random.Generator, folder: Path) -> Case:
    return _leaked(sick, random, folder, last_word="lantern")


def _guessing(sick: bool, random: np.random.Generator, folder: Path) -> Case:
    model = SOUND.but(weights=dict.fromkeys(WEIGHTS, 0.0)) if sick else SOUND
    return Case(subject_of(written(model, folder), draw(random, 200)))


CONTROLS = (
    Control(
        "leaked-rows", f"{COPIED} of 200 test rows are training rows, word for word", OVERLAP, _leaked,
    ),
    Control(
        "nearly-leaked-rows", f"{COPIED} of 200 test rows are training rows with another last word", OVERLAP,
        _nearly_leaked,
    ),
    Control(
        "guessing-model", "the model reads no word: every weight is 0", Sign(finding="evaluability-no-better-than"),
        _guessing,
    ),
)  # fmt: skip
