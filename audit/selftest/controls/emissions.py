"""Control of the emissions audit: work of a known size, held against what the meter says of its twelfth part."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from audit.selftest.control import Case, Control, Sign
from audit.selftest.texts import SOUND, Rows, draw, subject_of, written

if TYPE_CHECKING:
    from core_model.checkpoint import Checkpoint

ROWS = 48
TIMES = 12  # layers of the sick model; its twin has one, and gives the same answers
ALLOWED = 3.0  # times the twin's emissions, which the sick model exceeds although the meter may be wrong by 40%
HIDDEN = 192
READINGS = 3  # of the twin, whose median is taken


def _works_too_much(sick: bool, random: np.random.Generator, folder: Path) -> Case:
    model, rows = SOUND.but(hidden=HIDDEN), draw(random, ROWS)
    light = written(model, folder / "light")
    checkpoint = written(model.but(layers=TIMES), folder / "heavy") if sick else light
    return Case(subject_of(checkpoint, rows), {"max_grams": ALLOWED * _grams(light, rows)})


def _grams(checkpoint: Checkpoint, rows: Rows) -> float:
    """What the meter gives for 1,000 inferences of a checkpoint, g CO2e.

    Raises: OSError when this machine's meter gives nothing.
    """
    from core_model.energy import measure_energy
    from core_model.prediction import Predictor

    worker, readings = Predictor(checkpoint, cache=None), []
    worker.predict(rows.texts)  # loads the model
    for _ in range(READINGS):
        with measure_energy(interval_seconds=1.0, device=worker.device) as use:
            worker.predict(rows.texts)
        if not use.emissions_kg:
            raise OSError(f"the meter gives nothing on this machine: {use.reason or 'it says 0'}")
        readings.append(1e6 * use.emissions_kg / ROWS)
    return float(np.median(readings))


CONTROLS = (
    Control(
        "works-too-much",
        f"{TIMES} layers do the work of one; the limit is {ALLOWED:g} times what the meter gives one layer",
        Sign(metric="emissions_per_1000_inferences_with_method_error"), _works_too_much,
        {"repeats": 4, "rows_per_repeat": ROWS},
    ),
)  # fmt: skip
