"""Promises of the fairness constraints: fairlearn's weights and violations, the penalty's gradient, smaller gaps."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
import pandas as pd
import pytest
import torch
from fairlearn.metrics import demographic_parity_difference, equalized_odds_difference
from fairlearn.reductions import DemographicParity, EqualizedOdds, ErrorRate

from core_model.checkpoint import open_checkpoint
from core_model.data import Table
from core_model.errors import ColumnMissing, OptionUnfit
from core_model.fairness_penalty import FairnessPenalty
from core_model.fairness_reductions import BOUND, multipliers, signed_weights, violations
from core_model.groups import Groups
from core_model.objective import TaskLoss
from core_model.prediction import Predictor
from core_model.training import TrainingResult, train
from core_model.training_loop import Loop
from core_model.training_options import TrainingOptions
from tests.core_model.mitigation_world import biased_rows, fair_rows, table_of, unequal_rows
from tests.core_model.training_world import tiny_base

MOMENTS = {"demographic-parity": DemographicParity, "equalized-odds": EqualizedOdds}
GAPS = {"demographic-parity": demographic_parity_difference, "equalized-odds": equalized_odds_difference}

# The mathematics of the reductions, with fairlearn as oracle


def drawn_rows(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Groups, labels and answers of 300 rows; group 2 is small, and has in even seeds no row of label 1."""
    random = np.random.default_rng(seed)
    groups = random.choice(3, 300, p=[0.6, 0.35, 0.05])
    targets = (random.random(300) < 0.3 + 0.2 * groups).astype(int)
    if seed % 2 == 0:
        targets[groups == 2] = 0
    return groups, targets, (random.random(300) < 0.2 + 0.3 * targets).astype(int)


def cells(groups: np.ndarray, targets: np.ndarray, values: np.ndarray | int = 1) -> np.ndarray:
    table = np.zeros((3, 2))
    np.add.at(table, (groups, targets), values)
    return table


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("kind", MOMENTS)
def test_weights_and_violations_are_fairlearns(kind, seed):
    groups, targets, answers = drawn_rows(seed)
    moment, error = MOMENTS[kind](), ErrorRate()
    for each in (moment, error):
        each.load_data(np.zeros((300, 1)), pd.Series(targets), sensitive_features=pd.Series(groups))
    gamma = moment.gamma(lambda _: answers)
    lambdas = pd.Series(np.random.default_rng(seed).uniform(0, 3, len(moment.index)), moment.index)

    events = [f"label={y}" for y in (0, 1)] if kind == "equalized-odds" else ["all"]
    found = violations(cells(groups, targets), cells(groups, targets, answers), kind)
    net = np.zeros_like(found)
    for (sign, event, group), value in gamma.items():
        place = group, events.index(event)
        assert value == pytest.approx(found[place] if sign == "+" else -found[place])
        net[place] += lambdas[sign, event, group] * (1 if sign == "+" else -1)
    expected = error.signed_weights() + moment.signed_weights(lambdas)
    assert signed_weights(cells(groups, targets), net, kind)[groups, targets] == pytest.approx(expected.to_numpy())


def test_multipliers_are_those_of_exponentiated_gradient():
    """Oracle: fairlearn's line `B * np.exp(theta) / (1 + np.exp(theta).sum())`."""
    theta = np.random.default_rng(0).normal(size=(2, 3, 2))
    expected = BOUND * np.exp(theta) / (1 + np.exp(theta).sum())
    assert multipliers(theta, np.ones((3, 2), dtype=bool)) == pytest.approx(expected)


def test_multipliers_do_not_overflow_and_a_group_without_rows_has_none():
    there = np.array([[True], [False]])
    found = multipliers(np.array([[[2000.0], [9999.0]], [[-2000.0], [0.0]]]), there)
    assert found[:, 0, 0] == pytest.approx([BOUND, 0]) and (found[:, 1] == 0).all()


# The penalty


def penalty(kind: str, data: Table, state=None) -> tuple[FairnessPenalty, object]:
    from core_model.tasks.classification import prepare

    options = TrainingOptions(fairness_penalty=kind, fairness_column="sex")
    task = prepare(options, base=tiny_base(), architecture=None, data=data, evaluation=None)
    task.model.eval()
    groups = task.training.groups
    assert isinstance(groups, Groups)
    loss = TaskLoss(task, label_smoothing=0.0, precision=torch.enable_grad)
    made = FairnessPenalty(
        loss, kind=kind, groups=groups, classes=2, strength=7.0, sum_over_processes=lambda t: t, state=state
    )  # fmt: skip
    return made, task


def gradients(task) -> torch.Tensor:
    found = torch.cat([p.grad.flatten() for p in task.model.parameters() if p.grad is not None])
    task.model.zero_grad()
    return found


def slow_variance(task, batch, sexes, kind: str) -> torch.Tensor:
    """V by its definition, one group at a time, with torch's own gradient."""
    inputs = {name: tensor for name, tensor in batch.items() if name != "targets"}
    p = task.model(**inputs).logits.softmax(dim=1)
    events = [batch["targets"] == y for y in (0, 1)] if kind == "equalized-odds" else [batch["targets"] >= 0]
    total = torch.zeros(())
    for event in events:
        for sex in ("man", "woman"):
            own = event & torch.tensor([s == sex for s in sexes])
            total = total + own.sum() / len(p) * ((p[own].mean(0) - p[event].mean(0)) ** 2).sum()
    return total


@pytest.mark.parametrize("kind", MOMENTS)
def test_with_means_of_the_batch_the_gradient_is_that_of_loss_and_variance(kind):
    data = table_of(biased_rows(40))
    made, task = penalty(kind, data)
    rows = np.arange(40)
    batch = task.batch(task.training, rows)
    made.backward(task.model, batch, rows=rows, weight=1 / 40, backward=lambda loss: loss.backward())
    gradients(task)
    made.after_step()  # the means are now the batch's
    made.backward(task.model, batch, rows=rows, weight=1 / 40, backward=lambda loss: loss.backward())
    found = gradients(task)
    variance = slow_variance(task, batch, data.groups["sex"], kind)
    (task.loss(task.model, batch, 0.0) / 40 + 7.0 * variance).backward()
    assert torch.allclose(found, gradients(task), atol=1e-6)
    assert made.record()["fairness_penalty"]["variance_at_the_end"] == pytest.approx(variance.item(), rel=1e-4)


def test_small_batches_one_of_them_without_a_group_add_up_to_the_large_one():
    """Twelve rows at once, or as men alone, then women alone: the same gradient and the same means."""
    made, task = penalty("demographic-parity", table_of(biased_rows(12)))
    halves = [np.arange(0, 12, 2), np.arange(1, 12, 2)]
    for _ in range(2):  # the first step gives the second its means
        for rows in halves:
            batch = task.batch(task.training, rows)
            made.backward(task.model, batch, rows=rows, weight=1 / 12, backward=lambda loss: loss.backward())
        parts, _ = gradients(task), made.after_step()
    whole, task = penalty("demographic-parity", table_of(biased_rows(12)))
    rows = np.arange(12)
    for _ in range(2):
        batch = task.batch(task.training, rows)
        whole.backward(task.model, batch, rows=rows, weight=1 / 12, backward=lambda loss: loss.backward())
        at_once, _ = gradients(task), whole.after_step()
    assert torch.allclose(parts, at_once, atol=1e-6)
    assert torch.allclose(whole.gaps(), made.gaps(), atol=1e-6)


def test_a_process_that_takes_part_with_nothing_is_not_counted():
    made, task = penalty("equalized-odds", table_of(biased_rows(12)))
    rows = np.array([0])
    made.backward(task.model, task.batch(task.training, rows), rows=rows, weight=0.0, backward=lambda x: x.backward())
    made.after_step()
    assert not gradients(task).any() and not made.sums.any()


# Whole trainings in planted worlds


def rows_for(kind: str) -> tuple[Table, Table]:
    """Training rows whose labels lean on the sex, and rows of the same making to judge by.

    Given the label merit tells nothing of the sex in `biased_rows`, so that going by merit alone is equalized odds; in
    `unequal_rows` merit is as frequent in either sex, so that going by it is demographic parity.
    """
    make = unequal_rows if kind == "demographic-parity" else biased_rows
    return table_of(make(480, 0)), table_of(make(400, 9))


@lru_cache
def figures(kind: str, way: str, healthy: bool = False) -> tuple[float, float, TrainingResult]:
    """The gap (fairlearn's), the accuracy, and the run, of a model trained in the given way."""
    training, judging = (table_of(fair_rows(480, 0)), table_of(fair_rows(400, 9))) if healthy else rows_for(kind)
    changes = {} if way == "plain" else {way: kind, "fairness_column": "sex"}
    out = Path(mkdtemp(prefix="aboveboard-fair-"))
    options = TrainingOptions(epochs=8, learning_rate=2e-3, **changes)
    result = train(options, base=tiny_base(), data=training, out=out / "m")
    predicted = Predictor(open_checkpoint(out / "m")).predict(judging.texts).predicted
    gap = GAPS[kind](judging.targets, predicted, sensitive_features=judging.groups["sex"])
    return float(gap), float((predicted == judging.targets).mean()), result


@pytest.mark.parametrize("way", ["fairness_penalty", "reductions"])
@pytest.mark.parametrize("kind", MOMENTS)
def test_the_constraint_lowers_its_gap_at_a_price_in_accuracy(kind, way):
    gap, accuracy, _ = figures(kind, "plain")
    mended_gap, mended_accuracy, result = figures(kind, way)
    assert gap > 0.6
    assert mended_gap < gap / 2.5
    assert accuracy - 0.15 < mended_accuracy < accuracy  # the labels themselves lean on the sex
    assert any(kind.replace("-", " ") in note for note in result.record.notes)


@pytest.mark.parametrize("way", ["fairness_penalty", "reductions"])
def test_where_groups_are_equal_the_constraint_changes_little(way):
    gap, accuracy, _ = figures("equalized-odds", "plain", healthy=True)
    constrained_gap, constrained_accuracy, _ = figures("equalized-odds", way, healthy=True)
    assert gap < 0.2 and constrained_gap < gap + 0.1
    assert constrained_accuracy > accuracy - 0.05


def test_the_record_tells_of_rounds_weights_and_the_variance_that_is_left():
    reduced = figures("equalized-odds", "reductions")[2].record.mitigation["reductions"]
    assert (reduced["constraint"], reduced["column"], reduced["groups"]) == ("equalized-odds", "sex", 2)
    assert len(reduced["largest_violation_by_round"]) == 8
    assert reduced["largest_violation_by_round"][-1] < max(reduced["largest_violation_by_round"]) / 2
    weights = {(cell["group"], cell["label"]): cell for cell in reduced["cells"]}
    assert sum(cell["rows"] for cell in weights.values()) == 480
    sizes = [abs(cell["signed_weight"]) * cell["rows"] for cell in weights.values()]
    assert sum(sizes) / 480 == pytest.approx(1)
    penalized = figures("equalized-odds", "fairness_penalty")[2].record.mitigation["fairness_penalty"]
    assert penalized["weight"] == 10
    assert 0 < penalized["variance_at_the_end"] < 0.05


class Cut(BaseException):
    """Stands for a kill."""


@pytest.mark.parametrize("way", ["fairness_penalty", "reductions"])
def test_a_run_cut_within_a_round_goes_on_to_the_same_weights(tmp_path: Path, monkeypatch, way):
    data = table_of(biased_rows(96))
    options = TrainingOptions(
        epochs=3, batch_size=16, learning_rate=2e-3, checkpoint_every=2,
        augment=("token-dropout", "word-order"), fairness_column="sex", **{way: "equalized-odds"},
    )  # fmt: skip
    whole = train(options, base=tiny_base(), data=data, out=tmp_path / "whole")
    plain = Loop._step

    def cut(self, rows):
        if self.position.step == 10:
            raise Cut
        plain(self, rows)

    monkeypatch.setattr(Loop, "_step", cut)
    with pytest.raises(Cut):
        train(options, base=tiny_base(), data=data, out=tmp_path / "cut")
    monkeypatch.undo()
    resumed = train(options, base=tiny_base(), data=data, out=tmp_path / "cut", resume=True)
    assert resumed.record.model_sha256 == whole.record.model_sha256
    assert resumed.record.mitigation == whole.record.mitigation


# What does not fit


def test_reductions_of_three_classes_are_refused_and_the_penalty_is_named(tmp_path: Path):
    data = Table.from_rows(
        name="three", texts=[f"row {i}" for i in range(12)], targets=[0, 1, 2] * 4, groups={"g": ["a", "b"] * 6}
    )
    options = TrainingOptions(reductions="equalized-odds", fairness_column="g")
    with pytest.raises(OptionUnfit, match=r"takes two classes; there are 3(.|\n)*--fairness-penalty equalized-odds"):
        train(options, base=tiny_base(), data=data, out=tmp_path / "m")


@pytest.mark.parametrize(
    ("column", "error", "letter"),
    [
        ("h", ColumnMissing, r"'h' \(asked for by fairness_column\)"),
        ("label", OptionUnfit, r"label column(.|\n)*--fairness-column"),
        ("one", OptionUnfit, r"one value, 'x'(.|\n)*--fairness-column"),
    ],
)
def test_a_column_that_tells_no_groups_apart_is_refused(tmp_path: Path, column, error, letter):
    data = Table.from_rows(name="rows", texts=["a", "b"], targets=[0, 1], groups={"g": ["a", "b"], "one": ["x", "x"]})
    options = TrainingOptions(fairness_penalty="demographic-parity", fairness_column=column)
    with pytest.raises(error, match=letter):
        train(options, base=tiny_base(), data=data, out=tmp_path / "m")
