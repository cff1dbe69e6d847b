"""How well does a model do its task? Asked once, counted once a row, so that any interval can be made of it.

    metrics = evaluate(predictor, table, Task.TRANSLATION)          # (bleu, chrf)
    metrics[0].score                                                # 27.3
    audit.corpus_estimates.estimate(metrics[0], random)             # with its interval

What a model is asked, and what is counted, for each task:
    classification      labels                          accuracy, macro_f1
    language-modeling   likelihood of the text          perplexity, bits_per_byte
    translation         text, by beam search or greedy  bleu, chrf
    summarization       text, by beam search or greedy  rouge1, rouge2, rougeL
    question-answering  a span of the context           exact_match, token_f1
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np

from core_model.corpus_metric import Array, CorpusMetric, Form, Value, mean_of_rows, values_and_rows
from core_model.data_columns import roles_of
from core_model.errors import TaskUnfit
from core_model.metrics_text import bleu, bleu_of_sums, chrf, chrf_of_sums
from core_model.metrics_text_answers import exact_match, token_f1
from core_model.metrics_text_likelihood import bits_per_byte_of_sums, likelihood_metrics, perplexity_of_sums
from core_model.metrics_text_rouge import NAMES as ROUGE_NAMES
from core_model.metrics_text_rouge import rouge
from core_model.predictions import Generations, Predictions, Scores, SpanAnswers
from core_model.tasks import Task

if TYPE_CHECKING:
    from core_model.data import Table

EVALUABLE = (
    Task.CLASSIFICATION,
    Task.LANGUAGE_MODELING,
    Task.TRANSLATION,
    Task.SUMMARIZATION,
    Task.QUESTION_ANSWERING,
)
WRITING = (Task.TRANSLATION, Task.SUMMARIZATION, Task.QUESTION_ANSWERING)  # the model's answer is a text

VALUES: Mapping[str, Value] = {
    "bleu": bleu_of_sums,
    "chrf": chrf_of_sums,
    **dict.fromkeys((*ROUGE_NAMES, "exact_match", "token_f1"), mean_of_rows),
    "perplexity": perplexity_of_sums,
    "bits_per_byte": bits_per_byte_of_sums,
}
"""The value function of each metric of a text task, by name."""

FORMS: Mapping[str, Form] = {"exact_match": "share", **dict.fromkeys((*ROUGE_NAMES, "token_f1"), "mean")}
LOWER_IS_BETTER = ("perplexity", "bits_per_byte")


class Askable(Protocol):
    """As much of a predictor as an evaluation asks (`core_model.prediction.Predictor`, or a stand-in in tests)."""

    def predict(self, texts: Sequence[str], pairs: Sequence[str] | None = None) -> Predictions:
        """Logits of each text, or pair of texts."""
        ...

    def score(self, texts: Sequence[str], targets: Sequence[str] | None = None) -> Scores:
        """How well each text, or each target given its text, was foreseen."""
        ...

    def generate(self, texts: Sequence[str], *, beams: int = 1, max_new_tokens: int | None = None) -> Generations:
        """What the model writes for each text."""
        ...

    def answer(self, questions: Sequence[str], contexts: Sequence[str]) -> SpanAnswers:
        """The span of each context that answers its question."""
        ...


Answers = Predictions | Scores | Generations | SpanAnswers


def evaluate(
    predictor: Askable, table: Table, task: Task, *, beams: int = 1, max_new_tokens: int | None = None
) -> tuple[CorpusMetric, ...]:
    """The task's metrics of a model on these rows.

    Args:
        predictor: the model; what it was asked before is not computed again.
        table: rows with labels (classification) or references (tasks that write).
        task: what is asked of the model.
        beams, max_new_tokens: of generated text; beams 1 is greedy search.
    Raises: TaskUnfit for a task without metrics, or that the model's head cannot do; LabelsUnfit without labels;
        ColumnMissing without references, with the flag that names them.
    """
    require_truth(table, task)
    return metrics_of(ask(predictor, table, task, beams=beams, max_new_tokens=max_new_tokens), table, task)


def ask(predictor: Askable, table: Table, task: Task, *, beams: int = 1, max_new_tokens: int | None = None) -> Answers:
    """What the model says of each row: Predictions, Scores, Generations or SpanAnswers, by task.

    Raises: TaskUnfit for a task that has none of them.
    """
    if task is Task.CLASSIFICATION:
        return predictor.predict(table.texts, table.pairs)
    if task is Task.LANGUAGE_MODELING:
        return predictor.score(table.texts)
    if task is Task.QUESTION_ANSWERING:
        return predictor.answer(table.texts, table.pairs or ())
    if task in (Task.TRANSLATION, Task.SUMMARIZATION):
        return predictor.generate(table.texts, beams=beams, max_new_tokens=max_new_tokens)
    raise TaskUnfit(f"a {task} checkpoint has no answer that could be judged", mend=f"one for {', '.join(EVALUABLE)}")


def metrics_of(answers: Answers, table: Table, task: Task) -> tuple[CorpusMetric, ...]:
    """The task's metrics of answers that are at hand; no model is asked."""
    if isinstance(answers, Predictions):
        return classification_metrics(answers, table.targets, max(len(table.label_names), answers.logits.shape[1]))
    if isinstance(answers, Scores):
        return likelihood_metrics(answers.nll, answers.tokens, answers.bytes)
    return text_metrics(answers.texts, table, task)


def text_metrics(texts: Sequence[str], table: Table, task: Task) -> tuple[CorpusMetric, ...]:
    """The metrics of texts that were written for each row, by a model or by a rule.

    Args:
        texts: (rows,), in the order of the table.
    """
    references = require_references(table, task)
    assert references is not None  # noqa: S101 - every task that writes has references
    if task is Task.TRANSLATION:
        return bleu(texts, references), chrf(texts, references)
    if task is Task.SUMMARIZATION:
        return rouge(texts, references)
    from core_model.tasks.question_answering import answers_of

    acceptable = [answers_of(reference) for reference in references]
    return exact_match(texts, acceptable), token_f1(texts, acceptable)


def remade(name: str, statistics: Array, *, signature: str, unit: str) -> CorpusMetric:
    """A metric of a text task again, from statistics that were kept of its rows.

    Args:
        name: one of VALUES. statistics: (rows, k), as they were.
    """
    better: Literal["lower", "higher"] = "lower" if name in LOWER_IS_BETTER else "higher"
    return CorpusMetric(name, statistics, VALUES[name], signature, unit, better, FORMS.get(name, "corpus"))


def classification_metrics(predictions: Predictions, targets: Array, classes: int) -> tuple[CorpusMetric, ...]:
    """Accuracy and macro-F1 as corpus metrics.

    Args:
        predictions: (rows,). targets: (rows,) class indices. classes: how many there are.
    """
    known, predicted = np.eye(classes)[targets], np.eye(classes)[predictions.predicted]
    counts = np.concatenate([known * predicted, predicted, known], axis=1)
    return (
        CorpusMetric(
            "accuracy", values_and_rows(predictions.predicted == targets), mean_of_rows, "version:1",
            "share of rows", "higher", "share",
        ),
        CorpusMetric(
            "macro_f1", counts, partial(macro_f1_of_sums, classes=classes), "average:macro|version:1",
            "mean F1 of labels, 0 to 1", "higher",
        ),
    )  # fmt: skip


def macro_f1_of_sums(sums: Array, *, classes: int) -> Array:
    """Mean F1 over classes that are there or predicted, from sums (..., 3 * classes) of hits, predicted, true."""
    hits, predicted, known = np.split(sums, 3, axis=-1)
    there = (predicted + known) > 0
    with np.errstate(invalid="ignore", divide="ignore"):
        f1 = np.where(there, 2 * hits / (predicted + known), 0.0)
        return np.true_divide(f1.sum(axis=-1), there.sum(axis=-1))


def require_truth(table: Table, task: Task) -> None:
    """Refuse rows that cannot say how good an answer is, before a model is asked.

    Raises: LabelsUnfit, ColumnMissing.
    """
    if task is Task.CLASSIFICATION:
        _ = table.targets
    require_references(table, task)


def require_references(table: Table, task: Task) -> Sequence[str] | None:
    """What the model should write for each row; None for a task that writes nothing.

    Raises: ColumnMissing without them, with the flag that names their column.
    """
    return table.require_references(str(roles_of(task).reference)) if task in WRITING else None


PRIMARY: Mapping[Task, str] = {
    Task.CLASSIFICATION: "accuracy",
    Task.LANGUAGE_MODELING: "bits_per_byte",
    Task.TRANSLATION: "bleu",
    Task.SUMMARIZATION: "rougeL",
    Task.QUESTION_ANSWERING: "token_f1",
}
"""The one metric of a task that a system is judged by where one has to do."""
