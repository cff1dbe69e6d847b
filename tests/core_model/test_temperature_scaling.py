"""Promises of temperature scaling: answers stay, logits are divided exactly, and unseen rows find the model honest."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
import pytest
import torch
from transformers import (
    DistilBertConfig,
    DistilBertForSequenceClassification,
    LlamaConfig,
    LlamaForSequenceClassification,
    RobertaConfig,
    RobertaForSequenceClassification,
)

from core_model.checkpoint import Checkpoint, open_checkpoint
from core_model.data import Table
from core_model.errors import LabelsUnfit, OptionUnfit, OutputUnwritable, TaskUnfit
from core_model.prediction import Predictor
from core_model.temperature_scaling import calibrate, calibrated_on, fold
from core_model.training import train
from core_model.training_options import TrainingOptions
from core_model.training_record import read_record
from tests.core_model.mitigation_world import fair_rows, table_of
from tests.core_model.training_world import planted_table, tiny_base

TOO_SURE = 6.0  # what the planted model's logits are multiplied by


def rows(seed: int, count: int = 400) -> Table:
    """The word of merit tells the label in 8 of 10 rows: who is sure of more is too sure."""
    return table_of(fair_rows(count, seed))


@lru_cache
def honest() -> Checkpoint:
    out = Path(mkdtemp(prefix="aboveboard-sure-")) / "honest"
    train(TrainingOptions(epochs=5, learning_rate=2e-3), base=tiny_base(), data=rows(0), out=out)
    return open_checkpoint(out)


@lru_cache
def sick() -> Checkpoint:
    """The same model with its logits multiplied."""
    model, out = honest().load_model(), Path(mkdtemp(prefix="aboveboard-sure-")) / "sick"
    with torch.no_grad():
        model.classifier.weight.mul_(TOO_SURE)
        model.classifier.bias.mul_(TOO_SURE)
    model.save_pretrained(out)
    honest().load_tokenizer().save_pretrained(out)
    return open_checkpoint(out)


@lru_cache
def mended() -> Path:
    return calibrate(sick(), rows(2), out=Path(mkdtemp(prefix="aboveboard-sure-")) / "mended").path


def calibration_error(checkpoint: Checkpoint, table: Table) -> float:
    """Guo et al. 2017, equation 3, by hand: ten bins of equal width."""
    predictions = Predictor(checkpoint).predict(table.texts)
    right = predictions.predicted == table.targets
    bins = np.minimum((predictions.confidence * 10).astype(int), 9)
    gaps = [
        abs(right[bins == b].mean() - predictions.confidence[bins == b].mean()) * (bins == b).sum() for b in set(bins)
    ]
    return float(sum(gaps) / table.rows)


def test_unseen_rows_find_the_model_honest_and_no_answer_changes():
    unseen, calibrated = rows(3), open_checkpoint(mended())
    assert calibration_error(sick(), unseen) > 0.12
    assert calibration_error(calibrated, unseen) < 0.06
    before, after = (Predictor(c).predict(unseen.texts) for c in (sick(), calibrated))
    assert (before.predicted == after.predicted).all()


def test_the_temperature_undoes_what_was_planted():
    """Multiplied logits want a temperature multiplied by as much: the honest model's own is the oracle."""
    out = Path(mkdtemp())
    planted, own = calibrate(sick(), rows(2), out=out / "s"), calibrate(honest(), rows(2), out=out / "h")
    assert planted.temperature == pytest.approx(TOO_SURE * own.temperature, rel=1e-3)
    assert planted.after < planted.before - 0.1
    assert abs(own.after - own.before) < 0.05  # the healthy twin


def test_logits_are_divided_by_the_temperature_that_the_records_name():
    record = json.loads((mended() / "calibration.json").read_text())
    before, after = (Predictor(c).predict(rows(3).texts).logits for c in (sick(), open_checkpoint(mended())))
    assert after == pytest.approx(before / record["temperature"], abs=1e-5)
    assert record["rows"] == 400 and record["base_sha256"] == sick().sha256
    assert calibrated_on(mended()) == rows(2).sha256
    assert calibrated_on(Path("/nowhere")) is None


def test_a_training_record_travels_on_with_the_hashes_of_the_new_files(tmp_path: Path):
    made = calibrate(honest(), rows(2), out=tmp_path / "m")
    record = read_record(tmp_path / "m")
    assert record is not None
    assert record.mitigation["temperature_scaling"]["temperature"] == made.temperature
    assert record.model_sha256 == open_checkpoint(tmp_path / "m").files["model.safetensors"] != honest().sha256
    assert any("must not judge the calibration" in note for note in record.notes)
    assert not (tmp_path / "m" / "privacy.json").exists()


SMALL = {"vocab_size": 40, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}


@pytest.mark.parametrize(
    "model",
    [
        RobertaForSequenceClassification(RobertaConfig(**SMALL, num_labels=3)),
        LlamaForSequenceClassification(LlamaConfig(**SMALL, num_labels=3, pad_token_id=0)),
        DistilBertForSequenceClassification(
            DistilBertConfig(vocab_size=40, dim=16, n_layers=1, n_heads=2, hidden_dim=16, num_labels=3)
        ),
    ],
    ids=lambda model: type(model).__name__,
)
def test_heads_of_other_architectures_are_divided_exactly(model):
    ids = torch.tensor([[5, 6, 7, 8], [9, 10, 11, 12]])
    with torch.no_grad():
        before = model.eval()(input_ids=ids).logits
        fold(model, 3.7, classes=3, name="m")
        assert torch.allclose(model(input_ids=ids).logits * 3.7, before, atol=1e-6)


def test_a_head_that_is_not_linear_is_refused_and_left_as_it_was():
    class Curved(RobertaForSequenceClassification):
        def forward(self, *arguments, **named):
            answer = super().forward(*arguments, **named)
            answer.logits = answer.logits.tanh() * 3
            return answer

    model = Curved(RobertaConfig(**SMALL, num_labels=3, initializer_range=0.5)).eval()
    was = model.classifier.out_proj.weight.clone()
    with pytest.raises(TaskUnfit, match=r"cannot be folded in exactly(.|\n)*fitted_temperature"):
        fold(model, 2.0, classes=3, name="m")
    assert torch.equal(model.classifier.out_proj.weight, was)


def test_what_cannot_be_calibrated_is_refused(tmp_path: Path):
    with pytest.raises(LabelsUnfit, match="has 39 rows; a temperature needs 40"):
        calibrate(honest(), rows(2, 39), out=tmp_path / "m")
    with pytest.raises(LabelsUnfit, match=r"was trained on planted(.|\n)*not trained on"):
        calibrate(honest(), rows(0), out=tmp_path / "m")
    with pytest.raises(OutputUnwritable, match="is the checkpoint itself"):
        calibrate(honest(), rows(2), out=honest().path)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("three years of work")
    with pytest.raises(OutputUnwritable, match="not an empty folder"):
        calibrate(honest(), rows(2), out=tmp_path / "mine")
    assert (tmp_path / "mine" / "thesis.txt").exists()
    honest().load_model().bert.save_pretrained(tmp_path / "bare")
    honest().load_tokenizer().save_pretrained(tmp_path / "bare")
    bare = open_checkpoint(tmp_path / "bare")
    with pytest.raises(TaskUnfit, match="a temperature is fitted to a classifier's labels"):
        calibrate(bare, rows(2), out=tmp_path / "m")


def test_a_model_that_is_always_right_has_no_best_temperature(tmp_path: Path):
    options = TrainingOptions(epochs=10, batch_size=16, learning_rate=3e-3)
    train(options, base=tiny_base(), data=planted_table(160), out=tmp_path / "right")
    with pytest.raises(OptionUnfit, match=r"all labels right(.|\n)*gets wrong"):
        calibrate(open_checkpoint(tmp_path / "right"), planted_table(60, 5), out=tmp_path / "m")
