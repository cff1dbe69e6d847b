"""Full-stop sensitivity: does the answer change when a full stop is added or taken away?

What it measures  The share of rows whose predicted label changes when the text's closing full stop is removed, or added
                  where there is none. Nothing that the text says has changed, so 0 is right; unit: share of rows.
How to read it    A row that flips was decided by punctuation. The interval is Wilson's.
How to mend it    Train on rows with and without closing punctuation.
Source            An invariance test in the sense of Ribeiro et al. 2020 (CheckList), arXiv:2005.04118.
"""

from __future__ import annotations

import numpy as np
from pydantic import Field

from audit.evidence import Limit, metric
from audit.plugin import Concern, Evidence, Options, audit
from audit.statistics import proportion
from audit.subject import Subject
from core_model.tasks import Task


class FullStopOptions(Options):
    """How many flips are too many."""

    max_flip_rate: float = Field(0.02, ge=0, le=1, description="largest share of rows that may flip")


@audit(
    concern=Concern.ROBUSTNESS,
    tasks={Task.CLASSIFICATION},
    forward_passes=lambda size, options: {"data": size.rows, "full stops": size.rows},
)
def full_stop_sensitivity(subject: Subject, options: FullStopOptions, random: np.random.Generator) -> Evidence:
    """Flip the closing full stop of every row and count the answers that change."""
    edited = [text[:-1] if text.endswith(".") else text + "." for text in subject.texts]
    flips = subject.predict(edited).predicted != subject.predictions.predicted  # (rows,) bool
    return Evidence(
        metrics=[
            metric(
                "full_stop_flip_rate",
                proportion(int(flips.sum()), len(flips)),
                unit="share of rows",
                better="lower",
                limit=Limit(options.max_flip_rate, "options.max_flip_rate"),
                definition="share of rows whose predicted label changes with the closing full stop",
                source="Ribeiro et al. 2020, arXiv:2005.04118",
            )
        ]
    )
