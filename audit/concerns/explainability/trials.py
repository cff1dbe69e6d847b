"""One text's words against its fixed answer, on trial: what every kind of answer but a label has in common.

The answer stands fixed (what was written, the span that was found), its log-probability is watched, and the words of
the text come and go. Each method is held against a random order and against a copy with shuffled weights.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from audit.concerns.explainability.faithfulness import (
    RANDOM,
    RANDOM_WEIGHTS,
    Watched,
    agreement_metrics,
    erased_by,
    faithfulness_metrics,
    random_rankings,
    randomization_metric,
)
from audit.concerns.explainability.figures import faithfulness_figure
from audit.concerns.explainability.findings import completeness_findings, faithfulness_findings
from audit.concerns.explainability.stability import completeness_metrics
from audit.evidence import Limit
from audit.plugin import Evidence
from core_model.attribution import Attribution
from core_model.attribution_words import Worded


def on_trial(
    worded: Sequence[Worded],
    attributions: Mapping[str, Sequence[Attribution]],
    shuffled: Sequence[Attribution],
    answers: Callable[[Sequence[np.ndarray], np.ndarray], np.ndarray],
    *,
    watched: Watched,
    limit: Limit,
    tolerance: float,
    more_rows: str,
    resamples: int,
    random: Sequence[np.random.Generator],
) -> Evidence:
    """Metrics, findings and the chart; notes, settings and passes are the caller's.

    Args:
        attributions: by method, integrated gradients first; in the unit of what is watched.
        shuffled: integrated gradients of the copy with shuffled weights.
        answers: what is watched, without the words at some places, each of the row beside them.
        more_rows: the option that narrows the intervals.
        random: five, for the random orders, the trials, the copy, the agreement and the completeness error.
    """
    order_random, trial_random, copy_random, agreement_random, error_random = random
    rankings = {method: [a.ranking for a in found] for method, found in attributions.items()}
    rankings[RANDOM] = random_rankings(worded, order_random)
    rankings[RANDOM_WEIGHTS] = [a.ranking for a in shuffled]
    methods = list(attributions)
    default = attributions[methods[0]]
    trials = [
        *faithfulness_metrics(
            erased_by(answers, worded, rankings), methods, limit=limit, resamples=resamples, random=trial_random,
            watched=watched,
        ),
        randomization_metric(default, shuffled, resamples=resamples, random=copy_random),
        *agreement_metrics(attributions, resamples=resamples, random=agreement_random),
        *completeness_metrics(default, resamples=resamples, random=error_random, unit=watched.unit),
    ]  # fmt: skip
    return Evidence(
        metrics=trials,
        findings=[
            *faithfulness_findings(trials, methods[0], more_rows=more_rows),
            *completeness_findings(default, trials, tolerance),
        ],
        figures=[faithfulness_figure(trials, watched)],
    )
