"""Promises of class weights: scikit-learn's balance, torch's loss, and letters for labels that do not fit."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from core_model.class_weights import class_weights, read_class_weights, row_weights
from core_model.errors import LabelsUnfit, OptionUnfit
from core_model.tasks.classification import prepare
from core_model.training_options import TrainingOptions
from tests.core_model.training_world import planted_table, tiny_base

TARGETS = np.array([0] * 7 + [1] * 2 + [2] * 3)
LABELS = ("a", "b", "c")


def test_balanced_is_what_scikit_learn_says():
    from sklearn.utils.class_weight import compute_class_weight

    oracle = compute_class_weight("balanced", classes=np.arange(3), y=TARGETS)
    assert class_weights("balanced", LABELS, TARGETS) == pytest.approx(oracle)


def test_given_weights_keep_their_ratio_and_have_mean_1_over_the_rows():
    weights = class_weights({"c": 8, "a": 2, "b": 4}, LABELS, TARGETS)
    assert weights / weights[0] == pytest.approx([1, 2, 4])
    assert weights[TARGETS].mean() == pytest.approx(1)


def test_a_class_that_balance_finds_no_row_of_leaves_the_others_as_they_are():
    assert class_weights("balanced", (*LABELS, "d"), TARGETS)[:3] == pytest.approx(
        class_weights("balanced", LABELS, TARGETS)
    )


def test_they_multiply_the_weights_that_rows_have_already():
    others = np.linspace(0.5, 1.5, len(TARGETS)).astype(np.float32)
    weights = row_weights(np.array([1.0, 3.0, 2.0]), TARGETS, others)
    plain = others * np.array([1.0, 3.0, 2.0])[TARGETS]
    assert weights == pytest.approx(plain / plain.mean())


def test_the_loss_of_all_rows_is_torchs_weighted_loss():
    table = planted_table(60).select(np.flatnonzero(planted_table(60).targets == 1)[:20].tolist() + list(range(20)))
    asked = {"negative": 1.0, "positive": 4.0}
    task = prepare(
        TrainingOptions(class_weights=asked), base=tiny_base(), architecture=None, data=table, evaluation=None
    )
    rows = np.arange(len(table.texts))
    batch = task.batch(task.training, rows)
    model = task.model.eval()
    with torch.no_grad():
        ours = task.loss(model, batch, 0.0) / len(rows)
        logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
        weight = torch.tensor([asked[label] for label in task.labels])
        oracle = torch.nn.functional.cross_entropy(logits, batch["targets"], weight=weight)
    assert float(ours) == pytest.approx(float(oracle), abs=1e-6)
    assert task.mitigation["class_weights"]["classes"][1]["label"] == "positive"


@pytest.mark.parametrize(
    ("asked", "letter"),
    [
        ({"a": 1.0, "b": 2.0}, "no weight for 'c'(.|\n)*a=1,b=1,c=1"),
        ({"a": 1.0, "b": 2.0, "c": 1.0, "x": 2.0}, "no label: 'x'"),
    ],
)
def test_weights_that_do_not_fit_the_labels_are_refused(asked, letter):
    with pytest.raises(LabelsUnfit, match=letter):
        class_weights(asked, LABELS, TARGETS)


def test_the_command_line_reads_pairs_and_files(tmp_path):
    file = tmp_path / "weights.toml"
    file.write_text('no = 1\n"yes, often" = 5.5\n')
    assert read_class_weights("balanced") == "balanced"
    assert read_class_weights("no=1, a=b=2") == {"no": 1.0, "a=b": 2.0}
    assert read_class_weights(str(file)) == {"no": 1.0, "yes, often": 5.5}


@pytest.mark.parametrize("said", ["balance", "no=,yes=2", "no=-1,yes=1", "no=nan,yes=1", "missing.toml"])
def test_what_is_no_weight_is_refused(said):
    with pytest.raises(OptionUnfit, match="--class-weights"):
        read_class_weights(said)
