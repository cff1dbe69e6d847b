"""Systems that need no model: what a model has to beat before anything of it is worth telling.

translation          the source, copied
summarization        the first words of the text, as many as a reference has
question-answering   the first sentence of the context
language-modeling    bytes drawn from their frequencies, whatever came before
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from audit.corpus_estimates import estimate, paired_difference
from audit.corpus_lines import line
from audit.evidence import Limit, metric
from core_model.corpus_metric import Array, CorpusMetric
from core_model.evaluation import PRIMARY, text_metrics
from core_model.metrics_text_likelihood import likelihood_metrics
from core_model.tasks import Task
from reports.record import Metric

if TYPE_CHECKING:
    from core_model.data import Table

SENTENCE_END = re.compile(r"(?<=[.!?…])\s")
BYTES = 256


@dataclass(frozen=True)
class Baseline:
    """A system without a model.

    Attributes:
        name: what it is called. says: what it does, as the end of a sentence.
        metrics: of the task, over the same rows.
    """

    name: str
    says: str
    metrics: Sequence[CorpusMetric]


def baseline_of(table: Table, task: Task, training: Table | None) -> Baseline:
    """The task's baseline on these rows.

    Args:
        training: where a baseline learns a length or a frequency; from the rows themselves when there is none.
    """
    whence = "the training rows" if training is not None else "these rows"
    if task is Task.LANGUAGE_MODELING:
        learnt = "the training rows" if training is not None else "all other rows"
        nll, size = byte_unigram(table.texts, training.texts if training is not None else None)
        says = f"a model that knows the frequency of each byte in {learnt} and nothing else"
        return Baseline("byte frequencies", says, likelihood_metrics(nll, size, size)[1:])
    if task is Task.TRANSLATION:
        return Baseline("source copied", "the source, copied", text_metrics(list(table.texts), table, task))
    if task is Task.SUMMARIZATION:
        known = training.references if training is not None and training.references is not None else table.references
        length = int(np.median([len(text.split()) for text in known or ()]))
        texts = [" ".join(text.split()[:length]) for text in table.texts]
        says = f"the first {length} words of the text, as many as half of the summaries of {whence} have at most"
        return Baseline("first words", says, text_metrics(texts, table, task))
    texts = [first_sentence(context) for context in table.pairs or ()]
    return Baseline("first sentence", "the first sentence of the context", text_metrics(texts, table, task))


def first_sentence(text: str) -> str:
    """All up to the first full stop, question or exclamation mark that a blank follows."""
    return SENTENCE_END.split(text.strip(), maxsplit=1)[0]


def byte_unigram(texts: Sequence[str], training: Iterable[str] | None) -> tuple[Array, Array]:
    """What texts cost a model of single bytes, add-one smoothed.

    Args:
        texts: (rows,).
        training: whose frequencies are taken; None: those of all other rows, for each row.
    Returns: nats (rows,) and bytes (rows,), float64.
    """
    learnt = np.zeros(BYTES, dtype=np.int64)
    for text in texts if training is None else training:
        learnt += _bytes(text)

    def cost(row: Array) -> float:
        counts = learnt - row if training is None else learnt
        return float(row @ (np.log(counts.sum() + BYTES) - np.log(counts + 1)))

    costs = [(cost(row), float(row.sum())) for row in map(_bytes, texts)]
    nll, size = np.array(costs).T
    return nll, size


def _bytes(text: str) -> Array:
    return np.bincount(np.frombuffer(text.encode("utf-8"), dtype=np.uint8), minlength=BYTES)


def baseline_metrics(
    metrics: Sequence[CorpusMetric], baseline: Baseline, task: Task, random: np.random.Generator
) -> list[Metric]:
    """The baseline's numbers, and how much better the model's are on the same rows."""
    own = {of.name: of for of in metrics}
    lines = []
    for theirs in baseline.metrics:
        mine, slice_ = own[theirs.name], {"system": baseline.name}
        first, second = (mine, theirs) if mine.better == "higher" else (theirs, mine)
        gain = paired_difference(first, second, random)
        lines += [
            line(theirs, estimate(theirs, random), slice=slice_, says=f"What is reached by {baseline.says}"),
            metric(
                f"{mine.name}_gain_over_baseline", gain, unit=mine.unit, better="higher", slice=slice_,
                limit=Limit(0.0, "a system without a model reaches 0") if mine.name == PRIMARY[task] else None,
                definition=f"How much better the model's {mine.name} is than that of {baseline.says}; paired by row.",
            ),
        ]  # fmt: skip
    return lines
