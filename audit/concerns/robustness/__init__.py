"""Robustness: does the answer stay when a text changes in ways that change nothing?

What it measures  Noise that is nobody's attack, each kind at its degrees: typos, case, punctuation, spaces, Unicode
                  forms, English paraphrases by rule, and a missing end. Of a classifier: accuracy under each noise and
                  its paired difference from accuracy without; the share of changed rows that keep their label
                  (invariance), the worst noise, and rows that keep their label under every noise, by group. Where a
                  model writes, foresees or finds text: how its metric, or the likelihood of the references, changes.
                  And for classifiers the accuracy that provably stays when words are replaced: randomized smoothing
                  over parts of the text, against the number of replaced words.
How to read it    Missing ends and typos in more than 30% of the words are shown, and not judged: there another answer
                  may be right. The worst noise was picked for being worst: its interval is widened (Bonferroni). A row
                  that a noise does not touch (no accents, no numbers) counts for accuracy, and not for invariance.
                  The provable accuracy is that of the smoothed classifier, a wrapper around the model that looks at
                  parts of each text; it holds whichever words are replaced, each row with the failure probability
                  that is set. It is a lower limit: no attack may come near it. A model that was never trained on
                  parts of texts has a low one. Words added or left out are another matter.
How to mend it    `aboveboard train --augment typos` or `--augment noise` trains on noisy copies of the rows;
                  `--augment token-dropout --token-dropout-rate 0.7` on parts of texts, for the smoothed classifier
                  (`aboveboard smooth`, `core_model.smoothing`), which serves in the model's place. `aboveboard audit
                  --smoothing-keep 0.3` puts that one on trial: every number is then the wrapper's.
Source            Belinkov and Bisk 2018, arXiv:1711.02173; Ribeiro et al. 2020 (CheckList), arXiv:2005.04118; Zeng et
                  al. 2021 (RanMASK), arXiv:2105.03743; Levine and Feizi 2020, arXiv:1911.09272; Cohen et al. 2019,
                  arXiv:1902.02918.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from audit.concerns.robustness.certified import smoothing_evidence
from audit.concerns.robustness.classifier import noise_evidence
from audit.concerns.robustness.corpus import corpus_evidence
from audit.evidence import Limit
from audit.plugin import PARTS_OF_TEXTS, Concern, Evidence, Need, Options, Size, audit
from core_model.evaluation import EVALUABLE
from core_model.noise import NOISES
from core_model.smoothing import Smoothing
from core_model.tasks import Task

if TYPE_CHECKING:
    from audit.subject import Subject


class RobustnessOptions(Options):
    """What can be set."""

    rows: int | None = Field(250, ge=2, description="rows that are run under each noise, drawn at random; unset: all")
    max_accuracy_drop: float = Field(
        0.1,
        gt=0,
        lt=1,
        description="largest loss allowed under the worst noise, share of the metric's scale: 0.1 is 0.1 of accuracy "
        "or token F1, 10 points of BLEU",
    )
    written_rows: int = Field(
        50, ge=0, description="rows that are written anew under typos, where the task is to write"
    )
    smoothed_rows: int | None = Field(60, ge=0, description="of these rows, how many are smoothed; 0: none, unset: all")
    smoothing_looks: int = Field(100, ge=20, description="parts of each text that vote; more prove larger radii")
    smoothing_keep: float = Field(
        0.3,
        gt=0,
        le=1,
        description="share of the words in a part; less proves larger radii, of fewer right answers; where the "
        "smoothed classifier is on trial, its own counts",
    )
    failure_probability: float = Field(
        0.001, gt=0, lt=0.5, description="with which the certificate of one row may be wrong"
    )


def planned_passes(size: Size, options: RobustnessOptions) -> Mapping[str, int]:
    """The data; of a sample, every noise that touches a row (about half of them do); and the smoothed rows."""
    rows = size.rows if options.rows is None else min(size.rows, options.rows)
    passes = {"data": size.rows, "noise": rows * sum(len(noise.rates) for noise in NOISES.values()) // 2}
    if size.task is Task.CLASSIFICATION:
        smoothed = rows if options.smoothed_rows is None else min(rows, options.smoothed_rows)
        passes[PARTS_OF_TEXTS] = smoothed * options.smoothing_looks
    elif size.task in (Task.TRANSLATION, Task.SUMMARIZATION):
        passes["texts written under noise"] = min(rows, options.written_rows)
    return passes


@audit(
    concern=Concern.ROBUSTNESS,
    uses={Need.LABELS, Need.GROUPS},
    tasks=EVALUABLE,
    forward_passes=planned_passes,
    profiles={
        "quick": {"rows": 60, "smoothed_rows": 12, "smoothing_looks": 40, "written_rows": 20},
        "full": {"rows": None, "smoothed_rows": 500, "smoothing_looks": 1000, "written_rows": 500},
    },
)
def robustness(subject: Subject, options: RobustnessOptions, random: np.random.Generator) -> Evidence:
    """Every noise on a sample of the rows; then the smoothed classifier on some of them."""
    row_random, noise_random, smoothing_random = random.spawn(3)
    rows = drawn(subject.data.rows, options.rows, row_random)
    limit = Limit(
        options.max_accuracy_drop,
        f"robustness.max_accuracy_drop, {options.whose('max_accuracy_drop')}",
    )
    if subject.task is not Task.CLASSIFICATION:
        return corpus_evidence(subject, rows, noise_random, limit=limit, written_rows=options.written_rows)
    noise = noise_evidence(subject, rows, noise_random, limit=limit)
    smoothing = Smoothing(
        keep=options.smoothing_keep,
        looks=options.smoothing_looks,
        failure_probability=options.failure_probability,
    )
    smoothed_rows = rows if options.smoothed_rows is None else rows[: options.smoothed_rows]
    smoothed = smoothing_evidence(subject, smoothed_rows, smoothing, smoothing_random)
    return Evidence(
        metrics=[*noise.metrics, *smoothed.metrics],
        findings=[*noise.findings, *smoothed.findings],
        figures=[*noise.figures, *smoothed.figures],
        notes=[*noise.notes, *smoothed.notes],
        outcomes={**noise.outcomes, **smoothed.outcomes},
        settings={"rows_run": len(rows), "rows_smoothed": len(smoothed_rows), "choosing_looks": smoothing.choosing},
    )


def drawn(rows: int, most: int | None, random: np.random.Generator) -> np.ndarray:
    """Row numbers in random order, at most so many."""
    return random.permutation(rows)[:most]
