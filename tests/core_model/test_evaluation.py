"""The evaluation asks a model once, by its task, and counts what other libraries count."""

from __future__ import annotations

import json

import numpy as np
import pytest
import sacrebleu
from sklearn.metrics import accuracy_score, f1_score

from core_model.data import Table
from core_model.errors import ColumnMissing, LabelsUnfit, TaskUnfit
from core_model.evaluation import EVALUABLE, PRIMARY, VALUES, evaluate
from core_model.tasks import Task
from tests.factories import StubPredictor, StubWriter

ENGLISH = ("the red book", "a blue page", "an empty cell", "no sheet")
GERMAN = ("das rote Buch", "eine blaue Seite", "eine leere Zelle", "keine Tabelle")


def table(**columns) -> Table:
    return Table.from_rows(name="planted", texts=ENGLISH, synthetic=True, **columns)


def test_translation_is_scored_by_sacrebleu_on_what_the_model_writes():
    said = dict(zip(ENGLISH, ("das rote Buch", "eine Seite", "", "keine Tabelle"), strict=True))
    bleu, chrf = evaluate(StubWriter(said.__getitem__), table(references=GERMAN), Task.TRANSLATION)
    assert bleu.score == pytest.approx(sacrebleu.corpus_bleu(list(said.values()), [GERMAN]).score, abs=1e-9)
    assert chrf.score == pytest.approx(sacrebleu.corpus_chrf(list(said.values()), [GERMAN]).score, abs=1e-9)


def test_beams_and_the_limit_reach_the_model():
    seen = {}

    class Listening(StubWriter):
        def generate(self, texts, *, beams=1, max_new_tokens=None):
            seen.update(beams=beams, max_new_tokens=max_new_tokens)
            return super().generate(texts, beams=beams, max_new_tokens=max_new_tokens)

    evaluate(Listening(), table(references=GERMAN), Task.TRANSLATION, beams=4, max_new_tokens=9)
    assert seen == {"beams": 4, "max_new_tokens": 9}


def test_a_summary_is_scored_by_rouge():
    metrics = evaluate(StubWriter(), table(references=ENGLISH), Task.SUMMARIZATION)
    assert {m.name: m.score for m in metrics} == {"rouge1": 1.0, "rouge2": 1.0, "rougeL": 1.0}


def test_an_answer_counts_when_it_is_one_of_several_acceptable_ones():
    rows = table(pairs=GERMAN, references=[json.dumps(["das Buch", "rote"]), "Seite", "x", "Tabelle"])
    exact, f1 = evaluate(StubWriter(lambda question, context: context.split()[1]), rows, Task.QUESTION_ANSWERING)
    assert exact.score == 0.5 and f1.score == 0.5


def test_a_language_model_is_scored_by_its_likelihood():
    perplexity, bits = evaluate(StubWriter(nats=lambda text: np.log(10) * len(text.split())), table(),
                                Task.LANGUAGE_MODELING)  # fmt: skip
    words, size = sum(len(t.split()) for t in ENGLISH), sum(len(t) for t in ENGLISH)
    assert perplexity.score == pytest.approx(10)
    assert bits.score == pytest.approx(np.log2(10) * words / size)


def test_a_classifier_is_scored_as_scikit_learn_does():
    random = np.random.default_rng(0)
    truth, said = random.integers(0, 3, 60), random.integers(0, 3, 60)
    texts = [f"row {i}" for i in range(60)]
    rows = Table.from_rows(name="planted", texts=texts, targets=truth, label_names=("a", "b", "c", "d"), synthetic=True)
    predictor = StubPredictor(lambda text: np.eye(4)[said[int(text.split()[1])]])
    accuracy, macro_f1 = evaluate(predictor, rows, Task.CLASSIFICATION)
    assert accuracy.score == pytest.approx(accuracy_score(truth, said))
    assert macro_f1.score == pytest.approx(f1_score(truth, said, average="macro"))
    some = random.integers(0, 60, (20, 60))
    for value, rows_drawn in zip(macro_f1.value(macro_f1.statistics[some].sum(axis=1)), some, strict=True):
        assert value == pytest.approx(f1_score(truth[rows_drawn], said[rows_drawn], average="macro"))


def test_every_text_metric_can_be_made_again_from_its_statistics():
    rows = table(pairs=GERMAN, references=GERMAN)
    for task in set(EVALUABLE) - {Task.CLASSIFICATION}:
        metrics = evaluate(StubWriter(lambda *texts: texts[0]), rows, task)
        assert PRIMARY[task] in {m.name for m in metrics}
        for metric in metrics:
            np.testing.assert_array_equal(VALUES[metric.name](metric.statistics.sum(axis=0)), metric.score)


def test_without_references_the_flag_that_names_them_is_said():
    with pytest.raises(ColumnMissing, match="--target-column"):
        evaluate(StubWriter(), table(), Task.TRANSLATION)
    with pytest.raises(ColumnMissing, match="--answer-column"):
        evaluate(StubWriter(), table(pairs=GERMAN), Task.QUESTION_ANSWERING)
    with pytest.raises(LabelsUnfit, match="--label-column"):
        evaluate(StubWriter(), table(), Task.CLASSIFICATION)


def test_a_checkpoint_without_a_head_has_no_answers():
    with pytest.raises(TaskUnfit, match="feature-extraction"):
        evaluate(StubWriter(), table(), Task.FEATURE_EXTRACTION)
