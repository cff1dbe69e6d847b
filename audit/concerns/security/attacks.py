"""All attacks on a classifier's answers, on one draw of rows: words, embeddings, universal triggers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from audit.concerns.security.attack_options import AttackOptions
from audit.concerns.security.figures import success_figure
from audit.concerns.security.findings import gradient_findings, trigger_findings, word_findings
from audit.concerns.security.gradient_attacks import attack_embeddings, gradient_metrics, radius_figure
from audit.concerns.security.outcomes import gradient_outcomes, trigger_outcomes, word_outcomes
from audit.concerns.security.sample import Sample, draw
from audit.concerns.security.triggers import search_triggers, trigger_metrics
from audit.concerns.security.word_attacks import WordAttack, attack_words, gradients_of, word_metrics
from audit.evidence import Limit
from audit.plugin import Evidence, Size
from audit.text_length import cut_note
from core_model.checkpoint import open_checkpoint
from core_model.prediction import Predictor

if TYPE_CHECKING:
    from audit.subject import Subject

NO_WORD = "no row holds a word that could be changed"
# Texts that a recipe asks for a drawn row of some 20 words, wrong ones included, as seen on the demo's comments.
USUAL_QUERIES = {
    "deepwordbug": 20, "pwws": 45, "textfooler-like": 20, "bae-like": 20, "look-alikes": 15, "invisible-marks": 15,
    "misspellings": 19,
}  # fmt: skip


def attack_passes(size: Size, options: AttackOptions) -> Mapping[str, int]:
    """Rows through the model, backward passes counted as one more row each."""
    rows, moved = min(size.rows, options.attack_rows), min(size.rows, options.gradient_rows)
    ways = len(options.radii)
    tried = 1 + options.trigger_length * options.trigger_candidates
    searched, held_out = options.trigger_rows // 2, 2 * options.trigger_rows
    asked = {
        "data": size.rows,
        **{
            f"texts of the attack {name}": rows * min(USUAL_QUERIES[name], options.query_budget)
            for name in options.recipes
        },
    }
    if not size.gradients:
        return asked
    return {
        **asked,
        # Two norms; FGSM has one gradient and a pass a radius, PGD one a step; most rows fall before the last radius.
        "points in embedding space": 2 * moved * (2 + ways + ways * options.pgd_steps // 2),
        "texts with a trigger": size.classes * (searched * (tried + 2 * options.trigger_length) + held_out)
        if options.trigger_rows
        else 0,
    }


def attack_answers(subject: Subject, options: AttackOptions, random: np.random.Generator) -> Evidence:
    """Evidence of every attack on the answers of a classifier."""
    draw_random, word_random, metric_random, trigger_random = random.spawn(4)
    most = max(options.attack_rows, options.gradient_rows, 4 * options.trigger_rows)
    sample = draw(subject, most, draw_random)
    impossible = None if len(sample) else NO_WORD
    with_gradients = gradients_of(subject) is not None
    predictor = subject.predictor if with_gradients and isinstance(subject.predictor, Predictor) else None
    no_slope = impossible or (None if with_gradients else subject.why_no_gradients)

    words = attack_words(
        subject, sample.first(options.attack_rows), options.recipes, query_budget=options.query_budget,
        seconds=options.attack_seconds, random=word_random, masked_model=options.masked_model, missing=impossible,
    )  # fmt: skip
    near = sample.first(options.gradient_rows)
    moved, passes = attack_embeddings(predictor, near, options.radii, steps=options.pgd_steps, missing=no_slope)
    triggered = (
        search_triggers(
            predictor, sample, subject.labels, length=options.trigger_length, candidates=options.trigger_candidates,
            search_rows=options.trigger_rows // 2, random=trigger_random, missing=no_slope,
        )
        if options.trigger_rows
        else []
    )  # fmt: skip
    success = options.max_attack_success
    limit = None if success is None else Limit(success, "options.max_attack_success")
    metrics = [
        *word_metrics(words, subject, limit=limit, resamples=options.resamples, random=metric_random),
        *gradient_metrics(moved, labelled=sample.labelled),
        *trigger_metrics(triggered, subject.labels),
    ]
    figures = (success_figure(words, metrics), radius_figure(moved, labelled=sample.labelled))
    return Evidence(
        metrics=metrics,
        findings=[
            *word_findings(words, metrics, subject),
            *gradient_findings(metrics, subject),
            *trigger_findings(triggered, metrics, subject),
        ],
        figures=[figure for figure in figures if figure],
        notes=_notes(subject, sample, words, options),
        settings={
            "stop_words": "scikit-learn's English list",
            "edited": "the first text of a row",
            "masked_model_sha256": open_checkpoint(options.masked_model).sha256 if options.masked_model else None,
        },
        outcomes={
            **word_outcomes(words, f"at most {options.query_budget} texts asked for a row"),
            **gradient_outcomes(moved, near, steps=options.pgd_steps),
            **trigger_outcomes(
                triggered,
                subject.labels,
                f"{options.trigger_length} words, {options.trigger_candidates} tried at each place, searched on "
                f"{options.trigger_rows // 2} rows at most",
            ),
        },
        forward_passes=passes + sum(one.run.similar_passes for one in words if one.run is not None),
    )


def _notes(subject: Subject, sample: Sample, words: list[WordAttack], options: AttackOptions) -> list[str]:
    """What a reader must know to read the numbers."""
    attacked = min(len(sample), options.attack_rows)
    notes = [
        f"Word attacks: {attacked:,} of {len(subject.texts):,} rows, drawn at random among those with a word; at most "
        f"{options.query_budget:,} texts were asked for each. What only looks like the same text to a person was not "
        "judged by people: look at the examples.",
    ]
    notes += cut_note(subject, sample.rows[:attacked], "edits")
    if sample.without_words:
        notes.append(f"{sample.without_words:,} rows hold no word that could be changed, and were left out.")
    if not sample.labelled:
        notes.append("The data have no labels: an attack succeeds when the answer changes, right or wrong.")
    if sample.pairs is not None:
        notes.append("Of each pair of texts the first was edited.")
    for one in words:
        cut = sum(row.ending == "time limit" for row in one.attacked)
        count = "no share is told, for most are such" if one.told_by_the_clock else "they count as not changed"
        if cut:
            notes.append(
                f"{one.name} was stopped for {cut} rows by its time limit of {options.attack_seconds:g} s; "
                f"{count}, and a faster machine may say otherwise. Try: --set security.attack_seconds="
                f"{4 * options.attack_seconds:g}"
            )
        spent = sum(row.ending == "query budget" for row in one.attacked)
        if spent:
            notes.append(f"{one.name} spent its budget on {spent} rows, which count as not changed.")
        if one.missing is not None:
            notes.append(f"Not measured: {one.name}, for {one.missing}.")
    return notes
