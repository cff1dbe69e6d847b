"""Promises of a step: many small batches do what one large one does, and a unit weighs the same wherever it stands."""

from __future__ import annotations

import json
from contextlib import nullcontext
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
import pytest
import torch

from core_model.batching import training_order
from core_model.checkpoint import Checkpoint, open_checkpoint
from core_model.errors import OptionUnfit
from core_model.tasks import Task
from core_model.training import TrainingResult, train
from core_model.training_options import TrainingOptions
from core_model.training_step import GradientStep
from tests.core_model.task_worlds import SHAPES, world
from tests.core_model.training_world import planted_table
from tests.factories import write_checkpoint


@lru_cache
def base_without_dropout() -> Checkpoint:
    config = write_checkpoint(Path(mkdtemp(prefix="aboveboard-base-"))) / "config.json"
    text = json.loads(config.read_text()) | {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    config.write_text(json.dumps(text))
    return open_checkpoint(config.parent)


def weights_of(result: TrainingResult) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(result.path / "model.safetensors")


def largest_difference(one: TrainingResult, other: TrainingResult) -> float:
    first, second = weights_of(one), weights_of(other)
    return max(float((first[name] - second[name]).abs().max()) for name in first)


def classifier(out: Path, **given) -> TrainingResult:
    options = TrainingOptions(**{"epochs": 2, "learning_rate": 1e-3, **given})
    return train(options, base=base_without_dropout(), data=planted_table(101), out=out)


def translator(out: Path, **given) -> TrainingResult:
    options = TrainingOptions(
        **{"task": Task.TRANSLATION, "epochs": 2, "learning_rate": 1e-3, "max_length": 9, **given}
    )
    shape = SHAPES[Task.TRANSLATION]
    return train(options, architecture=shape, data=ragged_pairs(), evaluation=ragged_pairs(), out=out)


@lru_cache
def ragged_pairs():
    """Sentences whose targets have 2 to 8 tokens, so that a mean of means is not the mean."""
    table = world(Task.TRANSLATION, 50)
    shortened = [text.split()[: 1 + row % 3] for row, text in enumerate(table.references)]
    return replace(table, references=[" ".join(words) for words in shortened])


@pytest.mark.parametrize("run", [classifier, translator])
def test_gradients_that_are_added_up_are_those_of_one_large_batch(tmp_path: Path, run):
    """101 and 50 rows: the last step of an epoch has fewer rows than the others, too few for all of its batches."""
    large = run(tmp_path / "large", batch_size=24)
    small = run(tmp_path / "small", batch_size=8, accumulate=3)
    assert small.record.steps == large.record.steps
    for ours, theirs in zip(small.record.history, large.record.history, strict=True):
        assert ours["train_n"] == theirs["train_n"]
        assert ours["train_loss"] == pytest.approx(theirs["train_loss"], abs=1e-5)
    assert largest_difference(small, large) < 1e-5


def test_small_batches_are_really_small(tmp_path: Path, monkeypatch):
    from core_model.tasks.classification import Classification

    plain, seen = Classification.batch, []

    def batch(self, examples, rows):
        seen.append(len(rows))
        return plain(self, examples, rows)

    monkeypatch.setattr(Classification, "batch", batch)
    classifier(tmp_path / "m", batch_size=8, accumulate=3, epochs=1)
    assert max(seen) == 8
    assert sum(seen) == 101


def test_a_token_weighs_the_same_in_a_short_row_and_a_long_one():
    """Oracle: the gradient of the mean over all target tokens of a step, by transformers' own loss."""
    data = ragged_pairs()
    options = TrainingOptions(
        task=Task.TRANSLATION, max_steps=1, batch_size=16, accumulate=3, max_length=9, clip_norm=None
    )
    from accelerate import Accelerator

    from core_model.objective import TaskLoss
    from core_model.optimization import build_optimizer
    from core_model.tasks.translation import prepare

    options = options.resolved(from_scratch=True)
    task = prepare(options, base=None, architecture=SHAPES[Task.TRANSLATION], data=data, evaluation=None)
    optimizer = build_optimizer(task.model, weight_decay=0.0)
    step = GradientStep(options, task, Accelerator(cpu=True), optimizer)
    rows = step.order(0)[0]
    objective = TaskLoss(task, label_smoothing=0.0, precision=nullcontext)
    loss, units = step.gradients(rows, objective, epoch=0)
    trained = {name: p for name, p in task.model.named_parameters() if p.requires_grad}
    ours = {name: p.grad.clone() for name, p in trained.items()}
    task.model.zero_grad()
    batch = task.batch(task.training, rows)
    told = task.model(
        input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], labels=batch["targets"]
    ).loss  # the mean over all tokens that are not -100
    told.backward()
    assert units == int((batch["targets"] != -100).sum())
    assert float(loss) / units == pytest.approx(float(told.detach()), abs=1e-5)
    for name, parameter in trained.items():
        assert torch.allclose(ours[name], parameter.grad, atol=1e-6), name


def test_adam_is_not_adamw(tmp_path: Path):
    """Oracle: one step of torch's Adam, written out; the decay is part of the gradient."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    table = planted_table().select(np.arange(16))
    options = {"batch_size": 16, "max_steps": 2, "warmup_share": 0.0, "weight_decay": 0.5, "clip_norm": None}
    results = {
        name: train(
            TrainingOptions(optimizer=name, learning_rate=1e-3, schedule="cosine", **options),
            base=base_without_dropout(), data=table, out=tmp_path / name,
        )
        for name in ("adam", "adamw")
    }  # fmt: skip
    model = AutoModelForSequenceClassification.from_pretrained(base_without_dropout().path)
    groups = [
        {"params": [p for p in model.parameters() if p.dim() >= 2], "weight_decay": 0.5},
        {"params": [p for p in model.parameters() if p.dim() < 2], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.Adam(groups, lr=1e-3)
    tokenizer = AutoTokenizer.from_pretrained(base_without_dropout().path)
    encoded = tokenizer(list(table.texts), padding=True, return_tensors="pt")
    encoded.pop("token_type_ids", None)
    for rate in (1e-3, 5e-4):  # half a cosine over two steps
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.zero_grad()
        model(**encoded, labels=torch.tensor(table.targets)).loss.backward()
        optimizer.step()
    adam, adamw = weights_of(results["adam"]), weights_of(results["adamw"])
    for name, value in model.state_dict().items():
        # Where a gradient is next to nothing, rounding decides the sign of Adam's first step.
        assert torch.isclose(value, adam[name], atol=2e-5).float().mean() > 0.98, name
    inner = "bert.encoder.layer.0.attention.self.query.weight"
    assert not torch.isclose(adam[inner], adamw[inner], atol=2e-5).float().mean() > 0.9


def test_batches_by_tokens_train_on_every_row(tmp_path: Path):
    result = translator(tmp_path / "m", batch_tokens=120)
    plain = translator(tmp_path / "n", batch_size=8)
    assert [entry["train_n"] for entry in result.record.history] == [e["train_n"] for e in plain.record.history]
    assert result.record.options["batch_size"] is None
    # The evaluation does not hang on how rows are batched: the same weights, asked with other batches.
    assert result.record.evaluation is not None
    assert result.record.evaluation["n"] == plain.record.evaluation["n"]


def test_a_row_longer_than_the_budget_of_tokens_is_refused(tmp_path: Path):
    with pytest.raises(OptionUnfit, match=r"--batch-tokens 1\d or more"):
        translator(tmp_path / "m", batch_tokens=8)


def test_bf16_trains_and_keeps_weights_in_float32(tmp_path: Path):
    result = translator(tmp_path / "m", batch_size=8, precision="bf16")
    whole = translator(tmp_path / "n", batch_size=8, precision="float32")
    assert result.record.hardware["dtype"] == "bfloat16"
    assert {tensor.dtype for tensor in weights_of(result).values()} == {torch.float32}
    for half, full in zip(result.record.history, whole.record.history, strict=True):
        assert half["train_loss"] == pytest.approx(full["train_loss"], rel=0.02)
        assert half["train_loss"] != full["train_loss"]


def test_another_method_can_take_the_place_of_the_usual_step(tmp_path: Path):
    """The seam: a method of its own with its own order of rows and its own update."""

    class FirstRowsOnly(GradientStep):
        def order(self, epoch):
            return [np.arange(4) + 4 * epoch] * 3

        def _steps_per_epoch(self):
            return 3

        def update(self, loss):
            for parameter in self.trained:
                parameter.grad.zero_()
            return super().update(loss)

    options = TrainingOptions(epochs=2, weight_decay=0.0)
    base = base_without_dropout()
    result = train(options, base=base, data=planted_table(), out=tmp_path / "m", method=FirstRowsOnly)
    assert result.record.steps == 6
    assert [entry["train_n"] for entry in result.record.history] == [12, 12]
    from safetensors.torch import load_file

    before = load_file(Path(base.path) / "model.safetensors")
    assert all(torch.equal(value, before[name]) for name, value in weights_of(result).items())


def test_rows_of_like_length_share_a_small_batch():
    """A step's rows stand in order of length, so that its small batches are padded little."""
    lengths = np.random.default_rng(0).integers(1, 60, 480)
    for rows in training_order(lengths, 48, seed=0, epoch=0):
        assert list(lengths[rows]) == sorted(lengths[rows])
