"""Promises of canaries: fair coins, half of the rows in the training, all of them in a file that reads back whole."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest

from core_model.data import Table
from core_model.errors import CheckpointDamaged, CheckpointMissing, OptionUnfit
from core_model.tasks import Task
from core_model.training_options import TrainingOptions
from privacy.canaries import as_table, make_canaries, read_canaries, with_canaries, write_canaries
from privacy.options import PrivacyOptions
from privacy.training import train_privately
from tests.core_model.task_worlds import world
from tests.core_model.training_world import planted_table, tiny_base


def made(count: int = 40, task: Task = Task.CLASSIFICATION, seed: int = 0):
    table = planted_table(80) if task is Task.CLASSIFICATION else world(task)
    return table, make_canaries(table, task, count, random=np.random.default_rng(seed))


def test_coins_are_fair_and_labels_are_drawn_by_lot():
    _, canaries = made(4000)
    assert binomtest(int(canaries.included.sum()), 4000, 0.5).pvalue > 0.001
    wanted = np.array([canary.wanted == "positive" for canary in canaries.canaries])
    # A coin tells nothing about a label: the auditor could otherwise guess without the model.
    both = int((wanted & canaries.included).sum())
    assert binomtest(both, int(canaries.included.sum()), float(wanted.mean())).pvalue > 0.001


@pytest.mark.parametrize(
    "task", [Task.CLASSIFICATION, *(t for t in Task if t.value not in ("classification", "feature-extraction"))]
)
def test_included_canaries_stand_behind_the_rows_and_no_other_does(task: Task):
    table, canaries = made(task=task)
    both = with_canaries(table, canaries)
    included = [canary for canary in canaries.canaries if canary.included]
    assert len(both) == len(table) + len(included)
    assert [both.texts[i] for i in range(len(table))] == list(table.texts)
    assert list(both.texts)[len(table) :] == [canary.text for canary in included]
    assert both.sha256 != table.sha256
    assert as_table(canaries, table).synthetic
    if table.has_labels:
        names = [both.label_names[i] for i in both.targets[len(table) :]]
        assert names == [canary.wanted for canary in included]
    if task is Task.QUESTION_ANSWERING:
        assert all(str(canary.wanted) in str(canary.pair) for canary in canaries.canaries)


def test_each_canary_is_a_user_of_its_own():
    plain = planted_table(20)
    table = Table.from_rows(
        name="planted", texts=list(plain.texts), targets=list(plain.targets), label_names=plain.label_names,
        groups={"user": ["a", "b"] * 10},
    )  # fmt: skip
    canaries = make_canaries(table, Task.CLASSIFICATION, 30, random=np.random.default_rng(1))
    users = with_canaries(table, canaries).groups["user"]
    assert len(set(users[20:])) == int(canaries.included.sum())


def test_the_file_reads_back_whole_and_a_damaged_one_is_refused(tmp_path: Path):
    _, canaries = made()
    file = write_canaries(tmp_path, canaries)
    assert read_canaries(tmp_path) == canaries
    file.write_text(file.read_text().replace('"included": true', '"included": "maybe"', 1))
    with pytest.raises(CheckpointDamaged, match="included"):
        read_canaries(tmp_path)
    with pytest.raises(CheckpointMissing, match="without canaries"):
        read_canaries(tmp_path / "elsewhere")


def test_one_canary_is_too_few():
    with pytest.raises(OptionUnfit, match="--canaries 1000"):
        made(1)


def test_private_training_leaves_its_canaries(tmp_path: Path):
    result = train_privately(
        TrainingOptions(epochs=1, batch_size=16), PrivacyOptions(epsilon=4.0, canaries=20), data=planted_table(80),
        base=tiny_base(), out=tmp_path / "m",
    )  # fmt: skip
    canaries = read_canaries(tmp_path / "m")
    assert len(canaries.canaries) == 20
    assert result.record.data["rows"] == 80 + int(canaries.included.sum())
    assert canaries.data_sha256 == planted_table(80).sha256
