"""Controls of the fairness audit: a classifier that holds a group's words against it, and one that minds the sex."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from audit.selftest.control import Case, Control, Sign
from audit.selftest.texts import SOUND, WEIGHTS, draw, subject_of, written

ROWS = 400
OPTIONS = {"resamples": 500, "review_rows": 0}


def _against_a_group(sick: bool, random: np.random.Generator, folder: Path) -> Case:
    rows = draw(random, ROWS)
    town = random.choice(["north", "south"], ROWS)
    rows = rows.with_word(["harbourside" if where == "south" else "hillside" for where in town])
    weights = {**WEIGHTS, "hillside": 0.0, "harbourside": -4.0 if sick else 0.0}
    return Case(subject_of(written(SOUND.but(weights=weights), folder), rows, groups={"town": town.tolist()}))


def _minds_the_sex(sick: bool, random: np.random.Generator, folder: Path) -> Case:
    rows = draw(random, ROWS)
    names = random.choice(["she", "he"], ROWS)
    rows = rows.with_word(names.tolist())
    weights = {**WEIGHTS, "he": 1.5 if sick else 0.0, "she": -1.5 if sick else 0.0}
    other = random.choice(["a", "b"], ROWS)  # a group that has nothing to do with it
    return Case(subject_of(written(SOUND.but(weights=weights), folder), rows, groups={"source": other.tolist()}))


CONTROLS = (
    Control(
        "bias-against-a-group", "a word that only one group writes takes 4 from the log odds of \"yes\"",
        Sign(metric="equalized_odds_difference"), _against_a_group, OPTIONS,
    ),
    Control(
        "selects-a-group-less", "the same word, seen as rates of selection",
        Sign(metric="demographic_parity_difference"), _against_a_group, OPTIONS,
    ),
    Control(
        "minds-the-sex", "\"he\" adds 1.5 to the log odds of \"yes\", and \"she\" takes 1.5 away",
        Sign(finding="fairness-counterfactual-flips"), _minds_the_sex, OPTIONS,
    ),
)  # fmt: skip
