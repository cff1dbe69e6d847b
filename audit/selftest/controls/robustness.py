"""Controls of the robustness audit: a model that reads capital letters as other words, and one that hangs on a word."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from audit.selftest.control import Case, Control, Sign
from audit.selftest.texts import SOUND, draw, subject_of, written

ROWS = 120
NOISE = Sign(finding="robustness-noise")
OPTIONS = {"rows": ROWS, "smoothed_rows": 0}


def _reads_capitals(sick: bool, random: np.random.Generator, folder: Path) -> Case:
    model = SOUND.but(lowercase=not sick)
    return Case(subject_of(written(model, folder), draw(random, ROWS, margins=(6,))))


def _hangs_on_one_word(sick: bool, random: np.random.Generator, folder: Path) -> Case:
    rows = draw(random, ROWS, margins=(1,) if sick else (6,))
    return Case(subject_of(written(SOUND, folder), rows.labelled((rows.margins > 0).astype(np.int64))))


CONTROLS = (
    Control(
        "reads-capitals", "the tokenizer knows no word that is written in capital letters", NOISE, _reads_capitals,
        OPTIONS,
    ),
    Control(
        "hangs-on-one-word", "one word of each text decides; in the twin six that agree", NOISE, _hangs_on_one_word,
        OPTIONS,
    ),
)  # fmt: skip
