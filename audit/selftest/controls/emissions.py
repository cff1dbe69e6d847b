"""Control of the emissions audit: work of a known size, held against the processor time of its twelfth part.

Not against what the meter says: a meter charges the whole machine, and what else ran on it meanwhile.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from audit.selftest.control import Case, Control, Sign
from audit.selftest.texts import SOUND, Rows, draw, subject_of, written

if TYPE_CHECKING:
    from core_model.checkpoint import Checkpoint

ROWS = 48
TIMES = 12  # layers of the sick model; its twin has one, and gives the same answers
ALLOWED = 3.0  # times the twin's processor time, which the sick model exceeds although part of the work is the same
HIDDEN = 192
READINGS = 5  # of the twin, whose median is taken


def _works_too_much(sick: bool, random: np.random.Generator, folder: Path) -> Case:
    model, rows = SOUND.but(hidden=HIDDEN), draw(random, ROWS)
    light = written(model, folder / "light")
    checkpoint = written(model.but(layers=TIMES), folder / "heavy") if sick else light
    return Case(subject_of(checkpoint, rows), {"max_processor_seconds": ALLOWED * _processor_seconds(light, rows)})


def _processor_seconds(checkpoint: Checkpoint, rows: Rows) -> float:
    """Processor time of 1,000 inferences of a checkpoint, in seconds."""
    from core_model.prediction import Predictor

    worker, readings = Predictor(checkpoint, cache=None), []
    worker.predict(rows.texts)  # loads the model
    for _ in range(READINGS):
        started = time.process_time()
        worker.predict(rows.texts)
        readings.append((time.process_time() - started) * 1000 / ROWS)
    return float(np.median(readings))


CONTROLS = (
    Control(
        "works-too-much",
        f"{TIMES} layers do the work of one; the limit is {ALLOWED:g} times one layer's processor time",
        Sign(metric="processor_seconds_per_1000_inferences"), _works_too_much,
        {"repeats": 4, "rows_per_repeat": ROWS},
    ),
)  # fmt: skip
