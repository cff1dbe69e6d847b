"""Evaluability of tasks whose answer is a text or a likelihood: from corpus metrics and per-row statistics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from audit.concerns.evaluability.corpus_baselines import Baseline, baseline_metrics, baseline_of
from audit.concerns.evaluability.corpus_findings import findings_of
from audit.concerns.evaluability.corpus_leakage import (
    LeakedPairs,
    find_leaked_pairs,
    inflation_metrics,
    overlap_metrics,
)
from audit.concerns.evaluability.leakage import NEEDS_TRAINING
from audit.concerns.evaluability.quality import SHARE
from audit.corpus_estimates import estimate, spread
from audit.corpus_lines import line
from audit.evidence import Limit, metric
from audit.plugin import Evidence, Need
from audit.statistics import bootstrap_rows, minimum_detectable_difference, proportion
from audit.text_length import length_quartiles
from core_model.corpus_metric import CorpusMetric
from core_model.evaluation import PRIMARY
from core_model.predictions import Generations, Scores
from reports.record import Figure, Metric, Scalar

if TYPE_CHECKING:
    from audit.subject import Subject
    from core_model.data import Table

WORDS = "words"
CARD = "Card et al. 2020, arXiv:2010.06595"


def corpus_evidence(
    subject: Subject, random: np.random.Generator, *, limits: dict[str, Limit], similarity: float, correlation: float
) -> Evidence:
    """The task's metrics with intervals, against a system without a model, by length, and what leaked.

    Args:
        limits: of exact and near overlap.
        similarity: Jaccard similarity that counts as near. correlation: of two systems' rows, for planning.
    """
    quality_random, baseline_random, length_random, leak_random = random.spawn(4)
    task, data = subject.task, subject.data
    training = subject.training if subject.has(Need.TRAINING_DATA) else None
    own = {of.name: of for of in subject.metrics}
    primary = own[PRIMARY[task]]
    baseline = baseline_of(data, task, training)
    leaked = find_leaked_pairs(training, data, task, threshold=similarity) if training is not None else None
    by_length = length_metrics(subject.metrics, data.texts, length_random)
    metrics = [
        *(line(of, estimate(of, quality_random)) for of in subject.metrics),
        *written_metrics(subject, quality_random),
        *baseline_metrics(subject.metrics, baseline, task, baseline_random),
        *(power_metric(of, correlation) for of in subject.metrics),
        *overlap_metrics(leaked, data, task, limits),
        *inflation_metrics(leaked, primary, leak_random),
        *by_length,
    ]
    overlapping = leaked is not None and bool(leaked.sources.near.any())
    return Evidence(
        metrics=metrics,
        findings=findings_of(metrics, leaked, subject, primary),
        figures=[length_figure([m for m in by_length if m.name == primary.name], primary)],
        notes=_notes(subject, baseline, leaked),
        tables={"test_rows_without_overlap": rows_of(data, ~leaked.sources.near)} if leaked and overlapping else {},
        settings={
            **{f"signature_{of.name}": of.signature for of in subject.metrics},
            **({"generation": subject.answers.signature} if isinstance(subject.answers, Generations) else {}),
            "power": 0.8,
            "alpha": 0.05,
        },
    )


def written_metrics(subject: Subject, random: np.random.Generator) -> list[Metric]:
    """What can be seen of written texts without judging them: cut, empty, long or short."""
    answers, references = subject.answers, subject.references
    if isinstance(answers, Scores) or not hasattr(answers, "texts") or references is None:
        return []
    empty = sum(not text.strip() for text in answers.texts)
    lines = [
        metric(
            "empty_outputs", proportion(empty, len(answers)), unit=SHARE, better="lower",
            definition="Rows for which nothing was written.",
        )
    ]  # fmt: skip
    if isinstance(answers, Generations):
        words = np.array([[len(a.split()), len(b.split())] for a, b in zip(answers.texts, references, strict=True)])
        lines += [
            metric(
                "cut_outputs", proportion(int(answers.cut.sum()), len(answers)), unit=SHARE, better="lower",
                definition="Rows whose text reached the limit of new tokens before its end.",
            ),
            metric(
                "length_ratio", bootstrap_rows(words, lambda means: means[:, 0] / means[:, 1], random),
                unit="words written for a word of the references",
                definition="Words written over words of the references, all rows together; 1 is as long.",
            ),
        ]  # fmt: skip
    return lines


def power_metric(of: CorpusMetric, correlation: float) -> Metric:
    """The smallest difference to another system that these rows would show."""
    smallest = minimum_detectable_difference(len(of), spread(of), correlation=correlation)
    assumed = f"Two-sided 5% test, power 80%, rows of the two systems correlated by {correlation:g}"
    return metric(
        "minimum_detectable_effect", smallest, unit=of.unit, better="lower", slice={"metric": of.name}, source=CARD,
        definition=f"The smallest difference in {of.name} to another system that these rows would show. {assumed}.",
    )  # fmt: skip


def length_metrics(metrics: Sequence[CorpusMetric], texts: Sequence[str], random: np.random.Generator) -> list[Metric]:
    """Each metric by quartile of the text's length in words; none where all texts are equally long."""
    parts = length_quartiles(texts)
    names = sorted(set(parts), key=lambda name: int(str(name).split()[0]))
    if len(names) < 2:
        return []
    return [
        line(of, estimate(of.select(parts == name), random), slice={WORDS: str(name).removesuffix(" words")})
        for of in metrics
        for name in names
    ]


def length_figure(lines: Sequence[Metric], primary: CorpusMetric) -> Figure:
    """The primary metric by length of the text."""
    rows: list[dict[str, Scalar]] = [
        {
            "label": f"{m.slice[WORDS]} words", "value": m.value, "n": m.n,
            "low": m.interval[0], "high": m.interval[1],
        }
        for m in lines if m.interval
    ]  # fmt: skip
    pick = min if primary.better == "higher" else max
    worst = pick(rows, key=lambda row: float(row["value"] or 0.0), default=None)
    said = f"Worst: {worst['label']}, {worst['value']:.3g}." if worst else "All texts are equally long."
    return Figure(
        id="evaluability-length", kind="intervals", title=f"{primary.name} by length of the text", caption=said,
        x_label=primary.unit, rows=rows,
    )  # fmt: skip


def rows_of(table: Table, chosen: np.ndarray) -> list[dict[str, Scalar]]:
    """The chosen rows under the columns that they came from, ready to be audited again."""
    named = {table.text_column: table.texts, table.pair_column: table.pairs, table.reference_column: table.references}
    columns = {name: values for name, values in named.items() if name is not None and values is not None}
    return [
        {
            **{name: values[int(row)] for name, values in columns.items()},
            **{name: str(values[row]) for name, values in table.groups.items()},
        }
        for row in np.flatnonzero(chosen)
    ]


def _notes(subject: Subject, baseline: Baseline, leaked: LeakedPairs | None) -> list[str]:
    notes = [f"The system without a model is {baseline.says}."]
    if isinstance(subject.answers, Generations):
        how = subject.generation
        search = f"beam search over {how.beams} hypotheses" if how.beams > 1 else "greedy search"
        notes.append(f"Texts were written by {search}: {subject.answers.signature.replace('|', ', ')}.")
    if leaked is None:
        notes.append(f"Whether test rows stood in the training data was not measured: {NEEDS_TRAINING}.")
    return notes
