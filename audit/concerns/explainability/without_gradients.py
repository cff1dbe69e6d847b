"""A model that gives no gradients, such as an exported one: occlusion on trial, and what the model leans on.

What needs gradients, or weights to shuffle, stands in the record as absent, with that reason.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from audit.concerns.explainability.faithfulness import (
    ADEBAYO,
    ERASER,
    PROBABILITY,
    RANDOM,
    erase,
    faithfulness_metrics,
    random_rankings,
)
from audit.concerns.explainability.figures import faithfulness_figure, influence_figure
from audit.concerns.explainability.findings import faithful_methods, faithfulness_findings, leaning_findings
from audit.concerns.explainability.influence import influence_metrics, influences
from audit.concerns.explainability.stability import SUNDARARAJAN, YEH
from audit.evidence import Limit, metric
from audit.plugin import Evidence, Need
from audit.statistics import Estimate
from core_model.attribution import occlusion
from core_model.attribution_words import Worded, split_words
from reports.record import Metric

if TYPE_CHECKING:
    from audit.concerns.explainability import ExplainabilityOptions
    from audit.subject import Subject

METHOD, ABSENT = "occlusion", "integrated-gradients"


def evidence_without_gradients(
    subject: Subject, options: ExplainabilityOptions, random: np.random.Generator, limit: Limit
) -> Evidence | None:
    """Occlusion against a random order, and the words of most influence by it; None where no row has two words."""
    sample_random, order_random, trial_random, word_random = random.spawn(4)
    pairs = subject.data.pairs
    whole = [_worded(text, None if pairs is None else pairs[row]) for row, text in enumerate(subject.texts)]
    eligible = np.array([row for row, worded in enumerate(whole) if len(worded) >= 2], dtype=np.int64)
    if not len(eligible):
        return None
    sampled = sample_random.permutation(eligible)[: options.rows]
    worded, targets = [whole[row] for row in sampled], subject.predictions.predicted[sampled]
    found = occlusion(subject.predictor, worded, targets)  # type: ignore[arg-type]
    rankings = {METHOD: [one.ranking for one in found], RANDOM: random_rankings(worded, order_random)}
    trials = faithfulness_metrics(
        erase(subject, worded, rankings, targets), [METHOD], limit=limit, resamples=options.resamples,
        random=trial_random,
    )  # fmt: skip
    leaning = influences(
        subject, found, sampled, most=options.top_words, named=options.words, identities=options.identity_words,
        deletion_rows=options.deletion_rows, resamples=options.resamples, random=word_random,
    )  # fmt: skip
    absent = _absent()
    words = influence_figure(leaning, subject.labels, faithful=faithful_methods(trials)[METHOD])
    return Evidence(
        metrics=[*trials, *absent, *influence_metrics(leaning, subject.labels)],
        findings=[*faithfulness_findings([*trials, *absent], METHOD), *leaning_findings(leaning, subject)],
        figures=[figure for figure in (faithfulness_figure(trials), words) if figure],
        notes=[
            f"{len(worded):,} of {len(whole):,} rows were explained, drawn at random among those with two words.",
            "The model gives no gradients: words were explained by occlusion, and influence is by occlusion, too.",
        ],
    )


def _worded(text: str, pair: str | None) -> Worded:
    spans = [(0, *span) for span in split_words(text)] + [(1, *span) for span in split_words(pair or "")]
    return Worded(text, pair, tuple(spans))


def _absent() -> list[Metric]:
    """The numbers that this model cannot give."""
    reason = Estimate.absent(f"the model gives no gradients; {Need.GRADIENTS.supply} supplies them")
    part = {"method": ABSENT}
    return [
        metric(
            "comprehensiveness_over_random", reason, unit=PROBABILITY, better="higher", slice=part, source=ERASER,
            definition="comprehensiveness minus that of a random order on the same rows",
        ),
        metric(
            "randomization_rank_correlation", reason, unit="rank correlation", better="lower", slice=part,
            source=ADEBAYO, definition="Spearman's correlation of the sizes of a row's word scores with those of a "
            "copy with shuffled weights, mean over rows",
        ),
        metric(
            "completeness_error", reason, unit=PROBABILITY, better="lower", slice={"over": "mean"},
            source=SUNDARARAJAN, definition="size of (sum of a row's scores minus what its score differs from the "
            "baseline's), mean over rows",
        ),
        metric(
            "infidelity", reason, unit="probability squared", better="lower", slice=part, source=YEH,
            definition="mean square of (scores of a random half of the words, minus the probability lost when their "
            "embeddings become padding)",
        ),
        metric(
            "max_sensitivity", reason, unit="share of the scores' norm", better="lower", slice=part, source=YEH,
            definition="largest relative change of a row's scores among copies whose embeddings were moved a little",
        ),
    ]  # fmt: skip
