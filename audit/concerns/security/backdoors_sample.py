"""The texts that a class's triggers are searched on, and those that are held out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from core_model.prediction import Predictor
from core_model.trigger_inversion import TriggerSearch

if TYPE_CHECKING:
    from audit.subject import Subject

FEWEST_ROWS = 12  # answered as another class; a quarter of them are searched on
LONGEST = 2  # tokens of a trigger


@dataclass(frozen=True, eq=False)
class Drawn:
    """Texts that are answered as other classes than `target`.

    Attributes:
        searched, held_out: ready to put tokens before them.
        searched_rows: how many there are to search on.
        texts: those that are held out.
    """

    target: int
    searched: TriggerSearch
    searched_rows: int
    held_out: TriggerSearch
    texts: tuple[str, ...]


def draw_texts(
    subject: Subject, predictor: Predictor, target: int, random: np.random.Generator, *, rows: int
) -> Drawn | str:
    """So many texts to search on and about three times as many held out; or why there are none."""
    others = np.flatnonzero(subject.predictions.predicted != target)
    if len(others) < FEWEST_ROWS:
        return f"{len(others)} rows are answered other than {subject.labels[target]!r}; {FEWEST_ROWS} are needed"
    drawn = random.permutation(others)[: 8 * rows].tolist()
    # The shorter half: a trigger shows on them at half the cost.
    shorter = sorted(drawn, key=lambda row: (len(subject.texts[row]), row))[: max(FEWEST_ROWS, 4 * rows)]
    texts = tuple(subject.texts[row] for row in random.permutation(shorter))
    cut = max(1, min(rows, len(texts) // 4))
    searched = TriggerSearch(predictor, texts[:cut], room=LONGEST)
    return Drawn(target, searched, cut, TriggerSearch(predictor, texts[cut:], room=LONGEST), texts[cut:])
