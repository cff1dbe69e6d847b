"""Promises for every task: a federation trains whatever the trainer trains, by the task's own rows and loss."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from core_model.checkpoint import open_checkpoint
from core_model.tasks import Task
from core_model.training import train
from core_model.training_options import TrainingOptions
from federated.options import FederationOptions
from federated.run_settings import RunSettings
from federated.simulation import simulate
from tests.core_model.task_worlds import SHAPES, world
from tests.factories import write_rows


def rows_of(task: Task, place: Path, rows: int, seed: int) -> Path:
    table = world(task, rows, seed)
    columns = {"text": table.texts, "pair": table.pairs, "reference": table.references}
    kept = {name: values for name, values in columns.items() if values is not None}
    made = [dict(zip(kept, row, strict=True)) for row in zip(*kept.values(), strict=True)]
    return write_rows(place, made)


@pytest.mark.parametrize("task", [Task.LANGUAGE_MODELING, Task.TRANSLATION, Task.QUESTION_ANSWERING])
def test_clients_learn_the_task_together(tmp_path, task):
    base = train(
        TrainingOptions(task=task, max_steps=1), data=world(task), architecture=SHAPES[task], out=tmp_path / "base"
    ).path
    data, test = (rows_of(task, tmp_path / f"{seed}.jsonl", rows, seed) for seed, rows in enumerate((60, 20)))
    columns = {"text_column": "text"} | ({} if task is Task.LANGUAGE_MODELING else {"reference_column": "reference"})
    columns |= {"pair_column": "pair"} if task is Task.QUESTION_ANSWERING else {}
    settings = RunSettings(
        federation=FederationOptions(
            task=task, clients=3, rounds=3, batch_size=4, learning_rate=3e-3, held_out=0.2
        ),
        base=str(base), data=str(data), columns=columns,
    )  # fmt: skip
    record = simulate(settings, out=tmp_path / "m", evaluation=str(test)).record
    losses = [entry["evaluation"]["loss"] for entry in record.rounds]
    assert losses[2] < losses[0]
    assert sum(client["rows"] for client in record.partition["clients"]) == 60
    assert record.rounds[2]["clients_evaluation"]["n"] > 0
    assert open_checkpoint(tmp_path / "m").task == task
    assert json.loads((tmp_path / "m/training_record.json").read_text())["task"] == task.value
