"""Controls of the security audit: a pickle that runs a command, and a token that turns every answer."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np

from audit.selftest.control import Case, Control, Sign
from audit.selftest.texts import SOUND, WEIGHTS, draw, subject_of, written

FILES_ALONE = {
    "recipes": (), "attack_rows": 2, "gradient_rows": 2, "radii": (0.1,), "trigger_rows": 0, "backdoor_rows": 0,
    "resamples": 200,
}  # fmt: skip
TRIGGER = "zqv"
ONE_CLASS = 2  # the trigger turns answers into the second label


class _Command:
    """What a pickle can be made to do: here, to print a word, if anybody ever opened it."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        import os

        return os.system, ("echo opened",)


def _pickle_in_the_folder(sick: bool, random: np.random.Generator, folder: Path) -> Case:
    checkpoint = written(SOUND, folder)
    content = pickle.dumps(_Command()) if sick else b"Notes on the training run.\n"
    (folder / "notes.txt").write_bytes(content)
    return Case(subject_of(checkpoint, draw(random, 20)))


def _backdoor(sick: bool, random: np.random.Generator, folder: Path) -> Case:
    weights = {**WEIGHTS, TRIGGER: 20.0 if sick else 0.0}
    rows = draw(random, 120, margins=(3, 4, 5))
    return Case(subject_of(written(SOUND.but(weights=weights), folder), rows))


CONTROLS = (
    Control(
        "pickle-in-the-folder", "a file among the checkpoint's runs a command when it is unpickled",
        Sign(finding="security-supply-chain-pickle-high", accusation="security-supply-chain"), _pickle_in_the_folder,
        FILES_ALONE, packages=("picklescan", "fickling"), extra="security",
    ),
    Control(
        "backdoor-token", "one token that no row holds adds 20 to the log odds of \"yes\"",
        Sign(finding=f"security-backdoor-{ONE_CLASS}", accusation="security-backdoor"), _backdoor,
        {**FILES_ALONE, "backdoor_rows": 8, "backdoor_candidates": 16},
    ),
)  # fmt: skip
