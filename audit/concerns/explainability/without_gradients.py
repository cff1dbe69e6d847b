"""A model that gives no gradients, such as an exported one: words left out on trial, and what the model leans on.

Occlusion is on trial, and Shapley sampling where it is asked for. What needs gradients, attention, or weights to
shuffle stands in the record as absent, line by line, with that reason (`absent`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from audit.concerns.explainability.absent import absent_metrics
from audit.concerns.explainability.faithfulness import (
    RANDOM,
    agreement_metrics,
    erase,
    faithfulness_metrics,
    random_rankings,
)
from audit.concerns.explainability.figures import faithfulness_figure, influence_figure
from audit.concerns.explainability.findings import faithful_methods, faithfulness_findings, leaning_findings
from audit.concerns.explainability.influence import influence_metrics, influences
from audit.evidence import Limit
from audit.plugin import Evidence
from core_model.attribution import BY_ANSWERS, Attribution, occlusion, shapley_sampling
from core_model.attribution_path import EmbeddingPath
from core_model.attribution_words import Worded, split_words
from core_model.prediction import Predictor

if TYPE_CHECKING:
    from audit.concerns.explainability import ExplainabilityOptions
    from audit.subject import Subject

METHOD = BY_ANSWERS[0]


def evidence_without_gradients(
    subject: Subject, options: ExplainabilityOptions, random: np.random.Generator, limit: Limit
) -> Evidence | None:
    """Methods that ask for answers alone against a random order, and the words of most influence by occlusion.

    Returns: None where no row has two words.
    """
    children = random.spawn(11)  # as with gradients: both look at the same rows, in the same random orders
    sample_random, shapley_random, order_random, _, trial_random = children[:5]
    agreement_random, word_random = children[6], children[9]
    sampled, worded, truncated = _sample(subject, options.rows, sample_random)
    if not len(sampled):
        return None
    targets = subject.predictions.predicted[sampled]
    attributions = {
        method: _explained(subject, worded, targets, method, shapley_random)
        for method in BY_ANSWERS
        if method == METHOD or method in options.methods
    }
    rankings = {method: [one.ranking for one in found] for method, found in attributions.items()}
    rankings[RANDOM] = random_rankings(worded, order_random)
    trials = [
        *faithfulness_metrics(
            erase(subject, worded, rankings, targets), list(attributions), limit=limit, resamples=options.resamples,
            random=trial_random,
        ),
        *agreement_metrics(attributions, resamples=options.resamples, random=agreement_random),
    ]  # fmt: skip
    leaning = influences(
        subject, attributions[METHOD], sampled, most=options.top_words, named=options.words,
        identities=options.identity_words, deletion_rows=options.deletion_rows, resamples=options.resamples,
        random=word_random,
    )  # fmt: skip
    absent = absent_metrics(options.methods, list(attributions), stages=options.cascade_stages,
                            why=subject.why_no_gradients)  # fmt: skip
    words = influence_figure(leaning, subject.labels, faithful=faithful_methods(trials)[METHOD])
    notes = [
        f"{len(worded):,} of {len(subject.texts):,} rows were explained, drawn at random among those with two words.",
        f"The model gives no gradients: words were explained by {' and '.join(attributions)}, and influence is by "
        f"{METHOD}, too. Attention was not looked at: {subject.why_no_gradients}.",
    ]
    if truncated:
        notes.append(f"{truncated} texts were longer than the model takes; what it does not see was left out.")
    return Evidence(
        metrics=[*trials, *absent, *influence_metrics(leaning, subject.labels)],
        findings=[*faithfulness_findings([*trials, *absent], METHOD), *leaning_findings(leaning, subject)],
        figures=[figure for figure in (faithfulness_figure(trials), words) if figure],
        notes=notes,
    )


def _sample(subject: Subject, most: int, random: np.random.Generator) -> tuple[np.ndarray, list[Worded], int]:
    """Rows with two words or more that the model sees, in random order; their words; and how many texts were cut."""
    pairs, texts = subject.data.pairs, subject.texts
    spans = [len(split_words(text)) + (len(split_words(pairs[row])) if pairs else 0) for row, text in enumerate(texts)]
    chosen = random.permutation(np.flatnonzero(np.array(spans) >= 2))[:most]
    of_pair = [None if pairs is None else pairs[row] for row in chosen]
    if isinstance(subject.predictor, Predictor):
        path = EmbeddingPath(subject.predictor, [texts[row] for row in chosen], of_pair if pairs else None)  # type: ignore[arg-type]
        worded, truncated = path.worded, path.truncated
    else:  # a stand-in reads whatever there is, and so do the looks of a smoothed classifier
        worded = [_whole(texts[row], pair) for row, pair in zip(chosen, of_pair, strict=True)]
        truncated = 0
    kept = [place for place, one in enumerate(worded) if len(one) >= 2]
    return chosen[kept], [worded[place] for place in kept], truncated


def _whole(text: str, pair: str | None) -> Worded:
    spans = [(0, *span) for span in split_words(text)] + [(1, *span) for span in split_words(pair or "")]
    return Worded(text, pair, tuple(spans))


def _explained(
    subject: Subject, worded: list[Worded], targets: np.ndarray, method: str, random: np.random.Generator
) -> list[Attribution]:
    if method == METHOD:
        return occlusion(subject.predictor, worded, targets)  # type: ignore[arg-type]
    return shapley_sampling(subject.predictor, worded, targets, random=random)  # type: ignore[arg-type]
