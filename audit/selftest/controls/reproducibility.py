"""Controls of the reproducibility audit: dropout that was left on, weights that came after their record."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from audit.selftest.control import Case, Control, Sign
from audit.selftest.texts import SOUND, draw, subject_of, written
from core_model.prediction import Predictor

ROWS = 400  # as the audit asks: fewer cannot show that under 1% of the answers turn
DROPOUT = 0.5


def _dropout_left_on(sick: bool, random: np.random.Generator, folder: Path) -> Case:
    from core_model.dropout import set_dropout

    subject = subject_of(written(SOUND, folder), draw(random, ROWS, margins=(1,)))
    if sick and isinstance(subject.predictor, Predictor):
        forward = subject.predictor.forward
        set_dropout(forward.model, DROPOUT)
        forward.model.train()
        forward.short = forward.model
    return Case(subject)


def _later_weights(sick: bool, random: np.random.Generator, folder: Path) -> Case:
    before = written(SOUND, folder)
    (folder / "training_record.json").write_text(json.dumps({"files": dict(before.files)}), encoding="utf-8")
    after = written(SOUND.but(scale=SOUND.scale + (1 if sick else 0)), folder)
    return Case(subject_of(after, draw(random, 20)))


CONTROLS = (
    Control(
        "dropout-left-on", "dropout is left on, so that a row is answered otherwise each time",
        Sign(metric="answers_turned"), _dropout_left_on, {"rows": ROWS, "alone_rows": 1},
    ),
    Control(
        "later-weights", "the weights were written after the training record", Sign(metric="files_other_than_recorded"),
        _later_weights, {"rows": 20, "alone_rows": 1},
    ),
)  # fmt: skip
