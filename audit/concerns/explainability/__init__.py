"""Explainability: are the explanations of this model's answers true, and what does it lean on?

What it measures  Which words made the model say so, by integrated gradients, input x gradient, occlusion and
                  attention rollout, and whether that is true: comprehensiveness and sufficiency (what is lost when the
                  highest-ranked words are deleted, and when only they are left), each held against a random order of
                  the same words and against integrated gradients of a copy with shuffled weights, all at once and
                  layer by layer from the head; infidelity, sensitivity and completeness error; rank agreement between
                  methods; where each attention head looks. And the words that move the answers most, identity terms
                  among them, with the proof: how many answers change when the word is deleted, or becomes its
                  counterpart.
                  Of a model that writes: which words of the prompt or source made it write its answer, by integrated
                  gradients and occlusion, on the same trials, in log-probability of the answer per token of it. Of a
                  model that finds answers: which words of question and context made it mark this span, likewise.
How to read it    Comprehensiveness alone says little, for deleting any words hurts: read the difference to the random
                  order. Where its interval holds 0, the method is not shown to be faithful on this model, and its
                  pictures are decoration. A rank correlation near 0 with the shuffled copy is as it should be. Methods
                  may disagree; that is a fact about explanations, not an error. Deleted words leave texts that nobody
                  wrote, so comprehensiveness mixes the word's weight with the oddness of its absence. A word is a
                  candidate for a spurious feature when deleting it flips more answers than deleting another word of
                  the row, and the data do not say that it speaks for the label, or it stands mostly in one group's
                  rows; a person decides whether it is one.
                  Severity: high, when the default method is worse than a random order; medium, when it is not shown to
                  be better, or a word decides without a reason in the data; low, for the other methods, and where
                  scores do not add up.
How to mend it    Show the method that beats the random order: `aboveboard explain CHECKPOINT --text "..." --method M`.
                  For a word that should not decide: train on rows augmented by its deletion, and audit again.
Source            Sundararajan et al. 2017, arXiv:1703.01365; DeYoung et al. 2020, arXiv:1911.03429; Adebayo et al.
                  2018, arXiv:1810.03292; Yeh et al. 2019, arXiv:1901.09392; Abnar and Zuidema 2020, arXiv:2005.00928.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field, field_validator

from audit.concerns.explainability.answering import answers_evidence, planned_answer_passes
from audit.concerns.explainability.attention import attention_figure
from audit.concerns.explainability.cascade import cascade_figure, cascade_metrics
from audit.concerns.explainability.faithfulness import (
    ERASER,
    PROBABILITY,
    RANDOM,
    RANDOM_WEIGHTS,
    SHARES,
    agreement_metrics,
    erase,
    faithfulness_metrics,
    random_rankings,
    randomization_metric,
)
from audit.concerns.explainability.figures import faithfulness_figure, influence_figure
from audit.concerns.explainability.findings import (
    completeness_findings,
    faithful_methods,
    faithfulness_findings,
    leaning_findings,
)
from audit.concerns.explainability.influence import influence_metrics, influences
from audit.concerns.explainability.stability import (
    completeness_metrics,
    planned_stability_passes,
    stability_metrics,
)
from audit.concerns.explainability.without_gradients import evidence_without_gradients
from audit.concerns.explainability.writing import planned_writing_passes, writing_evidence
from audit.evidence import Limit, metric
from audit.plugin import Concern, Evidence, Need, Options, Size, audit
from audit.statistics import Estimate
from audit.subject import GENERATORS
from core_model.attribution import (
    EVEN_STEPS,
    METHODS,
    PERMUTATIONS,
    TOLERANCE,
    WITHOUT_SIGN,
    Attribution,
    attention_rollout,
    input_x_gradient,
    integrated_gradients,
    occlusion,
    refuse,
    shapley_sampling,
)
from core_model.attribution_bisection import FIRST, MOST_STEPS
from core_model.attribution_path import EmbeddingPath
from core_model.attribution_trials import randomized
from core_model.attribution_words import split_words
from core_model.errors import BadInput
from core_model.prediction import Predictor
from core_model.tasks import Task

if TYPE_CHECKING:
    from audit.subject import Subject

DEFAULT = METHODS[0]
TYPICAL_WORDS = 25  # of a row, for the plan


class ExplainabilityOptions(Options):
    """How much is looked at, and which methods are put on trial."""

    rows: int = Field(100, ge=2, description="rows that are explained, drawn at random; more narrow every interval")
    methods: tuple[str, ...] = Field(
        ("integrated-gradients", "input-x-gradient", "occlusion", "attention-rollout"),
        description="attribution methods on trial beside integrated-gradients, which always is",
    )
    tolerance: float = Field(
        TOLERANCE,
        gt=0,
        lt=1,
        description="completeness error from which a row gets more steps, probability (or nats a written token)",
    )
    stability_rows: int = Field(
        15, ge=2, description="of those rows, how many are held to infidelity and sensitivity, which cost most"
    )
    cascade_stages: int = Field(
        4, ge=0, description="stages of the layer-by-layer randomization, from the head to the embeddings; 0: none"
    )
    top_words: int = Field(10, ge=0, le=100, description="influential words that are shown and deleted")
    written_rows: int = Field(
        30, ge=2, description="of a model that writes or finds answers: rows that are explained, drawn at random"
    )
    answer_tokens: int = Field(
        12,
        ge=1,
        le=200,
        description="of a model that writes: tokens of each answer that are written and explained",
    )
    words: tuple[str, ...] = Field(
        (), description="words looked at whatever their influence, such as names of groups; none by default"
    )
    identity_words: int = Field(
        3, ge=0, description="identity terms of the most rows that are looked at whatever their influence"
    )
    deletion_rows: int = Field(100, ge=1, description="rows in which each word is deleted, at most")
    resamples: int = Field(2000, ge=200, description="resamples of the bootstrap; fewer are quicker and rougher")

    @field_validator("methods", "words", mode="before")
    @classmethod
    def _listed(cls, given: object) -> object:
        """A list may be given as one text with commas."""
        return tuple(part.strip() for part in given.split(",") if part.strip()) if isinstance(given, str) else given

    @field_validator("methods")
    @classmethod
    def _offered(cls, methods: tuple[str, ...]) -> tuple[str, ...]:
        """Refuse, before anything is measured, what is wrong on Transformers; the default method comes first."""
        for method in methods:
            try:
                refuse(method)
            except BadInput as error:
                raise ValueError(f"{error.found}; try {error.mend}") from error
        return tuple(dict.fromkeys([DEFAULT, *methods]))


def planned_passes(size: Size, options: ExplainabilityOptions) -> Mapping[str, int]:
    """Rows through the model: gradients count as one pass each; words of a row are taken to be 25."""
    if size.task in GENERATORS:
        return planned_writing_passes(size.rows, options)
    if size.task is Task.QUESTION_ANSWERING:
        return planned_answer_passes(size.rows, options)
    rows, stable = min(size.rows, options.rows), min(size.rows, options.rows, options.stability_rows)
    rankings = len(options.methods) + 2
    deletions = rows * (1 + 2 * len(SHARES) * rankings)
    if "occlusion" in options.methods:
        deletions += rows * (TYPICAL_WORDS + 1)
    if "shapley-sampling" in options.methods:
        deletions += rows * PERMUTATIONS * (TYPICAL_WORDS + 1)
    return {
        "data": size.rows,
        "points between baseline and text": rows * (2 * FIRST + 2 + EVEN_STEPS + 2),
        "explained texts without some words": deletions,
        "texts near explained ones": planned_stability_passes(stable, len(options.methods)),
        "points under shuffled layers": stable * options.cascade_stages * (EVEN_STEPS + 2),
        "attention of explained texts": rows * (2 if "attention-rollout" in options.methods else 1),
        "texts without an influential word": (2 * options.top_words + 3 * options.identity_words)
        * min(options.deletion_rows, size.rows),
    }


@audit(
    concern=Concern.EXPLAINABILITY,
    uses={Need.LABELS, Need.GROUPS, Need.GRADIENTS},
    tasks={Task.CLASSIFICATION, Task.QUESTION_ANSWERING, *GENERATORS},
    forward_passes=planned_passes,
    profiles={
        "quick": {
            "rows": 30,
            "written_rows": 10,
            "stability_rows": 5,
            "cascade_stages": 2,
            "top_words": 5,
            "deletion_rows": 50,
            "resamples": 1000,
        },
        "full": {"rows": 500, "written_rows": 100, "stability_rows": 50, "top_words": 20, "deletion_rows": 300},
    },
)
def explainability(subject: Subject, options: ExplainabilityOptions, random: np.random.Generator) -> Evidence:
    """Explanations on trial against chance, and the words that the model leans on."""
    limit = Limit(0.0, "an explanation has to beat a random order, default of this audit")
    if subject.task is not Task.CLASSIFICATION:
        return evidence_without_labels(subject, options, random, limit) or nothing_to_rank(limit)
    if not (subject.has(Need.GRADIENTS) and isinstance(subject.predictor, Predictor)):
        return evidence_without_gradients(subject, options, random, limit) or nothing_to_rank(limit)
    children = random.spawn(11)
    sample_random, shapley_random, order_random, weights_random, trial_random = children[:5]
    copy_random, agreement_random, completeness_random, stability_random, word_random = children[5:10]
    cascade_random = children[10]

    sample = sample_rows(subject, options.rows, sample_random)
    if sample is None:
        return nothing_to_rank(limit)
    sampled, path = sample
    targets = subject.predictions.predicted[sampled]
    attention, without_attention = attention_figure(path)
    methods = [method for method in options.methods if attention is not None or method not in WITHOUT_SIGN]
    attributions = {method: explained(path, targets, method, options.tolerance, shapley_random) for method in methods}
    copied = randomized(path.predictor, weights_random)
    shuffled = integrated_gradients(path.asking(copied), targets, even_steps=EVEN_STEPS)  # ranking only
    rankings = {method: [a.ranking for a in found] for method, found in attributions.items()}
    rankings[RANDOM] = random_rankings(path.worded, order_random)
    rankings[RANDOM_WEIGHTS] = [a.ranking for a in shuffled]
    erased = erase(subject, path.worded, rankings, targets)

    default, resamples = attributions[DEFAULT], options.resamples
    held = np.arange(min(len(sampled), options.stability_rows))  # the sample is in random order
    trials = [
        *faithfulness_metrics(erased, methods, limit=limit, resamples=resamples, random=trial_random),
        randomization_metric(default, shuffled, resamples=resamples, random=copy_random),
        *agreement_metrics(attributions, resamples=resamples, random=agreement_random),
        *completeness_metrics(default, resamples=resamples, random=completeness_random),
        *stability_metrics(path, attributions, held, resamples=resamples, random=stability_random),
    ]
    under_shuffled_layers, cascade_passes = cascade_metrics(
        path, default, held, most=options.cascade_stages, resamples=resamples, random=cascade_random
    )
    trials += under_shuffled_layers
    leaning = influences(
        subject, default, sampled, most=options.top_words, named=options.words, identities=options.identity_words,
        deletion_rows=options.deletion_rows, resamples=resamples, random=word_random,
    )  # fmt: skip
    faithful = faithful_methods(trials)[DEFAULT]
    words = influence_figure(leaning, subject.labels, faithful=faithful)
    layers = cascade_figure(trials, faithful=faithful)
    findings = [
        *faithfulness_findings(trials, DEFAULT),
        *leaning_findings(leaning, subject),
        *completeness_findings(default, trials, options.tolerance),
    ]
    return Evidence(
        metrics=[*trials, *influence_metrics(leaning, subject.labels)],
        findings=findings,
        figures=[figure for figure in (faithfulness_figure(trials), layers, words, attention) if figure],
        notes=[*notes_of(subject, path, default, held, options), *([without_attention] if without_attention else [])],
        settings={
            "baseline": "padding embeddings, special tokens kept",
            "steps": f"{FIRST} even points, halved where in doubt up to {MOST_STEPS}",
        },
        forward_passes=copied.forward_passes + cascade_passes,
    )


def evidence_without_labels(
    subject: Subject, options: ExplainabilityOptions, random: np.random.Generator, limit: Limit
) -> Evidence | None:
    """Of a model that writes, or finds answers; None where no row has two words and an answer."""
    if not subject.has(Need.GRADIENTS):
        return nothing_to_rank(limit, subject.why_no_gradients)  # a word that goes stays as padding among their points
    rows, tolerance, resamples = options.written_rows, options.tolerance, options.resamples
    if subject.task is Task.QUESTION_ANSWERING:
        return answers_evidence(
            subject, random, limit=limit, rows=rows, stability_rows=options.stability_rows, tolerance=tolerance,
            resamples=resamples,
        )  # fmt: skip
    return writing_evidence(
        subject, random, limit=limit, rows=rows, stability_rows=options.stability_rows,
        answer_tokens=options.answer_tokens, tolerance=tolerance, resamples=resamples,
    )  # fmt: skip


def sample_rows(subject: Subject, most: int, random: np.random.Generator) -> tuple[np.ndarray, EmbeddingPath] | None:
    """Rows with at least two words, at most so many, in random order, and their way through embedding space.

    Returns: None when no row has two words that the model sees.
    """
    pairs = subject.data.pairs
    eligible = [
        row
        for row, text in enumerate(subject.texts)
        if len(split_words(text)) + (len(split_words(pairs[row])) if pairs is not None else 0) >= 2
    ]
    if not eligible:
        return None
    chosen = random.permutation(np.array(eligible, dtype=np.int64))[:most]
    texts = [subject.texts[row] for row in chosen]
    path = EmbeddingPath(subject.predictor, texts, None if pairs is None else [pairs[row] for row in chosen])  # type: ignore[arg-type]
    kept = np.array([place for place, worded in enumerate(path.worded) if len(worded) >= 2], dtype=np.int64)
    if not len(kept):
        return None
    return chosen[kept], path if len(kept) == len(path) else path.select(kept)


NO_WORDS = "no row has two words, so that no word can be ranked before another"


def nothing_to_rank(limit: Limit, why: str = NO_WORDS) -> Evidence:
    """What is said where nothing can be explained: not measured, and never a pass."""
    absent = Estimate.absent(why)
    return Evidence(
        metrics=[
            metric(
                "comprehensiveness_over_random", absent, unit=PROBABILITY, better="higher", limit=limit,
                slice={"method": DEFAULT}, source=ERASER,
                definition="comprehensiveness minus that of a random order on the same rows",
            )
        ],
        notes=["Nothing was explained: name a column with longer texts by --text-column."] if why is NO_WORDS else [],
    )  # fmt: skip


def explained(
    path: EmbeddingPath, targets: np.ndarray, method: str, tolerance: float, random: np.random.Generator
) -> list[Attribution]:
    """Attributions of every sampled row by one method."""
    if method == "integrated-gradients":
        return integrated_gradients(path, targets, tolerance=tolerance)
    if method == "input-x-gradient":
        return input_x_gradient(path, targets)
    if method == "occlusion":
        return occlusion(path.predictor, path.worded, targets)
    if method == "attention-rollout":
        return attention_rollout(path, targets)
    return shapley_sampling(path.predictor, path.worded, targets, random=random)


def notes_of(
    subject: Subject, path: EmbeddingPath, found: list[Attribution], held: np.ndarray, options: ExplainabilityOptions
) -> list[str]:
    """What a reader must know to read the numbers."""
    steps = [a.steps for a in found if a.steps is not None]
    notes = [
        f"{len(found):,} of {len(subject.texts):,} rows were explained, drawn at random among those with two words or "
        f"more; {len(held)} of them were held to infidelity and sensitivity.",
        f"Integrated gradients took {np.mean(steps):.1f} gradients a row, {min(steps)} to {max(steps)}: more where the "
        f"model turns, until the doubt was below {options.tolerance:g}.",
    ]
    missed = sum((a.completeness_error or 0.0) > options.tolerance for a in found)
    if missed:
        notes.append(f"{missed} rows kept a completeness error above {options.tolerance:g} after {MOST_STEPS} steps.")
    if path.truncated:
        notes.append(f"{path.truncated} texts were longer than the model takes; what it does not see was left out.")
    never = sorted(set(range(len(subject.labels))) - set(subject.predictions.predicted.tolist()))
    if never:
        notes.append(f"Never predicted, so never explained: {', '.join(subject.labels[index] for index in never)}.")
    return notes
