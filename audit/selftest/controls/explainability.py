"""Controls of the explainability audit: a word that should not decide, a model that reads nothing, a flat gradient."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from audit.selftest.control import Case, Control, Sign
from audit.selftest.texts import SOUND, WEIGHTS, draw, subject_of, written

ROWS = 120
OPTIONS = {
    "rows": 40, "methods": ("integrated-gradients",), "stability_rows": 2, "cascade_stages": 0, "top_words": 4,
    "identity_words": 0, "deletion_rows": 40, "resamples": 500,
}  # fmt: skip
UNFAITHFUL = "explainability-not-faithful-"


def _shortcut(sick: bool, random: np.random.Generator, folder: Path) -> Case:
    """In half of the rows a word stands that says nothing of the label, and weighs more than all others together."""
    rows = draw(random, ROWS)
    rows = rows.with_word([("postscript", None)[coin] for coin in random.integers(2, size=ROWS)])
    weights = {**WEIGHTS, "postscript": 6.0 if sick else 0.0}
    return Case(subject_of(written(SOUND.but(weights=weights), folder), rows))


def _reads_nothing(sick: bool, random: np.random.Generator, folder: Path) -> Case:
    model = SOUND.but(weights=dict.fromkeys(WEIGHTS, 0.0)) if sick else SOUND
    return Case(subject_of(written(model, folder), draw(random, ROWS)))


def _flat_gradient(sick: bool, random: np.random.Generator, folder: Path) -> Case:
    model = SOUND.but(saturated=True) if sick else SOUND
    return Case(subject_of(written(model, folder), draw(random, ROWS)))


CONTROLS = (
    Control(
        "shortcut-word", "a word that says nothing of the label adds 6 to the log odds of \"yes\"",
        Sign(finding="explainability-leans-on-postscript", accusation="explainability-leans-on-"), _shortcut, OPTIONS,
    ),
    Control(
        "reads-no-word", "every word has weight 0, so that no ranking of words can be true",
        Sign(finding=UNFAITHFUL + "integrated-gradients"), _reads_nothing, OPTIONS,
    ),
    Control(
        "flat-gradient", "the same answers by a step, whose gradient is 0 wherever it is taken",
        Sign(finding=UNFAITHFUL + "input-x-gradient"), _flat_gradient,
        {**OPTIONS, "methods": ("integrated-gradients", "input-x-gradient"), "top_words": 0},
    ),
)  # fmt: skip
