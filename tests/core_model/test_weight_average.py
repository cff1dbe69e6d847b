"""Promises of the moving average: what the formula says, kept through a killed run, and it is what is saved."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from core_model.training import train
from core_model.training_loop import Loop
from core_model.training_options import TrainingOptions
from core_model.weight_average import WeightAverage
from tests.core_model.training_world import planted_table, tiny_base


def test_the_average_is_the_slow_sum():
    """Oracle: the weights of each step written out, and their sum with the weights of the formula, in float64."""
    torch.manual_seed(0)
    model = torch.nn.Linear(3, 2)
    average = WeightAverage(model, 0.6)
    expected = model.weight.detach().double().numpy().copy()
    for step in range(1, 31):
        with torch.no_grad():
            model.weight.add_(torch.randn(2, 3))
        average.update(step)
        decay = min(0.6, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * model.weight.detach().double().numpy()
    assert np.allclose(average.tensors["weight"].numpy(), expected, atol=1e-6)


def test_the_average_is_in_place_while_it_is_asked_for_and_no_longer():
    model = torch.nn.Linear(2, 2)
    average = WeightAverage(model, 0.9)
    own = model.weight.detach().clone()
    with torch.no_grad():
        average.tensors["weight"].fill_(7)
    with pytest.raises(RuntimeError), average.in_place():
        assert (model.weight == 7).all()
        raise RuntimeError
    assert torch.equal(model.weight, own)
    assert (average.tensors["weight"] == 7).all()


def test_the_average_is_evaluated_and_saved(tmp_path: Path, monkeypatch):
    """Oracle: the weights after each step, averaged by hand; and an evaluation of what was saved."""
    from safetensors.torch import load_file

    seen: list[dict[str, torch.Tensor]] = []
    plain = Loop._step

    def step(self, rows):
        if not seen:
            seen.append({name: p.detach().double().clone() for name, p in self.task.model.named_parameters()})
        plain(self, rows)
        seen.append({name: p.detach().double().clone() for name, p in self.task.model.named_parameters()})

    monkeypatch.setattr(Loop, "_step", step)
    options = TrainingOptions(epochs=2, batch_size=16, learning_rate=1e-3, ema=0.8)
    evaluation = planted_table(40, 1)
    result = train(options, base=tiny_base(), data=planted_table(), evaluation=evaluation, out=tmp_path / "m")
    expected = dict(seen[0])
    for number, weights in enumerate(seen[1:], start=1):
        decay = min(0.8, (1 + number) / (10 + number))
        expected = {name: decay * expected[name] + (1 - decay) * weights[name] for name in expected}
    saved = load_file(result.path / "model.safetensors")
    assert all(torch.allclose(saved[name].double(), value, atol=1e-6) for name, value in expected.items())
    assert not torch.allclose(saved["classifier.weight"].double(), seen[-1]["classifier.weight"], atol=1e-4)

    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    model = AutoModelForSequenceClassification.from_pretrained(result.path).eval()
    encoded = AutoTokenizer.from_pretrained(result.path)(list(evaluation.texts), padding=True, return_tensors="pt")
    encoded.pop("token_type_ids", None)
    with torch.no_grad():
        loss = float(model(**encoded, labels=torch.tensor(evaluation.targets)).loss)
    assert result.record.evaluation is not None
    assert result.record.evaluation["loss"] == pytest.approx(loss, abs=1e-5)
