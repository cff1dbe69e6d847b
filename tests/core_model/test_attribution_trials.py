"""The trials: formulas held against Captum's, and known truths."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from captum.metrics import infidelity as captum_infidelity
from captum.metrics import sensitivity_max

from core_model.attribution import attribute, integrated_gradients
from core_model.attribution_path import EmbeddingPath
from core_model.attribution_trials import infidelity, infidelity_of, max_sensitivity, max_sensitivity_of, randomized
from core_model.prediction import Predictor
from tests.core_model.prediction_models import made_up_texts
from tests.core_model.test_attribution import linear, open_loud


def smooth(x: torch.Tensor) -> torch.Tensor:
    return torch.sin(x).sum(1) + x[:, 0] * x[:, 1]


def test_infidelity_is_captums():
    random = np.random.default_rng(0)
    x = torch.tensor(random.normal(size=(1, 6)), dtype=torch.float32)
    scores = torch.tensor(random.normal(size=(1, 6)), dtype=torch.float32)
    masks = torch.tensor(random.integers(0, 2, (8, 6)), dtype=torch.float32)

    def perturb(inputs):  # for scores that are multiplied by the input, Captum takes the mask itself
        return masks, inputs * (1 - masks)

    expected = captum_infidelity(smooth, perturb, x, scores, n_perturb_samples=8, max_examples_per_batch=8)
    foretold = (masks @ scores[0]).numpy()
    moved = (smooth(x) - smooth(x * (1 - masks))).numpy()
    assert infidelity_of(foretold, moved).mean() == pytest.approx(expected.item(), rel=1e-5)


def test_max_sensitivity_is_captums():
    random = np.random.default_rng(0)
    x = torch.tensor(random.normal(size=(1, 6)), dtype=torch.float32)
    noise = torch.tensor(random.uniform(-0.1, 0.1, (5, 6)), dtype=torch.float32)

    def explain(inputs):
        [inputs] = inputs  # Captum hands over a tuple
        with torch.enable_grad():
            inputs = inputs.detach().requires_grad_(True)
            return (torch.autograd.grad(smooth(inputs).sum(), inputs)[0] * inputs.detach(),)

    expected = sensitivity_max(explain, x, perturb_func=lambda inputs: (inputs[0] + noise,), n_perturb_samples=5)
    found = max_sensitivity_of(explain((x,))[0][0].numpy(), explain((x + noise,))[0].numpy())
    assert found == pytest.approx(expected.item(), rel=1e-5)


def test_on_a_linear_model_integrated_gradients_have_no_infidelity(tmp_path):
    checkpoint, _ = linear(open_loud(tmp_path))
    path = EmbeddingPath(Predictor(checkpoint), made_up_texts(6), of="logit")
    found = integrated_gradients(path, np.ones(6, dtype=np.int64))
    exact = infidelity(path, found, perturbations=5, random=np.random.default_rng(0))
    assert exact.max() < 1e-6
    wrong = [type(one)(**{**one.__dict__, "scores": -one.scores}) for one in found]
    assert infidelity(path, wrong, perturbations=5, random=np.random.default_rng(0)).min() > 1e-3


def test_scores_hardly_move_near_a_text_and_move_more_further_off(tmp_path):
    path = EmbeddingPath(Predictor(open_loud(tmp_path)), made_up_texts(6))
    found = integrated_gradients(path, np.ones(6, dtype=np.int64))
    near, far = (
        max_sensitivity(path, found, radius=radius, perturbations=3, random=np.random.default_rng(0))
        for radius in (1e-4, 0.5)
    )
    assert near.max() < 0.05 < far.mean()
    again = max_sensitivity(path, found, radius=0.5, perturbations=3, random=np.random.default_rng(0))
    assert (again == far).all()


def test_the_randomized_copy_answers_otherwise_and_the_original_as_before(tmp_path):
    checkpoint = open_loud(tmp_path)
    predictor = Predictor(checkpoint)
    texts = made_up_texts(10)
    before = predictor.predict(texts).logits.copy()
    once, twice = (randomized(predictor, np.random.default_rng(0)) for _ in range(2))
    assert (once.predict(texts).logits == twice.predict(texts).logits).all()
    assert np.abs(once.predict(texts).logits - before).max() > 0.01
    assert (Predictor(checkpoint).predict(texts).logits == before).all()
    for a, b in zip(predictor.forward.model.parameters(), once.forward.model.parameters(), strict=True):
        assert torch.equal(a.flatten().sort().values, b.flatten().sort().values)
    attribute(once, texts, [0] * 10)
