"""Layer by layer, head by head, and the swap: the newer parts of the explainability audit, on models with a known
reason."""

from __future__ import annotations

import numpy as np
import pytest

from audit.concerns.explainability.attention import attention_figure
from audit.concerns.explainability.cascade import NAME, cascade_figure, cascade_metrics
from audit.concerns.explainability.swap import category_of, identity_words, swapped
from core_model.attribution import integrated_gradients
from core_model.attribution_path import EmbeddingPath
from tests.audit.concerns.explainability_subjects import subject_of, texts_with_shortcut, write_shortcut_checkpoint

WORD = "man"


@pytest.fixture(scope="module")
def sexist(tmp_path_factory):
    """A model to which "man" is the reason."""
    folder = write_shortcut_checkpoint(tmp_path_factory.mktemp("sexist"), word=WORD)
    texts, holds = texts_with_shortcut(80, seed=4, word=WORD)
    return subject_of(folder, texts, holds)


def rows_with(subject, word):
    return np.array([row for row, text in enumerate(subject.texts) if word in text.split()])


def test_swapping_the_planted_identity_term_flips_answers_and_costs_accuracy(sexist):
    found = swapped(sexist, WORD, rows_with(sexist, WORD))
    assert found.category == "gender"
    assert found.flips.value > 0.9 and found.flips.n == 40
    assert found.accuracy.value < -0.9


def test_swapping_a_term_that_does_not_decide_flips_nothing_much(sexist):
    found = swapped(sexist, "gay", rows_with(sexist, "gay"))
    assert found.flips.low < 0.1


def test_without_labels_the_swap_shows_flips_and_says_what_is_missing(sexist):
    subject = subject_of(sexist.checkpoint.path, sexist.texts, None)
    found = swapped(subject, WORD, rows_with(subject, WORD))
    assert found.flips.value > 0.9 and found.accuracy.value is None and "--label-column" in found.accuracy.reason


def test_only_identity_terms_have_a_counterpart_and_only_the_word_itself_is_swapped(sexist):
    assert category_of("table") is None and swapped(sexist, "table", np.array([0])) is None
    assert identity_words(["table", "man", "she", "queen"], 2) == ["man", "she"]
    assert identity_words(["man"], 0) == []


def test_a_model_that_lost_its_layers_explains_otherwise_and_the_untouched_one_alike(sexist):
    path = EmbeddingPath(sexist.predictor, sexist.texts[:16])
    targets = sexist.predictions.predicted[:16]
    trained = integrated_gradients(path, targets)
    held = np.arange(16)
    lines, passes = cascade_metrics(path, trained, held, most=3, resamples=500, random=np.random.default_rng(0))
    assert [line.slice["shuffled_down_to"] for line in lines] == ["head", "encoder.layer.0", "embeddings"]
    assert passes == 3 * 16 * 10  # both ends of the way and eight points on it, a stage
    assert lines[-1].value < 0.5 and all(line.n == 16 for line in lines)
    figure = cascade_figure(lines, faithful=True)
    assert [row["x"] for row in figure.rows] == ["head", "encoder.layer.0", "embeddings"]
    assert cascade_figure([], faithful=True) is None


def test_no_stage_leaves_the_explanations_as_they_are(sexist, monkeypatch):
    """The healthy twin of the trial: where nothing is shuffled, the correlation is 1."""
    path = EmbeddingPath(sexist.predictor, sexist.texts[:8])
    trained = integrated_gradients(path, sexist.predictions.predicted[:8], even_steps=8)
    monkeypatch.setattr("audit.concerns.explainability.cascade.cascade", lambda stages, most: [("nothing", set())])
    [line], _ = cascade_metrics(path, trained, np.arange(8), most=1, resamples=500, random=np.random.default_rng(0))
    assert line.name == NAME and line.value == pytest.approx(1)


def test_the_overview_has_a_cell_for_each_head(sexist):
    figure, missing = attention_figure(EmbeddingPath(sexist.predictor, sexist.texts[:4]))
    config = sexist.predictor.forward.model.config
    assert missing is None and len(figure.rows) == config.num_hidden_layers * config.num_attention_heads
    assert all(0 <= row["value"] <= 1 for row in figure.rows) and "not why the model decides" in figure.caption
