"""Promises of training: it learns, it repeats itself to the bit, and bad input is refused before the first step."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from core_model.architectures import Architecture
from core_model.checkpoint import open_checkpoint
from core_model.data import Table
from core_model.errors import LabelsUnfit, OptionUnfit, OutputUnwritable
from core_model.progress import Progress
from core_model.tasks import Task
from core_model.training import TrainingResult, train
from core_model.training_options import TrainingOptions
from tests.core_model.training_world import planted_rows, planted_table, tiny_base
from tests.factories import write_checkpoint

SMALL = Architecture(layers=1, hidden=32, heads=2, vocabulary=300, max_length=64)


def short_run(out: Path, **changes) -> TrainingResult:
    options = TrainingOptions(**{"epochs": 1, "batch_size": 16, "learning_rate": 1e-3, **changes})
    return train(options, base=tiny_base(), data=planted_table(), evaluation=planted_table(40, 1), out=out)


def test_a_model_from_scratch_learns_what_was_planted_and_others_can_load_it(tmp_path: Path):
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    result = train(
        TrainingOptions(epochs=8, learning_rate=5e-3, batch_size=32),
        architecture=SMALL, data=planted_table(600), evaluation=planted_table(200, 1), out=tmp_path / "m",
    )  # fmt: skip
    assert result.record.evaluation is not None
    assert result.record.evaluation["n"] == 200
    assert result.record.evaluation["accuracy"] > 0.95
    # Oracle: transformers itself, one row at a time, without padding.
    model = AutoModelForSequenceClassification.from_pretrained(result.path).eval()
    tokenizer = AutoTokenizer.from_pretrained(result.path)
    right = losses = 0.0
    for text, target in zip(planted_table(200, 1).texts, planted_table(200, 1).targets, strict=True):
        with torch.no_grad():
            logits = model(**tokenizer(text, return_tensors="pt")).logits[0]
        right += int(logits.argmax()) == target
        losses -= float(logits.log_softmax(0)[target])
    assert result.record.evaluation["accuracy"] == pytest.approx(right / 200)
    assert result.record.evaluation["loss"] == pytest.approx(losses / 200, abs=1e-4)
    assert model.config.id2label == {0: "negative", 1: "positive"}
    opened = open_checkpoint(result.path)
    assert opened.task is Task.CLASSIFICATION
    assert opened.labels == ("negative", "positive")


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(tmp_path: Path):
    torch.manual_seed(1)
    first = short_run(tmp_path / "a").record
    torch.manual_seed(2)  # the caller's random state does not matter
    second = short_run(tmp_path / "b").record
    other = short_run(tmp_path / "c", seed=1).record
    assert first.model_sha256 == second.model_sha256 != other.model_sha256
    assert first.files == second.files
    assert [e["train_loss"] for e in first.history] == [e["train_loss"] for e in second.history]


def test_training_leaves_the_callers_random_state_and_settings(tmp_path: Path):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    short_run(tmp_path / "m")
    assert torch.equal(before, torch.get_rng_state())
    assert not torch.are_deterministic_algorithms_enabled()


def test_the_record_tells_how_the_checkpoint_was_made(tmp_path: Path):
    result = short_run(tmp_path / "m", epochs=2, country="DEU")
    record = json.loads((result.path / "training_record.json").read_text(encoding="utf-8"))
    weights = (result.path / "model.safetensors").read_bytes()
    assert record["model_sha256"] == hashlib.sha256(weights).hexdigest()
    assert record["base"]["sha256"] == tiny_base().sha256
    assert record["base"]["head"] == "kept"
    assert record["data"]["sha256"] == planted_table().sha256
    assert record["data"]["rows"] == 96
    assert record["data"]["synthetic"] is True
    assert [epoch["evaluation"]["n"] for epoch in record["history"]] == [40, 40]
    assert [epoch["train_n"] for epoch in record["history"]] == [96, 96]
    assert record["steps"] == 12
    assert record["energy"]["country"] == "DEU"
    assert record["energy"]["energy_kwh"] > 0
    assert record["energy"]["method"] in {"measured", "estimated"}
    assert record["versions"]["torch"] == torch.__version__
    assert record["hardware"] == {
        "device": "cpu", "dtype": "float32", "threads": torch.get_num_threads(), "processes": 1,
    }  # fmt: skip
    assert str(tmp_path) not in (result.path / "config.json").read_text() + json.dumps(record)
    assert {file.name for file in result.path.iterdir()} == {*record["files"], "training_record.json"}


def test_a_step_is_adamw_on_the_clipped_mean_gradient(tmp_path: Path):
    """Oracle: one step written out with transformers and torch alone, dropout off, rows in data order."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    table = planted_table().select(np.arange(16))
    base = open_checkpoint(write_checkpoint(tmp_path / "base"))
    config = json.loads((base.path / "config.json").read_text())
    config.update(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    (base.path / "config.json").write_text(json.dumps(config))
    base = open_checkpoint(base.path)
    options = TrainingOptions(
        epochs=1, batch_size=16, learning_rate=1e-3, warmup_share=0, clip_norm=0.5, weight_decay=0.1
    )
    result = train(options, base=base, data=table, out=tmp_path / "m")

    model = AutoModelForSequenceClassification.from_pretrained(base.path)
    encoded = AutoTokenizer.from_pretrained(base.path)(list(table.texts), padding=True, return_tensors="pt")
    encoded.pop("token_type_ids", None)
    decayed = [p for p in model.parameters() if p.dim() >= 2]
    spared = [p for p in model.parameters() if p.dim() < 2]
    optimizer = torch.optim.AdamW(
        [{"params": decayed}, {"params": spared, "weight_decay": 0.0}], lr=1e-3, weight_decay=0.1
    )
    model(**encoded, labels=torch.tensor(table.targets)).loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 0.5)
    optimizer.step()
    trained = AutoModelForSequenceClassification.from_pretrained(result.path).state_dict()
    for name, value in model.state_dict().items():
        # Adam's first step is lr * sign(gradient): where a gradient is next to nothing, rounding decides its sign.
        close = torch.isclose(value, trained[name], atol=1e-5)
        assert close.float().mean() > 0.99, name


def test_early_stopping_keeps_the_best_epoch(tmp_path: Path):
    """Labels of the evaluation are flipped: the better the model, the higher its evaluation loss."""
    rows = planted_rows(80, 1)
    flipped = Table.from_rows(
        name="flipped", texts=[t for t, _ in rows], targets=[1 - y for _, y in rows],
        label_names=("negative", "positive"), synthetic=True,
    )  # fmt: skip
    result = train(
        TrainingOptions(epochs=9, learning_rate=5e-3, batch_size=32, early_stopping=2),
        architecture=SMALL, data=planted_table(600), evaluation=flipped, out=tmp_path / "m",
    )  # fmt: skip
    losses = [epoch["evaluation"]["loss"] for epoch in result.record.history]
    best = int(np.argmin(losses))
    assert len(losses) == best + 3 < 9
    assert result.record.chosen == {
        "epoch": best + 1, "step": 19 * (best + 1), "because": "the lowest evaluation loss", "ended": "early stopping",
    }  # fmt: skip
    assert result.record.evaluation == result.record.history[best]["evaluation"]
    again = train(
        TrainingOptions(epochs=9, learning_rate=5e-3, batch_size=32, early_stopping=5),
        architecture=SMALL, data=planted_table(600), evaluation=flipped, out=tmp_path / "n",
    )  # fmt: skip
    assert again.record.model_sha256 == result.record.model_sha256  # more patience, the same best


def test_a_base_with_another_head_gets_a_new_one_and_the_record_says_so(tmp_path: Path):
    three = open_checkpoint(write_checkpoint(tmp_path / "three", labels=("a", "b", "c")))
    result = train(TrainingOptions(epochs=1), base=three, data=planted_table(), out=tmp_path / "m")
    assert result.record.base is not None
    assert result.record.base["head"] == "replaced"
    assert any("a, b, c" in note for note in result.record.notes)
    assert result.record.evaluation is None


def test_a_head_of_the_right_size_for_other_classes_is_not_kept(tmp_path: Path):
    from safetensors.torch import load_file

    other = open_checkpoint(write_checkpoint(tmp_path / "other", labels=("spam", "ham"), seed=7))
    result = train(
        TrainingOptions(epochs=1, learning_rate=1e-9, weight_decay=0),
        base=other,
        data=planted_table(),
        out=tmp_path / "m",
    )
    before, after = load_file(other.path / "model.safetensors"), load_file(result.path / "model.safetensors")
    inner = "bert.encoder.layer.0.attention.self.query.weight"
    assert torch.allclose(before[inner], after[inner], atol=1e-5)
    assert not torch.allclose(before["classifier.weight"], after["classifier.weight"], atol=1e-3)


def test_a_base_that_tells_the_same_classes_apart_keeps_head_and_order(tmp_path: Path):
    reverse = open_checkpoint(write_checkpoint(tmp_path / "reverse", labels=("positive", "negative")))
    options = TrainingOptions(epochs=1, learning_rate=1e-9, weight_decay=0)
    result = train(options, base=reverse, data=planted_table(), out=tmp_path / "m")
    assert result.record.labels == ["positive", "negative"]
    from safetensors.torch import load_file

    before, after = load_file(reverse.path / "model.safetensors"), load_file(result.path / "model.safetensors")
    assert torch.allclose(before["classifier.weight"], after["classifier.weight"], atol=1e-5)


def test_pairs_are_told_apart_by_their_token_types(tmp_path: Path):
    """Whether the first text says what the second says: with one bag of words for both, it cannot be told."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    random = np.random.default_rng(0)
    firsts, seconds = (random.choice(["good", "bad"], 300).tolist() for _ in range(2))
    table = Table.from_rows(
        name="pairs", texts=firsts, pairs=seconds, targets=[int(a == "good") for a in firsts],
        label_names=("no", "yes"), synthetic=True,
    )  # fmt: skip
    result = train(
        TrainingOptions(epochs=4, learning_rate=1e-2, batch_size=16), architecture=SMALL, data=table,
        evaluation=table, out=tmp_path / "m",
    )  # fmt: skip
    assert result.record.data["pair_column"] == "pair"
    assert result.record.evaluation is not None
    assert result.record.evaluation["accuracy"] == 1.0
    model = AutoModelForSequenceClassification.from_pretrained(result.path).eval()
    encoded = AutoTokenizer.from_pretrained(result.path)("good", "bad", return_tensors="pt")
    assert encoded["token_type_ids"].tolist() == [[0, 0, 0, 1, 1]]
    assert model(**encoded).logits.argmax().item() == 1
    assert result.record.evaluation["loss"] < 0.1


def test_rows_longer_than_the_limit_are_cut_and_counted(tmp_path: Path):
    result = short_run(tmp_path / "m", max_length=12)
    longer = sum(len(text.split()) + 2 > 12 for text in planted_table().texts)  # each word is one token here
    assert result.record.data["rows_cut"] == longer > 0
    assert result.record.data["longest_row_tokens"] == 12
    assert '"truncation": null' in (result.path / "tokenizer.json").read_text()


def test_progress_ends_with_done_and_counts_down(tmp_path: Path):
    said: list[Progress] = []
    train(
        TrainingOptions(epochs=2, batch_size=16),
        base=tiny_base(),
        data=planted_table(),
        out=tmp_path / "m",
        progress=said.append,
    )
    assert said[-1].stage == "done"
    assert all(p.seconds_left is None or p.seconds_left >= 0 for p in said)
    assert said[-1].step == said[-1].steps == 12


def test_label_smoothing_raises_the_floor_of_the_loss(tmp_path: Path):
    plain, smooth = (
        train(
            TrainingOptions(epochs=5, learning_rate=5e-3, batch_size=16, label_smoothing=amount),
            architecture=SMALL, data=planted_table(200), out=tmp_path / str(amount),
        ).record
        for amount in (0.0, 0.4)
    )  # fmt: skip
    # With smoothing 0.4 over two classes, no prediction has a loss below the entropy of (0.8, 0.2): 0.5004.
    assert plain.history[-1]["train_loss"] < 0.3
    assert smooth.history[-1]["train_loss"] > 0.5


# What does not fit is refused before the first step.


def refused(tmp_path: Path, error: type[Exception], letter: str, **arguments) -> None:
    given = {"base": tiny_base(), "data": planted_table(), "out": tmp_path / "m", **arguments}
    with pytest.raises(error, match=letter):
        train(given.pop("options", TrainingOptions(epochs=1)), **given)
    assert not (tmp_path / "m" / "config.json").exists()


def test_one_class_only_is_refused(tmp_path: Path):
    table = planted_table()
    refused(tmp_path, LabelsUnfit, "one class", data=table.select(table.targets == 1))


def test_evaluation_labels_that_training_has_not_are_refused(tmp_path: Path):
    other = Table.from_rows(
        name="eval.csv", texts=["a", "b", "c"], targets=[0, 1, 1], label_names=("negative", "mixed"), synthetic=True
    )
    refused(tmp_path, LabelsUnfit, r"eval\.csv(.|\n)*'mixed' in 2 rows(.|\n)*negative, positive", evaluation=other)


def test_max_length_beyond_the_positions_is_refused(tmp_path: Path):
    refused(tmp_path, OptionUnfit, r"64 positions(.|\n)*--max-length 64", options=TrainingOptions(max_length=65))


def test_early_stopping_without_evaluation_rows_is_refused(tmp_path: Path):
    refused(tmp_path, OptionUnfit, "--eval-data", options=TrainingOptions(early_stopping=1))


def test_base_and_architecture_together_or_neither_are_refused(tmp_path: Path):
    refused(tmp_path, OptionUnfit, "both", architecture=SMALL)
    refused(tmp_path, OptionUnfit, "neither", base=None)


def test_a_task_that_cannot_be_trained_is_refused(tmp_path: Path):
    refused(tmp_path, OptionUnfit, "--task classification", options=TrainingOptions(task=Task.FEATURE_EXTRACTION))


def test_the_base_is_never_overwritten(tmp_path: Path):
    base = open_checkpoint(write_checkpoint(tmp_path / "base"))
    with pytest.raises(OutputUnwritable, match="base itself"):
        train(TrainingOptions(), base=base, data=planted_table(), out=tmp_path / "base")
    assert open_checkpoint(tmp_path / "base").sha256 == base.sha256


def test_a_checkpoint_of_others_is_never_overwritten(tmp_path: Path):
    write_checkpoint(tmp_path / "theirs")
    with pytest.raises(OutputUnwritable, match="did not make"):
        short_run(tmp_path / "theirs")


def test_our_own_checkpoint_is_replaced_and_its_claims_go(tmp_path: Path):
    short_run(tmp_path / "m")
    (tmp_path / "m" / "privacy.json").write_text('{"epsilon": 3}')  # would be false of new weights
    (tmp_path / "m" / "notes.txt").write_text("mine")
    result = short_run(tmp_path / "m", seed=9)
    names = {file.name for file in result.path.iterdir()}
    assert "privacy.json" not in names
    assert "notes.txt" in names


@pytest.mark.parametrize("where", ["loss", "gradient"])
def test_a_loss_that_is_no_number_stops_at_its_step_and_keeps_the_last_state(tmp_path: Path, monkeypatch, where):
    from core_model.tasks.classification import Classification
    from core_model.training_state import StateFolder

    plain, calls = Classification.loss, []

    def loss(self, model, batch, label_smoothing):
        calls.append(1)
        value = plain(self, model, batch, label_smoothing)
        if len(calls) != 5:
            return value
        # The square root of 0 has an infinite gradient: the value is fine, the gradient is not.
        return value * float("nan") if where == "loss" else value + (value - value).sqrt()

    monkeypatch.setattr(Classification, "loss", loss)
    with pytest.raises(OptionUnfit, match=rf"{where} is no number at step 5 of 6(.|\n)*--learning-rate") as error:
        short_run(tmp_path / "m", checkpoint_every=2)
    assert error.value.exit_code == 2
    assert StateFolder(tmp_path / "m").exists
    assert "kept in" in str(error.value)
    monkeypatch.undo()
    resumed = train(
        TrainingOptions(epochs=1, batch_size=16, learning_rate=1e-3), base=tiny_base(), data=planted_table(),
        evaluation=planted_table(40, 1), out=tmp_path / "m", resume=True,
    )  # fmt: skip
    assert resumed.record.model_sha256 == short_run(tmp_path / "n").record.model_sha256


@pytest.mark.parametrize("where", ["loss", "gradient"])
@pytest.mark.parametrize("accumulate", [1, 3])
def test_the_row_that_breaks_the_loss_is_named(tmp_path: Path, monkeypatch, where, accumulate):
    """One planted row makes the loss, or its gradient alone, no number."""
    from core_model.tasks.classification import Classification

    table, culprit = planted_table(), 41
    plain = Classification.loss

    def loss(self, model, batch, label_smoothing):
        value = plain(self, model, batch, label_smoothing)
        ids = self.training.tokens.padded(np.array([culprit]), 0)[0]
        rows = [row[: len(ids)].tolist() for row in batch["input_ids"] if not row[len(ids) :].any()]
        if ids.tolist() not in rows:
            return value
        return value * float("nan") if where == "loss" else value + (value - value).sqrt()

    assert list(table.texts).count(table.texts[culprit]) == 1
    monkeypatch.setattr(Classification, "loss", loss)
    with pytest.raises(
        OptionUnfit, match=rf"the {where} is no number at step \d of 6, and with row 42 of the training"
    ):
        short_run(tmp_path / "m", accumulate=accumulate, batch_size=16 // accumulate + 1 if accumulate > 1 else 16)


def test_a_step_that_breaks_leaves_the_weights_as_they_were():
    """Oracle: the weights themselves. A NaN that is once in the weights or moments never leaves them."""
    from core_model.optimization import build_optimizer

    for name in ("adamw", "adam"):
        model = torch.nn.Linear(2, 2)
        before = model.weight.detach().clone()
        optimizer = build_optimizer(model, name=name, weight_decay=0.1)
        optimizer.param_groups[0]["lr"] = 0.1
        model.weight.grad = torch.full((2, 2), float("nan"))
        optimizer.found_inf, optimizer.grad_scale = torch.tensor(1.0), None
        optimizer.step()
        assert torch.equal(model.weight, before)
        model.weight.grad = torch.ones(2, 2)
        optimizer.found_inf = torch.tensor(0.0)
        optimizer.step()
        assert torch.isfinite(model.weight).all()
        assert not torch.equal(model.weight, before)


def test_weights_that_do_not_fit_their_config_are_refused(tmp_path: Path):
    from safetensors.torch import load_file, save_file

    from core_model.errors import BadInput

    folder = write_checkpoint(tmp_path / "base")
    tensors = load_file(folder / "model.safetensors")
    kept = {name: tensor for name, tensor in tensors.items() if "layer.1.output.dense" not in name}
    save_file(kept, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(BadInput, match=r"layer\.1\.output\.dense"):
        train(TrainingOptions(), base=open_checkpoint(folder), data=planted_table(), out=tmp_path / "m")
