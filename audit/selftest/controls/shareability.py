"""Controls of the shareability audit: a file that was changed after it was listed, a token in the card."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from audit.selftest.control import Case, Control, Sign
from audit.selftest.texts import SOUND, draw, subject_of, written
from core_model.packaging import write_sums

FILES_ALONE = {"round_trip_rows": 0, "personal_data": False}
LETTERS = list("abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789")


def _changed_file(sick: bool, random: np.random.Generator, folder: Path) -> Case:
    checkpoint = written(SOUND, folder)
    write_sums(folder)
    if sick:
        with (folder / "config.json").open("a", encoding="utf-8") as file:
            file.write("\n")
    return Case(subject_of(checkpoint, draw(random, 20)))


def _token_in_the_card(sick: bool, random: np.random.Generator, folder: Path) -> Case:
    checkpoint = written(SOUND, folder)
    word = "".join(random.choice(LETTERS, 34))
    (folder / "README.md").write_text(f"Fetch it with {'hf_' if sick else ''}{word}\n", encoding="utf-8")
    return Case(subject_of(checkpoint, draw(random, 20)))


CONTROLS = (
    Control(
        "changed-file", "a file is changed after SHA256SUMS listed it", Sign(finding="shareability-hashes"),
        _changed_file, FILES_ALONE,
    ),
    Control(
        "token-in-the-card", "the model card holds a hub's access token",
        Sign(metric="secrets_in_files"), _token_in_the_card, FILES_ALONE, packages=("detect_secrets",), extra="package",
    ),
)  # fmt: skip
