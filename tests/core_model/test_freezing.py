"""Promises of freezing: what is held still keeps its bits, the rest learns, and names that fit nothing are told."""

from __future__ import annotations

import pytest
from pydantic import ValidationError
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForSequenceClassification

from core_model.checkpoint import open_checkpoint
from core_model.errors import OptionUnfit
from core_model.freezing import freeze
from core_model.training import train
from core_model.training_options import TrainingOptions
from privacy.options import PrivacyOptions
from privacy.training import train_privately
from tests.core_model.training_world import planted_table, tiny_base

OPTIONS = {"epochs": 2, "batch_size": 16, "learning_rate": 1e-2}


def model():
    return AutoModelForSequenceClassification.from_config(AutoConfig.from_pretrained(tiny_base().path))


def changed(out) -> set[str]:
    before, after = (load_file(folder / "model.safetensors") for folder in (tiny_base().path, out))
    return {name for name in after if name not in before or not before[name].equal(after[name])}


def test_a_head_alone_is_learnt_on_a_body_that_keeps_its_bits(tmp_path):
    result = train(TrainingOptions(**OPTIONS, freeze=("body",)), base=tiny_base(), data=planted_table(), out=tmp_path)
    assert changed(tmp_path) == {"classifier.weight", "classifier.bias"}
    assert result.record.trained_parameters == sum(p.numel() for p in model().classifier.parameters())
    assert result.record.options["freeze"] == ["body"]


def test_parts_are_called_by_the_end_of_their_names(tmp_path):
    parts = ("embeddings", "encoder.layer.0")
    train(TrainingOptions(**OPTIONS, freeze=parts), base=tiny_base(), data=planted_table(), out=tmp_path)
    moved = changed(tmp_path)
    assert not [name for name in moved if ".embeddings." in name or ".layer.0." in name]
    assert [name for name in moved if ".layer.1." in name] and "classifier.weight" in moved


def test_privately_no_noise_falls_on_what_is_held_still(tmp_path):
    private = PrivacyOptions(epsilon=8.0, delta=1e-4, noise_seed=0)
    options = TrainingOptions(**OPTIONS, freeze=("body",))
    result = train_privately(options, private, base=tiny_base(), data=planted_table(), out=tmp_path)
    assert changed(tmp_path) == {"classifier.weight", "classifier.bias"} and result.claim.epsilon <= 8
    assert open_checkpoint(tmp_path).task is tiny_base().task


def test_what_cannot_be_held_still(tmp_path):
    with pytest.raises(OptionUnfit, match=r"called 'layer.9'[\s\S]*--freeze body"):
        freeze(model(), ["layer.9"])
    with pytest.raises(OptionUnfit, match="nothing is left to train"):
        freeze(model(), ["body", "classifier"])
    with pytest.raises(ValidationError, match="adapters hold the base still already"):
        TrainingOptions(adapters=2, freeze=("body",))
    from tests.core_model.task_worlds import SHAPES, Task

    with pytest.raises(OptionUnfit, match="there is no base"):
        train(
            TrainingOptions(task=Task.QUESTION_ANSWERING, freeze=("body",)), data=planted_table(), out=tmp_path,
            architecture=SHAPES[Task.QUESTION_ANSWERING],
        )  # fmt: skip
