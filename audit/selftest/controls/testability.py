"""Controls of the testability audit: a link decides, and a label that hardly any row holds."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from audit.selftest.control import Case, Control, Sign
from audit.selftest.texts import SOUND, WEIGHTS, Rows, draw, subject_of, written

ROWS, THIN = 120, 3
AGAINST = -40.0  # weight of a link, by which no other word counts


def _link_decides(sick: bool, random: np.random.Generator, folder: Path) -> Case:
    model = SOUND.but(weights={**WEIGHTS, "https": AGAINST if sick else 0.0})
    return Case(subject_of(written(model, folder), draw(random, ROWS, margins=(2, 3, 4))))


def _thin_label(sick: bool, random: np.random.Generator, folder: Path) -> Case:
    rows = draw(random, 2 * ROWS, margins=(3, 4))
    sides = [np.flatnonzero(rows.labels == label) for label in (0, 1)]
    kept = np.sort(np.concatenate([sides[0], sides[1][: THIN if sick else ROWS]]))
    chosen = Rows([rows.texts[row] for row in kept], rows.margins[kept], rows.labels[kept])
    return Case(subject_of(written(SOUND, folder), chosen))


CONTROLS = (
    Control(
        "link-decides", "a link behind a text decides its answer", Sign(metric="behavioural_failure_rate"),
        _link_decides, {"mutants": 0},
    ),
    Control(
        "thin-label", "only three rows have one of the labels", Sign(finding="testability-thin-classes"), _thin_label,
        {"mutants": 0, "rows": 10},
    ),
)  # fmt: skip
