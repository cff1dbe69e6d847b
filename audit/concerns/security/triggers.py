"""Universal triggers: are there a few words that turn most rows of a class, wherever they are put before?

A trigger is searched on some rows and held against others of the same class, beside random words of the same number:
the difference is paired, over the same rows. Source: Wallace et al. 2019, arXiv:1908.07125.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from audit.concerns.security.sample import Sample
from audit.evidence import metric
from audit.statistics import Estimate, paired_difference_of_proportions, proportion
from core_model.attacks.triggers import Trigger, find_trigger, random_trigger, vocabulary_of
from core_model.prediction import Predictor
from reports.record import Metric

WALLACE = "Wallace et al. 2019, arXiv:1908.07125"
FEWEST_ROWS = 8  # of a class, right before; half of them are searched on
UNIT = "share of held-out rows"


@dataclass(frozen=True)
class Triggered:
    """A class's trigger and what it did to held-out rows; without a trigger, `missing` says why.

    Attributes:
        turned, turned_by_chance: (held-out rows,) of bool: whether another class is predicted with the trigger, and
            with random words.
        rows: (held-out rows,) places in the data.
    """

    label: int
    trigger: Trigger | None
    turned: np.ndarray
    turned_by_chance: np.ndarray
    rows: np.ndarray
    missing: str | None = None


def search_triggers(
    predictor: Predictor | None,
    sample: Sample,
    labels: Sequence[str],
    *,
    length: int,
    candidates: int,
    search_rows: int,
    random: np.random.Generator,
    missing: str | None,
) -> list[Triggered]:
    """A trigger for each class.

    Args:
        length: words; candidates: words tried at each place.
        search_rows: rows of a class that the search looks at, at most; the others are held out.
        missing: why nothing can be measured; None where it can.
    """

    def absent(label: int, why: str) -> Triggered:
        return Triggered(label, None, np.zeros(0, bool), np.zeros(0, bool), np.zeros(0, np.int64), why)

    if predictor is None or missing is not None:
        return [absent(label, missing or "not measured") for label in range(len(labels))]
    if sample.pairs is not None:
        return [absent(label, "rows are pairs of texts") for label in range(len(labels))]
    vocabulary = vocabulary_of(predictor, forbidden=frozenset(label.casefold() for label in labels))
    found = []
    for label, child in zip(range(len(labels)), random.spawn(len(labels)), strict=True):
        right = np.flatnonzero((sample.targets == label) & (sample.predicted == label))
        if len(right) < FEWEST_ROWS:
            found.append(
                absent(label, f"{len(right)} drawn rows of {labels[label]!r} are answered so; {FEWEST_ROWS} are needed")
            )
            continue
        searched = right[: min(len(right) // 2, search_rows)]
        held_out = right[len(searched) :]
        trigger = find_trigger(
            predictor, [sample.texts[row] for row in searched], label, vocabulary, length=length, candidates=candidates
        )
        texts = [sample.texts[row] for row in held_out]
        chance = [" ".join((*random_trigger(vocabulary, length, child), text)) for text in texts]  # others for each row
        turned = predictor.predict([trigger.put_before(text) for text in texts]).predicted != label
        found.append(
            Triggered(label, trigger, turned, predictor.predict(chance).predicted != label, sample.rows[held_out])
        )
    return found


def trigger_metrics(found: Sequence[Triggered], labels: Sequence[str]) -> list[Metric]:
    """Success of each class's trigger on held-out rows, of random words, and the difference."""
    lines = []
    for one in found:
        part = {"class": labels[one.label]}
        n, turned, by_chance = len(one.turned), int(one.turned.sum()), int(one.turned_by_chance.sum())
        both = int((one.turned & one.turned_by_chance).sum())
        nothing = Estimate.absent(one.missing or "not measured")
        known = one.trigger is not None
        lines += [
            metric(
                "trigger_success_rate", proportion(turned, n) if known else nothing, unit=UNIT, better="lower",
                slice={**part, "trigger": "searched"}, source=WALLACE,
                definition="share of held-out rows of the class, answered rightly before, that are answered otherwise "
                "with the trigger before them",
            ),
            metric(
                "trigger_success_rate", proportion(by_chance, n) if known else nothing, unit=UNIT, better="lower",
                slice={**part, "trigger": "random words"}, source=WALLACE,
                definition="the same with as many random words, other ones for each row",
            ),
            metric(
                "trigger_success_over_random",
                paired_difference_of_proportions(both, turned - both, by_chance - both, n - turned - by_chance + both)
                if known else nothing,
                unit="difference of shares of held-out rows", better="lower", slice=part, source=WALLACE,
                definition="success of the trigger minus that of random words, on the same held-out rows",
            ),
        ]  # fmt: skip
    return lines
