"""Promises of the checkpoints that the selftest is made of: what they say is what was written into them."""

from __future__ import annotations

import numpy as np
import pytest

from audit.selftest.by_heart import by_heart
from audit.selftest.texts import BAD, GOOD, LENGTH, PLAIN, SOUND, WEIGHTS, draw, subject_of, written
from core_model.prediction import Predictor


def log_odds(checkpoint, texts) -> np.ndarray:
    logits = Predictor(checkpoint).predict(texts).logits
    return logits[:, 1] - logits[:, 0]


def test_the_model_says_the_mean_of_its_words_weights_times_its_scale(tmp_path):
    """Held against the sum by hand, over texts of all lengths, each weight drawn anew."""
    random = np.random.default_rng(0)
    weights = {word: float(random.normal()) for word in WEIGHTS}
    texts = [" ".join(random.choice(list(weights), int(random.integers(1, 40)))) for _ in range(80)]
    by_hand = [30 * sum(weights[word] for word in text.split()) / (len(text.split()) + 2) for text in texts]
    model = SOUND.but(weights=weights, scale=30.0)
    assert log_odds(written(model, tmp_path / "model"), texts) == pytest.approx(by_hand, rel=0.01, abs=0.01)
    assert [model.log_odds(text) for text in texts] == pytest.approx(by_hand)


def test_layers_more_do_more_work_and_change_no_answer(tmp_path):
    texts = draw(np.random.default_rng(1), 30).texts
    one, five = (written(SOUND.but(layers=layers), tmp_path / str(layers)) for layers in (1, 5))
    assert log_odds(five, texts) == pytest.approx(log_odds(one, texts), abs=1e-4)
    assert five.facts["layers"] == 5


def test_a_saturated_model_gives_the_same_answers_and_no_gradient(tmp_path):
    rows = draw(np.random.default_rng(2), 40)
    sound, step = written(SOUND, tmp_path / "sound"), written(SOUND.but(saturated=True), tmp_path / "step")
    assert (np.sign(log_odds(step, rows.texts)) == np.sign(rows.margins)).all()
    assert (np.sign(log_odds(sound, rows.texts)) == np.sign(rows.margins)).all()
    slopes = [_slope(checkpoint, rows.texts[0]) for checkpoint in (sound, step)]
    assert slopes[0] > 0 and slopes[1] == 0


def _slope(checkpoint, text) -> float:
    import torch

    model, tokenizer = checkpoint.load_model(), checkpoint.load_tokenizer()
    inputs = tokenizer(text, return_tensors="pt")
    embedded = model.get_input_embeddings()(inputs.input_ids).detach().requires_grad_()
    logits = model(inputs_embeds=embedded, attention_mask=inputs.attention_mask).logits
    [slope] = torch.autograd.grad(logits[0, 1] - logits[0, 0], embedded)
    return float(slope.abs().max())


def test_a_cased_model_does_not_know_words_in_capital_letters(tmp_path):
    texts = draw(np.random.default_rng(3), 10, margins=(6,)).texts
    capitals = [text.upper() for text in texts]
    blind, sound = written(SOUND.but(lowercase=False), tmp_path / "a"), written(SOUND, tmp_path / "b")
    assert log_odds(blind, capitals) == pytest.approx(np.zeros(10), abs=1e-3)
    assert log_odds(sound, capitals) == pytest.approx(log_odds(sound, texts))


def test_labels_are_drawn_with_the_chance_that_the_words_say():
    rows = draw(np.random.default_rng(4), 20_000)
    for text, margin in list(zip(rows.texts, rows.margins, strict=True))[:200]:
        words = text.split()
        assert len(words) == LENGTH and set(words) <= {*GOOD, *BAD, *PLAIN}
        assert sum(word in GOOD for word in words) - sum(word in BAD for word in words) == margin
    for margin in (-4, -1, 2, 3):
        share = rows.labels[rows.margins == margin].mean()
        assert share == pytest.approx(1 / (1 + np.exp(-margin)), abs=0.03)


def test_a_model_that_knows_its_rows_by_heart_is_right_about_them_alone(tmp_path):
    for weight, seen in ((8.0, 1.0), (0.0, None)):
        model, test, training = by_heart(np.random.default_rng(5), 200, weight=weight)
        subject = subject_of(written(model, tmp_path / str(weight)), test, training=training)
        on_training = (subject.training_predictions.predicted == training.labels).mean()
        on_test = (subject.predictions.predicted == test.labels).mean()
        assert on_training == seen if seen else on_training == pytest.approx(on_test, abs=0.12)
        assert 0.65 < on_test < 0.95
