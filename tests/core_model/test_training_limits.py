"""Promises of limits: a run ends at its step, its minute or its best, and its history says what was measured when."""

from __future__ import annotations

from pathlib import Path

import pytest

from core_model.errors import OptionUnfit
from core_model.training import TrainingResult, train
from core_model.training_loop import Loop
from core_model.training_options import TrainingOptions
from core_model.training_state import StateFolder
from tests.core_model.training_world import planted_table, tiny_base

TIMED = {"schedule": "inverse-sqrt", "warmup_steps": 4, "epochs": None}


def run(out: Path, *, resume: bool = False, **given) -> TrainingResult:
    options = TrainingOptions(**{"epochs": 3, "batch_size": 16, "learning_rate": 1e-3, **given})  # 6 steps an epoch
    return train(
        options, base=tiny_base(), data=planted_table(), evaluation=planted_table(40, 1), out=out, resume=resume
    )


def test_the_last_step_is_a_limit_and_is_evaluated(tmp_path: Path):
    record = run(tmp_path / "m", epochs=None, max_steps=8).record
    assert record.steps == 8
    assert [(entry["epoch"], entry["step"]) for entry in record.history] == [(1, 6), (2, 8)]
    assert [entry["train_n"] for entry in record.history] == [96, 32]
    assert record.chosen == {"epoch": 2, "step": 8, "because": "the last step", "ended": "the last step"}


def test_max_steps_gives_the_schedule_its_end(tmp_path: Path, monkeypatch):
    rates: list[float] = []
    plain = Loop._step

    def step(self, rows):
        plain(self, rows)
        rates.append(self.method.optimizer.param_groups[0]["lr"])

    monkeypatch.setattr(Loop, "_step", step)
    run(tmp_path / "m", epochs=None, max_steps=8, warmup_share=0.0)
    assert rates == pytest.approx([1e-3 * (8 - done) / 8 for done in range(8)])


def test_evaluations_come_every_so_many_steps_and_at_the_end(tmp_path: Path):
    record = run(tmp_path / "m", evaluate_every=4).record
    assert [entry["step"] for entry in record.history] == [4, 8, 12, 16, 18]
    assert [entry["epoch"] for entry in record.history] == [1, 2, 2, 3, 3]
    assert [entry["train_n"] for entry in record.history] == [64, 64, 64, 64, 32]
    seconds = [entry["seconds"] for entry in record.history]
    assert seconds == sorted(seconds)
    # What is looked at does not change what is learnt.
    assert record.model_sha256 == run(tmp_path / "n").record.model_sha256


def test_patience_counts_evaluations(tmp_path: Path):
    """Labels of the evaluation are flipped: what is learnt makes it worse."""
    import numpy as np

    table = planted_table(80, 1)
    from core_model.data import Table

    flipped = Table.from_rows(
        name="flipped", texts=list(table.texts), targets=[1 - y for y in table.targets],
        label_names=("negative", "positive"), synthetic=True,
    )  # fmt: skip
    options = TrainingOptions(
        epochs=4, batch_size=16, learning_rate=2e-2, dropout=0.0, evaluate_every=3, early_stopping=2
    )
    record = train(options, base=tiny_base(), data=planted_table(), evaluation=flipped, out=tmp_path / "m").record
    losses = [entry["evaluation"]["loss"] for entry in record.history]
    best = int(np.argmin(losses))
    assert record.chosen["ended"] == "early stopping"
    assert record.chosen["step"] == record.history[best]["step"]
    assert len(losses) == best + 3


class Clock:
    """A clock of which each training step takes a second, whatever the machine does."""

    def __init__(self, monkeypatch) -> None:
        self.now, plain = 0.0, Loop._step

        def step(loop, rows):
            plain(loop, rows)
            self.now += 1.0

        monkeypatch.setattr(Loop, "_step", step)
        monkeypatch.setattr(Loop, "seconds", property(lambda loop: loop.seconds_before + self.now))


def test_the_time_limit_ends_the_run_with_an_evaluation(tmp_path: Path, monkeypatch):
    Clock(monkeypatch)
    record = run(tmp_path / "m", max_minutes=8 / 60, **TIMED).record
    assert record.steps == 8
    assert [entry["step"] for entry in record.history] == [6, 8]
    assert record.history[-1]["train_n"] == 32
    assert record.chosen == {"epoch": 2, "step": 8, "because": "the last step", "ended": "the time limit"}
    assert record.evaluation == record.history[-1]["evaluation"]
    monkeypatch.undo()
    # The clock decides when a run ends, not what it does until then.
    same = run(tmp_path / "n", max_steps=8, **TIMED).record
    assert record.model_sha256 == same.model_sha256


def test_the_time_limit_counts_all_sessions(tmp_path: Path, monkeypatch):
    with monkeypatch.context() as patch:
        clock = Clock(patch)
        plain = Loop._leave_if_asked

        def asked(loop):
            loop.stop.asked = clock.now >= 5
            plain(loop)

        patch.setattr(Loop, "_leave_if_asked", asked)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "m", max_minutes=8 / 60, **TIMED)
    assert StateFolder(tmp_path / "m").exists
    Clock(monkeypatch)
    record = run(tmp_path / "m", max_minutes=8 / 60, resume=True, **TIMED).record
    assert record.steps == 8
    assert record.sessions == 2


def test_a_time_limit_in_the_middle_of_epochs_keeps_the_best(tmp_path: Path, monkeypatch):
    Clock(monkeypatch)
    record = run(tmp_path / "m", max_minutes=10 / 60, evaluate_every=4, early_stopping=9).record
    assert [entry["step"] for entry in record.history] == [4, 8, 10]
    losses = {entry["step"]: entry["evaluation"]["loss"] for entry in record.history}
    assert record.chosen["ended"] == "the time limit"
    assert record.chosen["step"] == min(losses, key=losses.__getitem__)


def test_a_real_clock_stops_a_run_that_would_never_end(tmp_path: Path):
    record = run(tmp_path / "m", max_minutes=0.5 / 60, **TIMED).record
    assert record.chosen["ended"] == "the time limit"
    assert record.steps >= 1
    assert record.seconds < 20


def test_progress_of_a_timed_run_counts_down_to_its_limit(tmp_path: Path):
    said = []
    options = TrainingOptions(max_minutes=1 / 60, batch_size=16, **TIMED)
    train(options, base=tiny_base(), data=planted_table(), out=tmp_path / "m", progress=said.append)
    assert said[0].steps is said[0].epochs is None
    assert all(one.seconds_left <= 1.0 for one in said if one.seconds_left is not None)


def test_evaluations_without_rows_are_refused(tmp_path: Path):
    with pytest.raises(OptionUnfit, match="--eval-data"):
        train(TrainingOptions(evaluate_every=4), base=tiny_base(), data=planted_table(), out=tmp_path / "m")
