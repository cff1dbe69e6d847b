"""Explanations of what a model writes, on trial: do the words that a method names make it write its answer?

A translator and a summarizer read the row's text; a language model reads its first half and goes on by itself. What it
writes, greedily and cut to a few tokens, is its answer, and stays fixed. Watched is the answer's log-probability, per
token of it, so that long answers count as much as short ones: what is lost when the highest-ranked words of the text
go, and when only they stay, against a random order and against a copy with shuffled weights, on the same rows.

Source: DeYoung et al. 2020 (ERASER), arXiv:1911.03429, with the log-probability of the answer in the place of that of a
class, as Sarti et al. 2023 (Inseq), arXiv:2302.13942.
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
from core_model.attribution_trials import randomized
from core_model.attribution_words import split_words
from core_model.attribution_writing import METHODS, occlusion_of_answers
from core_model.attribution_writing_path import WHOLE, Answer, WritingPath, written_answers
from core_model.tasks import Task

if TYPE_CHECKING:
    from audit.subject import Subject

OF_AN_ANSWER = Watched("nats a token", "log-probability of the answer, per token of it,")
PROMPT_WORDS = 40  # of a language model's row: half of it, and not more
MOST_STEPS = 100  # gradients of a row; a model that leaps oftener keeps an error, which is told
TYPICAL_STEPS, TYPICAL_WORDS = 20, 25  # of a row, for the plan


def planned_writing_passes(rows: int, options: Any) -> Mapping[str, int]:
    """Rows through the model, as `planned_passes`; each written token counts as one."""
    some = min(rows, options.written_rows)
    return {
        "tokens written for explained texts": some * options.answer_tokens,
        "points between baseline and text": some * (TYPICAL_STEPS + EVEN_STEPS + 2),
        "explained texts without some words": some
        * (3 + TYPICAL_WORDS + 2 * len(SHARES) * (len(METHODS) + 2)),
        "texts near explained ones": planned_stability_passes(min(some, options.stability_rows), len(METHODS)),
    }  # fmt: skip


def writing_evidence(
    subject: Subject,
    random: np.random.Generator,
    *,
    limit: Limit,
    rows: int,
    stability_rows: int,
    answer_tokens: int,
    tolerance: float,
    resamples: int,
) -> Evidence | None:
    """The trials of integrated gradients and occlusion; None where no row has two words and an answer."""
    sample_random, order_random, weights_random, *others, stability_random = random.spawn(8)
    sampled = _sampled(subject, rows, answer_tokens, sample_random)
    if sampled is None:
        return None
    path, silent = sampled
    lengths = np.array([len(answer.ids) for answer in path.answers])
    targets = np.full(len(path), WHOLE)
    whole = {
        "integrated-gradients": integrated_gradients(
            path, targets, tolerance=tolerance * lengths, most_steps=MOST_STEPS
        ),
        "occlusion": occlusion_of_answers(path),
    }
    attributions = {method: _per_token(found, lengths) for method, found in whole.items()}
    copied = randomized(path.predictor, weights_random)
    shuffled = integrated_gradients(path.asking(copied), targets, even_steps=EVEN_STEPS)  # ranking only

    def answers(gone: Sequence[np.ndarray], of: np.ndarray) -> np.ndarray:
        left = [path.worded[row].without(places)[0] for row, places in zip(of, gone, strict=True)]
        some = WritingPath(path.predictor, left, [path.answers[row] for row in of])
        return np.array([own.mean() for own in some.log_probabilities()])

    found = on_trial(
        path.worded, attributions, shuffled, answers, watched=OF_AN_ANSWER, limit=limit, tolerance=tolerance,
        more_rows=f"explainability.written_rows={max(100, 4 * rows)}", resamples=resamples,
        random=[order_random, *others],
    )  # fmt: skip
    held = np.arange(min(len(path), stability_rows))  # the sample is in random order
    stable = stability_metrics(
        path, whole, held, resamples=resamples, random=stability_random, watched=OF_AN_ANSWER, tokens=lengths
    )
    attention, without_attention = attention_figure(path)
    return replace(
        found,
        metrics=[*found.metrics, *stable],
        figures=[*found.figures, *([attention] if attention else [])],
        notes=[
            *_notes(subject, path, attributions["integrated-gradients"], silent, len(held)),
            *([without_attention] if without_attention else []),
        ],
        settings={
            "baseline": "padding embeddings, special tokens and the answer kept",
            "answer": f"greedy, at most {int(lengths.max())} tokens",
            "prompt": "the first half of a row" if subject.task is Task.LANGUAGE_MODELING else "the row's text",
        },
        forward_passes=copied.forward_passes,
    )


def _sampled(
    subject: Subject, most: int, answer_tokens: int, random: np.random.Generator
) -> tuple[WritingPath, int] | None:
    """Rows with two words to rank and an answer, at most so many, and how many of those drawn had no answer."""
    continues = subject.task is Task.LANGUAGE_MODELING
    prompts = [beginning_of(text) if continues else text for text in subject.texts]
    eligible = [row for row, prompt in enumerate(prompts) if len(split_words(prompt)) >= 2]
    if not eligible:
        return None
    chosen = random.permutation(np.array(eligible, dtype=np.int64))[:most]
    predictor: Any = subject.predictor
    limit = max(1, min(answer_tokens, predictor.checkpoint.max_length // 2))
    some = [prompts[row] for row in chosen]
    answers: list[Answer] = written_answers(predictor, some, max_new_tokens=limit)
    spoken = [place for place, answer in enumerate(answers) if len(answer.ids)]
    if not spoken:
        return None
    path = WritingPath(predictor, [some[place] for place in spoken], [answers[place] for place in spoken])
    kept = np.array([place for place, worded in enumerate(path.worded) if len(worded) >= 2], dtype=np.int64)
    return (path.select(kept), len(some) - len(spoken)) if len(kept) else None


def beginning_of(text: str) -> str:
    """The first half of a text's words, and not more than 40 of them, as the text writes them."""
    spans = split_words(text)
    count = min(PROMPT_WORDS, len(spans) // 2)
    return text[: spans[count - 1][1]] if count else ""


def _per_token(found: Sequence[Attribution], lengths: np.ndarray) -> list[Attribution]:
    """In nats for a token of the answer, the unit of the trials."""
    return [
        replace(
            one, scores=one.scores / length, score=one.score / length, rest=one.rest / length,
            completeness_error=None if one.completeness_error is None else one.completeness_error / length,
        )
        for one, length in zip(found, lengths.tolist(), strict=True)
    ]  # fmt: skip


def _notes(subject: Subject, path: WritingPath, found: Sequence[Attribution], silent: int, held: int) -> list[str]:
    steps = [one.steps or 0 for one in found]
    read = "its first half was the prompt" if subject.task is Task.LANGUAGE_MODELING else "its text was the source"
    notes = [
        f"{len(path):,} of {len(subject.texts):,} rows were explained, drawn at random among those with two words to "
        f"rank; {read}, and what the model wrote greedily, {max(len(a.ids) for a in path.answers)} tokens at most, was "
        f"the answer. {held} of them were held to infidelity and sensitivity.",
        f"Integrated gradients took {np.mean(steps):.1f} gradients a row, {min(steps)} to {max(steps)}.",
        "Words that the model leans on are measured of classifiers.",
    ]
    if silent:
        notes.append(f"{silent} rows were left out: the model writes nothing for them.")
    if path.truncated:
        notes.append(f"{path.truncated} texts were longer than the model takes; what it does not see was left out.")
    return notes
