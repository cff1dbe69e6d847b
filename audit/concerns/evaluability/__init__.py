"""Evaluability: how good is the model, and can these rows tell?

What it measures  Of a classifier: accuracy, balanced accuracy, macro-F1 and AUROC; precision, recall and F1 of each
                  label. Of what writes or foresees text: BLEU and chrF, ROUGE, exact match and token F1, or perplexity
                  and bits per byte, also by length of the text. The distance to a system that needs no model (the
                  commonest label, the source copied, the first words, frequencies of bytes). Then the test itself: the
                  smallest difference that it could show, and how many of its rows stand in the training rows or twice
                  among themselves.
How to read it    Two models that differ by less than the minimum detectable effect cannot be ranked by these rows. A
                  row that stood in the training data measures memory: `accuracy_without_overlap` (or that of the task's
                  own metric) leaves such rows out, `leakage_inflation` says what they add. Without training data this
                  is not measured. A number under another signature is another number.
How to mend it    Take the overlapping rows out: `test_rows_without_overlap.csv` holds the others. Add rows where the
                  test is too small. Train longer, or on more rows, where the model is no better than guessing.
Source            Wilson 1927; DeLong et al. 1988; Card et al. 2020, arXiv:2010.06595; Lee et al. 2022,
                  arXiv:2107.06499; Post 2018, arXiv:1804.08771 (signatures); Lin 2004 (ROUGE).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from audit.concerns.evaluability.corpus import corpus_evidence
from audit.concerns.evaluability.corpus_leakage import whole_texts
from audit.concerns.evaluability.figures import figures_of
from audit.concerns.evaluability.findings import findings_of
from audit.concerns.evaluability.leakage import (
    NEEDS_TRAINING,
    Leaked,
    find_leaked,
    inflation_metrics,
    overlap_metrics,
    repeats_within,
)
from audit.concerns.evaluability.power import power_metrics
from audit.concerns.evaluability.quality import (
    Answers,
    baseline_metrics,
    label_metrics,
    quality_metrics,
)
from audit.evidence import Limit
from audit.plugin import Concern, Evidence, Need, Options, Size, audit
from core_model.evaluation import EVALUABLE
from core_model.tasks import Task
from reports.record import Scalar

if TYPE_CHECKING:
    from audit.subject import Subject
    from core_model.data import Table


class EvaluabilityOptions(Options):
    """What can be set."""

    max_exact_overlap: float = Field(
        0.01, gt=0, lt=1, description="largest share of test rows that may stand in the training rows"
    )
    max_near_overlap: float = Field(
        0.05,
        gt=0,
        lt=1,
        description="largest share of test rows that may stand in the training rows or be close to one",
    )
    near_duplicate_similarity: float = Field(
        0.8, gt=0, le=1, description="Jaccard similarity from which two texts are near duplicates; lower finds more"
    )
    paired_disagreement: float | None = Field(
        None, gt=0, le=1,
        description="share of rows on which exactly one of two compared models is right; guessed if unset",
    )  # fmt: skip
    paired_correlation: float = Field(
        0.5, ge=-1, lt=1,
        description="correlation of two compared systems' rows where text is written; higher shows smaller differences",
    )  # fmt: skip


def planned_passes(size: Size, options: EvaluabilityOptions) -> Mapping[str, int]:
    """The test rows, once."""
    return {"data": size.rows}


@audit(
    concern=Concern.EVALUABILITY,
    needs={Need.LABELS},
    uses={Need.TRAINING_DATA},
    tasks=EVALUABLE,
    forward_passes=planned_passes,
)
def evaluability(subject: Subject, options: EvaluabilityOptions, random: np.random.Generator) -> Evidence:
    """Task metrics with intervals, what the test could show, and what leaked into it."""
    if subject.task is Task.CLASSIFICATION:
        return _of_classifier(subject, options, random)
    return corpus_evidence(
        subject, random, limits=_limits(options), similarity=options.near_duplicate_similarity,
        correlation=options.paired_correlation,
    )  # fmt: skip


def _of_classifier(subject: Subject, options: EvaluabilityOptions, random: np.random.Generator) -> Evidence:
    quality_random, label_random, leak_random = random.spawn(3)
    answers = Answers(subject.predictions, subject.targets, subject.labels)
    texts = whole_texts(subject.data)
    leaked = None
    if subject.has(Need.TRAINING_DATA) and subject.training is not None:
        leaked = find_leaked(whole_texts(subject.training), texts, threshold=options.near_duplicate_similarity)
    power, disagreement = power_metrics(answers.correct, options.paired_disagreement)
    metrics = [
        *quality_metrics(answers, quality_random),
        *baseline_metrics(answers),
        *power,
        *overlap_metrics(leaked, repeats_within(texts), _limits(options)),
        *inflation_metrics(leaked, answers.correct, leak_random),
        *label_metrics(answers, label_random),
    ]
    overlapping = leaked is not None and bool(leaked.near.any())
    return Evidence(
        metrics=metrics,
        findings=findings_of(metrics, leaked, subject, answers),
        figures=figures_of(answers, metrics),
        notes=_notes(answers, leaked),
        tables={"test_rows_without_overlap": rows_of(subject.data, ~leaked.near)} if leaked and overlapping else {},
        settings={"paired_disagreement_taken": round(disagreement, 6), "power": 0.8, "alpha": 0.05},
    )


def rows_of(table: Table, chosen: np.ndarray) -> list[dict[str, Scalar]]:
    """The chosen rows under the columns that they came from, ready to be audited again."""
    rows: list[dict[str, Scalar]] = []
    for row in np.flatnonzero(chosen):
        line: dict[str, Scalar] = {table.text_column: table.texts[int(row)]}
        if table.pairs is not None and table.pair_column:
            line[table.pair_column] = table.pairs[int(row)]
        line[table.label_column or "label"] = table.label_names[int(table.targets[row])]
        rows.append({**line, **{column: str(values[row]) for column, values in table.groups.items()}})
    return rows


def _limits(options: EvaluabilityOptions) -> dict[str, Limit]:
    def one(name: str, value: float) -> Limit:
        return Limit(value, f"evaluability.{name}, {options.whose(name)}")

    return {
        "exact": one("max_exact_overlap", options.max_exact_overlap),
        "near": one("max_near_overlap", options.max_near_overlap),
    }


def _notes(answers: Answers, leaked: Leaked | None) -> list[str]:
    absent = [answers.labels[int(i)] for i in np.flatnonzero(answers.table.sum(axis=1) == 0)]
    notes = []
    if absent:
        notes.append(f"No row has these labels, so nothing is known of them: {', '.join(absent)}.")
    if leaked is None:
        notes.append(f"Whether test rows stood in the training data was not measured: {NEEDS_TRAINING}.")
    return notes
