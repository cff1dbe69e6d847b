"""Int8 numbers: right by a slow loop, the same when opened again, and independent of the rest of the batch."""

from __future__ import annotations

import json
import shutil
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from core_model.checkpoint import Checkpoint, open_checkpoint
from core_model.compression.compress import compress
from core_model.compression.options import Quantize
from core_model.compression.quantization import Int8Embedding, Int8Linear, rounded
from core_model.errors import CheckpointDamaged, TaskUnfit
from core_model.prediction import Predictor
from tests.core_model.compression_world import SENTENCES, classifier, logits, writer


@cache
def quantized(family: str = "bert", *, writes: bool = False, float_words: bool = False) -> Checkpoint:
    original = (writer if writes else classifier)(family)
    folder = Path(mkdtemp()) / "int8"
    compress(original, Quantize(float_words=float_words), folder)
    return open_checkpoint(folder)


def copied(tmp_path: Path) -> Path:
    return shutil.copytree(quantized().path, tmp_path / "copy")


def float_model_of_rounded_numbers(original: Checkpoint, again: Checkpoint):
    """The slow way: the original, its matrices and what they read rounded by numpy, multiplied as floats."""
    model = original.load_model()
    tensors = load_file(again.path / "model.safetensors")
    for name in (name.removesuffix(".weight") for name in tensors if tensors[name].dtype == torch.int8):
        module = model.get_submodule(name)
        module.weight.data = _rounded_by_row(module.weight.detach())
        if isinstance(module, torch.nn.Linear):
            module.register_forward_pre_hook(lambda _, given: (_rounded_by_row(given[0]),))
    return model


def _rounded_by_row(values: torch.Tensor) -> torch.Tensor:
    array = values.numpy()
    step = np.abs(array).max(axis=-1, keepdims=True) / 127
    step[step == 0] = 1  # the vector of padding
    return torch.from_numpy(np.round(array / step) * step)


def test_a_layer_gives_what_a_slow_loop_over_integers_gives():
    torch.manual_seed(0)
    linear = torch.nn.Linear(7, 5)
    values = torch.randn(3, 2, 7)
    layer = Int8Linear.of(linear)
    weights, scales = layer.weight.numpy(), layer.weight_scale.numpy()[:, 0]
    with torch.inference_mode():
        found = layer(values).numpy()
    for place in np.ndindex(3, 2):
        row = values[place].numpy()
        step = np.abs(row).max() / 127
        integers = [round(float(x / step)) for x in row]
        for output in range(5):
            total = sum(int(w) * x for w, x in zip(weights[output], integers, strict=True))
            expected = total * step * scales[output] + float(linear.bias[output].detach())
            assert found[(*place, output)] == pytest.approx(expected, rel=1e-5, abs=1e-6)


def test_rounding_is_off_by_half_a_step_at_most_and_zeros_stay_zeros():
    torch.manual_seed(0)
    weight = torch.randn(6, 50)
    weight[2] = 0
    values, scale = rounded(weight)
    assert values.dtype == torch.int8
    assert ((values * scale - weight).abs() <= scale / 2 + 1e-9).all()
    assert (values[2] == 0).all() and torch.isfinite(scale).all()


def test_a_token_of_zeros_and_a_single_row_are_answered():
    layer = Int8Linear.of(torch.nn.Linear(8, 3))
    with torch.inference_mode():
        assert torch.allclose(layer(torch.zeros(1, 8)), layer.bias)
        assert layer(torch.ones(8)).shape == (3,)


def test_numbers_that_are_none_stay_visible():
    layer = Int8Linear.of(torch.nn.Linear(8, 3))
    broken = torch.ones(2, 8)
    broken[1, 3] = float("nan")
    with torch.inference_mode():
        found = layer(broken)
    assert torch.isfinite(found[0]).all() and torch.isnan(found[1]).all()


def test_a_table_of_words_gives_its_rows():
    table = torch.nn.Embedding(9, 16)
    near = Int8Embedding.of(table)
    ids = torch.tensor([[0, 8], [3, 3]])
    assert (near(ids) - table(ids)).abs().max() <= near.weight_scale.max() / 2 + 1e-7


@pytest.mark.parametrize(
    ("family", "writes"),
    [("bert", False), ("distilbert", False), ("llama", False), ("llama", True), ("t5", True), ("marian", True)],
)
def test_opened_again_it_says_the_same_as_a_float_model_of_rounded_numbers(family, writes):
    from core_model.compression.quantization import quantize

    original = (writer if writes else classifier)(family)
    again = quantized(family, writes=writes)
    in_memory = quantize(original.load_model())
    found = logits(again)
    assert torch.equal(found, logits(original, in_memory))
    expected = logits(original, float_model_of_rounded_numbers(original, again))
    assert (found - expected).abs().mean() < 1e-3 * expected.std()
    assert (found - logits(original)).abs().mean() > 2e-3 * expected.std()  # rounding is seen
    assert again.task is original.task and again.parameters == original.parameters
    assert again.facts["quantization"] and "quantization" not in original.facts


@pytest.mark.parametrize("family", ["llama", "marian"])
def test_it_writes_by_the_originals_settings(family):
    original, again = writer(family), quantized(family, writes=True)
    settings = [one.load_model().generation_config.to_dict() for one in (original, again)]
    assert settings[0]["eos_token_id"] == settings[1]["eos_token_id"] != 3  # several ends, not the tokenizer's alone
    assert settings[0] == settings[1]
    written = Predictor(again, cache=None).generate(SENTENCES, max_new_tokens=5)
    assert written.tokens.max() > 0


def test_the_weights_are_a_fourth_of_the_bytes_and_nothing_is_pickled():
    folder = quantized().path
    tensors = load_file(folder / "model.safetensors")
    inner = [name for name in tensors if tensors[name].dtype == torch.int8]
    assert len(inner) == 2 * 6 + 1  # six matrices a layer, and the table of words
    assert {file.suffix for file in folder.iterdir()} <= {".json", ".safetensors", ".md", ".txt"}
    assert tensors["classifier.weight"].dtype == torch.float32


def test_float_words_keeps_the_table_and_rounds_the_rest():
    tensors = load_file(quantized(float_words=True).path / "model.safetensors")
    assert tensors["bert.embeddings.word_embeddings.weight"].dtype == torch.float32
    assert tensors["bert.encoder.layer.0.attention.self.query.weight"].dtype == torch.int8


def test_a_table_that_is_also_the_output_layer_stays_float():
    tensors = load_file(quantized("t5", writes=True).path / "model.safetensors")
    assert tensors["shared.weight"].dtype == torch.float32


def test_a_row_alone_is_answered_as_in_a_batch():
    opened = quantized()
    together = Predictor(opened, cache=None).predict(SENTENCES).logits
    alone = Predictor(opened, cache=None, token_budget=1).predict(SENTENCES).logits
    assert np.abs(together - alone).max() < 1e-4


def test_gradients_pass_the_rounding():
    predictor = Predictor(quantized(), cache=None)
    found = predictor.embedding_gradients(SENTENCES[:2], [1, 1])
    assert all(np.abs(one.gradients).max() > 0 for one in found)
    layer = Int8Linear.of(torch.nn.Linear(6, 4))
    values = torch.randn(5, 6)
    with torch.inference_mode():
        plain = layer(values)
    assert torch.allclose(plain, layer(values.requires_grad_()), atol=1e-6)


def test_gpt2_whose_matrices_are_of_another_kind_is_refused():
    with pytest.raises(TaskUnfit, match=r"GPT2.*\n.*--method"):
        compress(classifier("gpt2"), Quantize(), Path(mkdtemp()))


def test_what_is_rounded_is_not_rounded_again(tmp_path):
    with pytest.raises(TaskUnfit, match="takes a checkpoint of floats"):
        compress(quantized(), Quantize(), tmp_path)


def test_another_way_of_rounding_is_refused_by_name(tmp_path):
    folder = copied(tmp_path)
    config = json.loads((folder / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "gptq", "bits": 4}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(TaskUnfit, match=r"config.json: .*not read here \(gptq\)"):
        open_checkpoint(folder)


@pytest.mark.parametrize("damage", ["no scale", "floats under a scale", "a scale for nothing", "a matrix is missing"])
def test_tensors_that_do_not_fit_are_named(tmp_path, damage):
    folder = copied(tmp_path)
    tensors = load_file(folder / "model.safetensors")
    name = "bert.encoder.layer.0.attention.self.query.weight"
    if damage == "no scale":
        del tensors[f"{name}_scale"]
    elif damage == "floats under a scale":
        tensors[name] = tensors[name].float()
    elif damage == "a scale for nothing":
        tensors["bert.nothing.weight_scale"] = torch.ones(1, 1)
    else:
        del tensors[name]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CheckpointDamaged, match=r"copy.*(query|nothing)"):
        open_checkpoint(folder).load_model()


def test_int8_numbers_are_not_trained(tmp_path):
    from core_model.data import Table
    from core_model.training import train
    from core_model.training_options import TrainingOptions

    table = Table.from_rows(name="planted", texts=SENTENCES, targets=[0, 1, 0, 1], synthetic=True)
    with pytest.raises(TaskUnfit, match="takes a checkpoint of floats"):
        train(TrainingOptions(), data=table, base=quantized(), out=tmp_path / "out")
    assert not (tmp_path / "out").exists()
