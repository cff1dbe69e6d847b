"""Explanations of what a model writes: one whose reason was taught is believed, one that knows nothing is not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from audit.concerns.explainability import ExplainabilityOptions, explainability, planned_passes
from audit.concerns.explainability.faithfulness import RANDOM, RANDOM_WEIGHTS
from audit.concerns.explainability.writing import beginning_of
from audit.concerns.explainability.writing_pictures import token_picture
from audit.plugin import Size
from audit.subject import Subject
from core_model.attribution import integrated_gradients
from core_model.attribution_writing import explain_writing
from core_model.checkpoint import open_checkpoint
from core_model.data import Table
from core_model.prediction import Predictor
from core_model.tasks import Task
from reports.record import Severity, Verdict
from tests.audit.concerns.explainability_subjects import english_only
from tests.audit.task_checkpoints import task_world, write_task_checkpoint
from tests.core_model.task_worlds import ANIMALS, world

OPTIONS = ExplainabilityOptions(written_rows=16, answer_tokens=8, resamples=500)


def subject_of(folder, table) -> Subject:
    opened = open_checkpoint(folder)
    return Subject(checkpoint=opened, data=table, predictor=Predictor(opened))


@pytest.fixture(scope="module")
def translator(tmp_path_factory):
    """Taught "the dog sees the cat": "Hund sieht Katze", word by word, so that the reason of each word is known."""
    folder = write_task_checkpoint(tmp_path_factory.mktemp("translator"), Task.TRANSLATION, steps=250)
    return subject_of(folder, task_world(Task.TRANSLATION, 24, seed=5))


@pytest.fixture(scope="module")
def evidence(translator):
    return explainability(translator, OPTIONS, np.random.default_rng(0))


def the(evidence, name, **part):
    [found] = [m for m in evidence.metrics if m.name == name and m.slice == part]
    return found


def test_the_words_that_were_translated_speak_for_their_translation(translator):
    """The first letters that were written begin the German word for the first animal."""
    texts = [text for text in translator.texts if " and " not in text][:6]
    found = explain_writing(translator.predictor, texts, max_new_tokens=2)
    first = [one.whole.words[int(one.by_token.sum(axis=1).argmax())] for one in found]
    hits = [word == text.split()[1] for word, text in zip(first, texts, strict=True)]
    assert all(text.split()[1] in ANIMALS for text in texts) and np.mean(hits) >= 0.8
    picture = token_picture(found[0], name="text-1")
    assert len(picture.rows) == 2 * len(found[0].whole.words) and picture.kind == "heatmap"


def test_true_explanations_of_a_translation_beat_a_random_order_and_pass(evidence):
    line = the(evidence, "comprehensiveness_over_random", method="integrated-gradients")
    assert line.interval[0] > 0 and line.verdict is Verdict.PASS and line.unit == "nats a token" and line.n == 16
    assert the(evidence, "sufficiency_over_random", method="integrated-gradients").interval[0] > 0
    assert "explainability-not-faithful-integrated-gradients" not in {f.id for f in evidence.findings}
    assert {m.slice["method"] for m in evidence.metrics if m.name == "comprehensiveness"} == {
        "integrated-gradients", "occlusion", RANDOM, RANDOM_WEIGHTS,
    }  # fmt: skip
    assert the(evidence, "completeness_error", over="mean").value <= 0.02
    assert "nats" not in evidence.figures[0].x_label and "per token" in evidence.figures[0].x_label
    assert "written tokens' attention" in evidence.figures[1].title


def test_infidelity_and_sensitivity_are_of_few_rows_and_per_token_of_the_answer(translator, evidence):
    for method in ("integrated-gradients", "occlusion"):
        line = the(evidence, "infidelity", method=method)
        assert line.n == 15 and line.unit == "nats a token, squared" and 0 <= line.interval[0] <= line.value
    assert the(evidence, "max_sensitivity", method="integrated-gradients").value > 0
    few = OPTIONS.model_copy(update={"stability_rows": 3})
    found = explainability(translator, few, np.random.default_rng(0))
    assert the(found, "infidelity", method="occlusion").n == 3
    assert [m for m in found.metrics if "fidelity" not in m.name and "sensitivity" not in m.name] == [
        m for m in evidence.metrics if "fidelity" not in m.name and "sensitivity" not in m.name
    ]


@pytest.mark.parametrize("name", ["de", "zh"])
def test_its_numbers_and_charts_can_be_read_in_other_languages(evidence, name):
    assert english_only(evidence, name) == set()


def test_an_explanation_that_says_the_opposite_fails_and_is_told(translator, monkeypatch, evidence):
    """The planted fault: the words that speak against the answer are named as those that speak for it."""

    def turned(*arguments, **settings):
        return [replace(one, scores=-one.scores) for one in integrated_gradients(*arguments, **settings)]

    monkeypatch.setattr("audit.concerns.explainability.writing.integrated_gradients", turned)
    found = explainability(translator, OPTIONS, np.random.default_rng(0))
    line = the(found, "comprehensiveness_over_random", method="integrated-gradients")
    assert line.verdict is Verdict.FAIL and line.interval[1] < 0
    [told] = [f for f in found.findings if f.id == "explainability-not-faithful-integrated-gradients"]
    assert told.severity is Severity.HIGH and "nats a token" in told.statement
    assert "occlusion" in told.mitigation.command
    wrong, right = (the(one, "infidelity", method="integrated-gradients") for one in (found, evidence))
    assert wrong.interval[0] > right.interval[1]


def test_the_plan_tells_about_what_is_spent(translator, evidence):
    planned = sum(planned_passes(Size(24, 0, 0, Task.TRANSLATION), OPTIONS).values())
    assert 0.3 * planned < translator.predictor.forward_passes + evidence.forward_passes < 3 * planned


def test_a_language_model_goes_on_from_the_first_half_of_a_row(tmp_path):
    assert beginning_of("the dog sees the cat") == "the dog" and beginning_of("dog") == ""
    assert len(beginning_of("a " * 200).split()) == 40
    folder = write_task_checkpoint(tmp_path, Task.LANGUAGE_MODELING)
    subject = subject_of(folder, world(Task.LANGUAGE_MODELING, 10, 3))
    options = OPTIONS.model_copy(update={"written_rows": 4})
    one, two = (explainability(subject, options, np.random.default_rng(0)) for _ in range(2))
    assert one.metrics == two.metrics and the(one, "comprehensiveness", method="occlusion").n == 4
    assert "its first half was the prompt" in one.notes[0]


def test_rows_without_two_words_to_rank_are_not_measured_and_never_a_pass(translator):
    table = Table.from_rows(name="planted", texts=["dog", "cat"], references=["Hund", "Katze"], synthetic=True)
    [line] = explainability(subject_of(translator.checkpoint.path, table), OPTIONS, np.random.default_rng(0)).metrics
    assert line.value is None and line.verdict is Verdict.INCONCLUSIVE
