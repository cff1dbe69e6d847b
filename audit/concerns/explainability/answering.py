"""Explanations of answers in a context, on trial: do the words that a method names make the model mark this span?

The span that the model finds for a row's question stays fixed. Watched is the log-probability of its two ends, over the
tokens of the context: what is lost when the highest-ranked words of question and context go, and when only they stay,
against a random order and against a copy with shuffled weights, on the same rows. A word goes by becoming padding where
it stands, for without it the span would stand elsewhere, or nowhere.

Source: DeYoung et al. 2020 (ERASER), arXiv:1911.03429, with the log-probability of the span in the place of that of a
class; Devlin et al. 2019, arXiv:1810.04805, section 4.2, for the span's probability.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from audit.concerns.explainability.attention import attention_figure
from audit.concerns.explainability.faithfulness import SHARES, Watched
from audit.concerns.explainability.stability import planned_stability_passes, stability_metrics
from audit.concerns.explainability.trials import on_trial
from audit.evidence import Limit
from audit.plugin import Evidence
from core_model.attribution import EVEN_STEPS, Attribution, integrated_gradients
from core_model.attribution_answers import METHODS, PARTS, occlusion_of_spans
from core_model.attribution_answers_path import WHOLE, AnswerPath
from core_model.attribution_trials import randomized
from core_model.attribution_words import split_words

if TYPE_CHECKING:
    from audit.subject import Subject

OF_A_SPAN = Watched("nats", "log-probability of both ends of the span that was found")
MOST_STEPS = 100  # gradients of a row; a model that leaps oftener keeps an error, which is told
TYPICAL_STEPS, TYPICAL_WORDS = 20, 60  # of a row, for the plan


def planned_answer_passes(rows: int, options: Any) -> Mapping[str, int]:
    """Rows through the model, as `planned_passes`."""
    some = min(rows, options.written_rows)
    return {
        "questions that are answered, and their attention": 3 * some,
        "points between baseline and text": some * (TYPICAL_STEPS + EVEN_STEPS + 2),
        "explained texts without some words": some * (2 * TYPICAL_WORDS + 2 * len(SHARES) * (len(METHODS) + 2)),
        "texts near explained ones": planned_stability_passes(min(some, options.stability_rows), len(METHODS)),
    }


def answers_evidence(
    subject: Subject,
    random: np.random.Generator,
    *,
    limit: Limit,
    rows: int,
    stability_rows: int,
    tolerance: float,
    resamples: int,
) -> Evidence | None:
    """The trials of integrated gradients and occlusion; None where no row has two words and a context."""
    sample_random, weights_random, *others, stability_random = random.spawn(8)
    path = _sampled(subject, rows, sample_random)
    if path is None:
        return None
    targets = np.full(len(path), WHOLE)
    by_gradients = integrated_gradients(path, targets, tolerance=tolerance * len(PARTS), most_steps=MOST_STEPS)
    attributions = {METHODS[0]: by_gradients, "occlusion": occlusion_of_spans(path)}
    copied = randomized(path.predictor, weights_random)
    shuffled = integrated_gradients(path.asking(copied), targets, even_steps=EVEN_STEPS)  # ranking only

    def answers(gone: Sequence[np.ndarray], of: np.ndarray) -> np.ndarray:
        return path.without(of, gone)

    found = on_trial(
        path.worded, attributions, shuffled, answers, watched=OF_A_SPAN, limit=limit, tolerance=tolerance * len(PARTS),
        more_rows=f"explainability.written_rows={max(100, 4 * rows)}", resamples=resamples, random=others,
    )  # fmt: skip
    held = np.arange(min(len(path), stability_rows))  # the sample is in random order
    stable = stability_metrics(
        path, attributions, held, resamples=resamples, random=stability_random, watched=OF_A_SPAN
    )
    attention, without_attention = attention_figure(path)
    return replace(
        found,
        metrics=[*found.metrics, *stable],
        figures=[*found.figures, *([attention] if attention else [])],
        notes=[*_notes(subject, path, by_gradients, len(held)), *([without_attention] if without_attention else [])],
        settings={
            "baseline": "padding embeddings, special tokens kept",
            "answer": "the best span of at most 30 tokens",
            "a word goes": "its embeddings become padding",
        },
        forward_passes=copied.forward_passes,
    )


def _sampled(subject: Subject, most: int, random: np.random.Generator) -> AnswerPath | None:
    """Rows with a context and two words to rank, at most so many."""
    contexts = subject.data.pairs or ()
    spans = [(len(split_words(q)), len(split_words(c))) for q, c in zip(subject.texts, contexts, strict=False)]
    eligible = [row for row, (asked, told) in enumerate(spans) if told and asked + told >= 2]
    if not eligible:
        return None
    chosen = random.permutation(np.array(eligible, dtype=np.int64))[:most]
    predictor: Any = subject.predictor
    return AnswerPath(predictor, [subject.texts[row] for row in chosen], [contexts[row] for row in chosen])


def _notes(subject: Subject, path: AnswerPath, found: Sequence[Attribution], held: int) -> list[str]:
    steps = [one.steps or 0 for one in found]
    notes = [
        f"{len(path):,} of {len(subject.texts):,} rows were explained, drawn at random among those with a context; the "
        f"span that the model found was the answer, right or wrong. {held} of them were held to infidelity and "
        "sensitivity.",
        f"Integrated gradients took {np.mean(steps):.1f} gradients a row, {min(steps)} to {max(steps)}.",
        "Words that the model leans on are measured of classifiers.",
    ]
    if path.windowed:
        notes.append(
            f"{path.windowed} contexts were longer than the model takes: the window with the answer was explained, and "
            "its log-probability is within that window."
        )
    return notes
