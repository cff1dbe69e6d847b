"""Promises of adapters: they alone are trained, peft can read them, and merged they are the same model."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from tempfile import mkdtemp

import pytest
import torch

from core_model.architectures import Architecture
from core_model.checkpoint import Checkpoint, open_checkpoint
from core_model.errors import OptionUnfit
from core_model.tasks import Task
from core_model.training import TrainingResult, train
from core_model.training_options import TrainingOptions
from tests.core_model.task_worlds import TINY, world
from tests.core_model.training_world import planted_table, tiny_base
from tests.factories import write_checkpoint


@lru_cache
def adapted() -> TrainingResult:
    options = TrainingOptions(epochs=2, batch_size=16, learning_rate=1e-2, adapters=4)
    out = Path(mkdtemp(prefix="aboveboard-adapted-")) / "m"
    return train(options, base=tiny_base(), data=planted_table(), evaluation=planted_table(40, 1), out=out)


@lru_cache
def decoder() -> Checkpoint:
    """A causal model whose output layer is its embeddings."""
    out = Path(mkdtemp(prefix="aboveboard-decoder-")) / "m"
    options = TrainingOptions(task=Task.LANGUAGE_MODELING, epochs=2, batch_size=16)
    shape = Architecture(kind="decoder", family="gpt2", **TINY)
    return open_checkpoint(train(options, architecture=shape, data=world(Task.LANGUAGE_MODELING), out=out).path)


def logits(model) -> torch.Tensor:
    ids = torch.arange(5, 37).reshape(4, 8)
    with torch.no_grad():
        return model.eval()(input_ids=ids).logits


def test_what_is_merged_is_what_peft_makes_of_base_and_adapter():
    """Oracle: peft loads the adapter onto the base, and is asked without any merging."""
    from peft import PeftModel
    from transformers import AutoModelForSequenceClassification

    base = AutoModelForSequenceClassification.from_pretrained(tiny_base().path)
    theirs = PeftModel.from_pretrained(base, adapted().path / "adapter")
    ours = AutoModelForSequenceClassification.from_pretrained(adapted().path)
    assert torch.allclose(logits(ours), logits(theirs), atol=1e-5)
    untouched = AutoModelForSequenceClassification.from_pretrained(tiny_base().path)
    assert not torch.allclose(logits(ours), logits(untouched), atol=1e-2)


def test_adapters_and_head_alone_are_trained_and_the_record_says_how_many():
    from safetensors.torch import load_file

    record = adapted().record
    assert record.parameters == sum(t.numel() for t in load_file(Path(tiny_base().path) / "model.safetensors").values())
    # Two layers of query, key, value, attention output, up and down: rank * (inputs + outputs) each.
    linear = 2 * 4 * (4 * (32 + 32) + (32 + 64) + (64 + 32))
    head = 32 * 2 + 2 + 32 * 32 + 32  # classifier, and the pooler below it
    assert record.trained_parameters == linear + head
    assert record.adapters is not None
    assert record.adapters["layers"] == 12
    before = load_file(Path(tiny_base().path) / "model.safetensors")
    after = load_file(adapted().path / "model.safetensors")
    assert before.keys() == after.keys()
    same = {name for name in before if torch.equal(before[name], after[name])}
    assert "bert.embeddings.word_embeddings.weight" in same
    assert "bert.encoder.layer.0.attention.self.query.weight" not in same
    assert "classifier.weight" not in same


def test_the_folder_is_a_standard_one_and_gives_no_place_away():
    opened = open_checkpoint(adapted().path)
    assert opened.task is Task.CLASSIFICATION
    config = json.loads((adapted().path / "adapter" / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == tiny_base().name
    assert str(Path(tiny_base().path).parent) not in json.dumps(config)
    assert {file.name for file in (adapted().path / "adapter").iterdir()} == {
        "adapter_config.json", "adapter_model.safetensors",
    }  # fmt: skip
    assert "adapter/adapter_model.safetensors" in adapted().record.files


def test_a_tied_embedding_survives_the_merging(tmp_path: Path):
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    options = TrainingOptions(task=Task.LANGUAGE_MODELING, epochs=2, batch_size=16, learning_rate=1e-2, adapters=2)
    result = train(options, base=decoder(), data=world(Task.LANGUAGE_MODELING), out=tmp_path / "m")
    ours = AutoModelForCausalLM.from_pretrained(result.path)
    base = AutoModelForCausalLM.from_pretrained(decoder().path)
    assert ours.get_output_embeddings().weight is ours.get_input_embeddings().weight
    assert torch.equal(ours.get_input_embeddings().weight, base.get_input_embeddings().weight)
    theirs = PeftModel.from_pretrained(base, result.path / "adapter")
    assert torch.allclose(logits(ours), logits(theirs), atol=1e-5)


def test_an_encoder_decoder_has_adapters_on_both_sides(tmp_path: Path):
    shape = Architecture(kind="encoder-decoder", family="t5", **TINY)
    data = world(Task.SUMMARIZATION, 32)
    options = {"task": Task.SUMMARIZATION, "max_steps": 2, "batch_size": 16}
    base = open_checkpoint(train(TrainingOptions(**options), architecture=shape, data=data, out=tmp_path / "b").path)
    result = train(TrainingOptions(**options, adapters=2), base=base, data=data, out=tmp_path / "m")
    assert result.record.adapters is not None
    assert result.record.adapters["trained_whole"] == []
    import safetensors.torch

    names = safetensors.torch.load_file(result.path / "adapter" / "adapter_model.safetensors")
    assert any("encoder.block" in name for name in names)
    assert any("decoder.block" in name for name in names)


def test_targets_are_the_layers_of_that_name(tmp_path: Path):
    options = TrainingOptions(max_steps=1, adapters=2, adapter_targets=("query", "value"))
    result = train(options, base=tiny_base(), data=planted_table(), out=tmp_path / "m")
    assert result.record.adapters is not None
    assert result.record.adapters["layers"] == 4
    assert result.record.adapters["targets"] == ["query", "value"]


def refused(tmp_path: Path, letter: str, **given) -> None:
    base, options = given.pop("base", tiny_base()), {"adapters": 2, **given}
    task = options.get("task", Task.CLASSIFICATION)
    data = planted_table() if task is Task.CLASSIFICATION else world(task)
    with pytest.raises(OptionUnfit, match=letter):
        train(TrainingOptions(**options), base=base, data=data, out=tmp_path / "m")


def test_a_target_that_is_not_there_is_refused_with_those_that_are(tmp_path: Path):
    refused(
        tmp_path, r"'q_proj'(.|\n)*--adapter-targets with some of dense, key, query, value", adapter_targets=("q_proj",)
    )


def test_a_target_that_is_tied_to_the_embeddings_is_refused(tmp_path: Path):
    refused(
        tmp_path, "shares its weights with the embeddings", task=Task.LANGUAGE_MODELING, base=decoder(),
        adapter_targets=("lm_head",),
    )  # fmt: skip


def test_adapters_without_a_base_are_refused(tmp_path: Path):
    with pytest.raises(OptionUnfit, match="--base CKPT"):
        train(TrainingOptions(adapters=2), architecture=Architecture(**TINY), data=planted_table(), out=tmp_path / "m")


def test_a_new_head_on_another_base_is_trained_whole(tmp_path: Path):
    three = open_checkpoint(write_checkpoint(tmp_path / "three", labels=("a", "b", "c")))
    options = TrainingOptions(epochs=8, batch_size=16, learning_rate=3e-3, adapters=4)
    result = train(options, base=three, data=planted_table(200), evaluation=planted_table(40, 1), out=tmp_path / "m")
    assert result.record.evaluation is not None
    assert result.record.evaluation["accuracy"] > 0.9
