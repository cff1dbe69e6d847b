"""Noise where a model writes, foresees or finds text: how much worse does it do?

language modeling           bits per byte of the noisy text (some of the rise is the noise's own surprise)
translation, summarization  likelihood of the references given noisy sources, which needs no writing; and the
                            metric itself under typos, on fewer rows, which does
question answering          token F1 of answers to noisy questions, about contexts as they are
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from audit.concerns.robustness.findings import mitigation_of, severity
from audit.corpus_estimates import estimate, paired_difference
from audit.evidence import Limit, metric
from audit.plugin import Evidence, Need
from audit.statistics import Estimate
from core_model.corpus_metric import CorpusMetric, mean_of_rows
from core_model.evaluation import PRIMARY, metrics_of
from core_model.noise import NOISES, Noise, keeps_meaning, noisy_texts
from core_model.predictions import Scores
from core_model.tasks import Task
from reports.record import Figure, Finding, Metric

if TYPE_CHECKING:
    from audit.subject import Subject
    from core_model.data import Table

WRITTEN_UNDER = ("typos", 0.3)
SOURCE = "Belinkov and Bisk 2018, arXiv:1711.02173"
NO_REFERENCES = "needs what the model should write"


@dataclass(frozen=True)
class Change:
    """A metric on rows with a noise, and how much worse it is than without, paired."""

    noise: Noise
    rate: float
    clean: CorpusMetric
    of: CorpusMetric
    value: Estimate
    worse: Estimate

    @property
    def what(self) -> str:
        """What the noise does, in a few words."""
        return self.noise.said(self.rate)

    @property
    def slice(self) -> dict[str, str]:
        """As the record names it."""
        return {"noise": self.noise.name, **({"rate": f"{self.rate:g}"} if self.rate < 1 else {})}


def corpus_evidence(
    subject: Subject, rows: np.ndarray, random: np.random.Generator, *, limit: Limit, written_rows: int
) -> Evidence:
    """Everything about noise, of a task without classes.

    Args:
        rows: (sampled rows,) their numbers. limit: of the worst loss, share of the metric's scale.
        written_rows: how many of the rows are written anew.
    """
    if not subject.has(Need.LABELS):
        absent = Estimate.absent(NO_REFERENCES)
        line = metric("worst_noise_loss", absent, unit="metric", better="lower", definition="Loss under noise.")
        return Evidence(metrics=[line])
    seed = int(random.integers(2**31))
    table = subject.data.select(np.sort(rows))
    measured = _by_likelihood if subject.task in (Task.TRANSLATION, Task.SUMMARIZATION) else _by_answer
    changes = _changes(measured(subject, table), table, seed, random)
    lines = [line for change in changes for line in _lines(change)]
    findings: list[Finding] = []
    judged_by = changes
    if subject.task in (Task.TRANSLATION, Task.SUMMARIZATION):
        few = table.select(np.arange(min(written_rows, table.rows)))
        noise, rate = NOISES[WRITTEN_UNDER[0]], WRITTEN_UNDER[1]
        judged_by = _changes(_by_answer(subject, few), few, seed, random, [(noise, rate)]) if few.rows else []
        lines += [line for change in judged_by for line in _lines(change)]
    worst, worst_line = _worst(judged_by, None if subject.task is Task.LANGUAGE_MODELING else limit, random)
    if worst is not None:
        findings = _finding(worst, worst_line, subject)
    return Evidence(
        metrics=[*lines, worst_line],
        findings=findings,
        figures=[_figure(changes)],
        notes=[f"Noise was put on {table.rows:,} of {subject.data.rows:,} rows, drawn at random."],
        settings={"rows_run": table.rows},
    )


Ask = Callable[[Sequence[str]], CorpusMetric]


def _by_answer(subject: Subject, table: Table) -> Ask:
    """The task's first metric, of the answers to these rows with other texts."""
    primary = PRIMARY[subject.task]

    def ask(texts: Sequence[str]) -> CorpusMetric:
        noisy = replace(table, texts=list(texts), taken_from=None)
        return next(of for of in metrics_of(subject.ask(noisy), noisy, subject.task) if of.name == primary)

    return ask


def _by_likelihood(subject: Subject, table: Table) -> Ask:
    """Nats per token of the references, given other sources."""

    def ask(texts: Sequence[str]) -> CorpusMetric:
        scores: Scores = subject.predictor.score(list(texts), list(table.references or ()))
        sums = np.stack([scores.nll, scores.tokens], axis=1).astype(np.float64)
        return CorpusMetric(
            "negative_log_likelihood", sums, mean_of_rows, "unit:token|log:e|version:1", "nats per token", "lower"
        )

    return ask


def _changes(
    ask: Ask,
    table: Table,
    seed: int,
    random: np.random.Generator,
    forms: Sequence[tuple[Noise, float]] | None = None,
) -> list[Change]:
    """The metric under each noise that touches a row."""
    forms = forms or [(noise, rate) for noise in NOISES.values() for rate in noise.rates]
    texts = list(table.texts)
    clean = ask(texts)
    changes = []
    for (noise, rate), child in zip(forms, random.spawn(len(forms)), strict=True):
        noisy = noisy_texts(texts, noise, rate, seed=seed)
        if noisy == texts:
            continue
        of = ask(noisy)
        changes.append(Change(noise, rate, clean, of, estimate(of, child), _worse(clean, of, child)))
    return changes


def _worse(clean: CorpusMetric, noisy: CorpusMetric, random: np.random.Generator, *, among: int = 1) -> Estimate:
    """How much worse, paired; `among` so many noises of which this was picked (Bonferroni)."""
    a, b = (clean, noisy) if noisy.better == "higher" else (noisy, clean)
    return paired_difference(a, b, random, confidence=1 - 0.05 / among, resamples=max(2000, 400 * among))


def _lines(change: Change) -> list[Metric]:
    of, named = change.of, change.slice
    return [
        metric(
            of.name, change.value, unit=of.unit, better=of.better, slice=named, source=SOURCE,
            definition=f"{of.name} on the sampled rows with: {change.what}. Signature: {of.signature}.",
        ),
        metric(
            f"{of.name}_loss", change.worse, unit=of.unit, better="lower", slice=named, source=SOURCE,
            definition=f"How much worse {of.name} is with the noise than without, on the same rows.",
        ),
    ]  # fmt: skip


def _worst(changes: Sequence[Change], limit: Limit | None, random: np.random.Generator) -> tuple[Change | None, Metric]:
    """The judged noise that costs most, its interval widened for having been picked."""
    known = [
        change for change in changes if keeps_meaning(change.noise, change.rate) and change.worse.value is not None
    ]
    worst = max(known, key=lambda change: change.worse.value or 0.0, default=None)
    held = None if limit is None or worst is None else Limit(limit.value * worst.of.scale, limit.source)
    estimate = Estimate.absent("no noise was measured")
    if worst is not None:
        found = _worse(worst.clean, worst.of, random, among=len(known))
        how = f"{found.method}, Bonferroni over {len(known)} noises"
        estimate = replace(found, confidence=0.95, method=how)
    return worst, metric(
        "worst_noise_loss", estimate, unit=worst.of.unit if worst else "metric", better="lower",
        slice=worst.slice if worst else {}, limit=held, source=SOURCE,
        definition="How much worse the metric is under the judged noise that costs most; the interval allows for the "
        "pick.",
    )  # fmt: skip


def _finding(worst: Change, line: Metric, subject: Subject) -> list[Finding]:
    grave = severity(line, 0.02 * worst.of.scale)
    if grave is None or subject.task is Task.LANGUAGE_MODELING:
        return []
    return [
        Finding(
            id="robustness-noise", severity=grave,
            statement=f"With {worst.noise.name.replace('_', ' ')} ({worst.what}) {worst.of.name} is worse by "
            f"{line.value:.3g}.",
            metrics=[line.key], mitigation=mitigation_of(worst.noise, subject),
        )
    ]  # fmt: skip


def _figure(changes: Sequence[Change]) -> Figure:
    rows = [
        {
            "label": c.noise.name.replace("_", " ") + (f" ({c.rate:g})" if c.rate < 1 else ""),
            "value": c.worse.value, "low": c.worse.low, "high": c.worse.high, "n": c.worse.n,
        }
        for c in changes
        if c.worse.interval is not None
    ]  # fmt: skip
    name = changes[0].of.name if changes else "the metric"
    most = max(rows, key=lambda row: row["value"] or 0.0)["label"] if rows else "none"
    return Figure(
        id="robustness-noise", kind="intervals", title=f"How much worse {name} is under noise",
        caption=f"Most under: {most}.", x_label=changes[0].of.unit if changes else "", rows=rows,
    )  # fmt: skip
