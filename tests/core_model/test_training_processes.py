"""The promise of data-parallel training: two processes do what one does with twice the batch."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from core_model.tasks import Task
from core_model.training import TrainingResult, train
from core_model.training_options import TrainingOptions
from core_model.training_record import read_record
from tests.core_model.task_worlds import SHAPES
from tests.core_model.test_training_step import base_without_dropout, largest_difference, ragged_pairs
from tests.core_model.training_world import planted_table

# Each process draws its own dropout, so that only without it the two are the same mathematics.


def classifier(out: Path, **given) -> TrainingResult:
    """101 rows: the last step has fewer rows than the others, and an odd number of them."""
    options = TrainingOptions(epochs=2, learning_rate=1e-3, **given)
    evaluation = planted_table(41, 1)
    return train(options, base=base_without_dropout(), data=planted_table(101), evaluation=evaluation, out=out)


def translator(out: Path, **given) -> TrainingResult:
    """Targets of 2 to 8 tokens: the loss is a mean over tokens, of which each process has another number."""
    options = TrainingOptions(task=Task.TRANSLATION, epochs=2, learning_rate=1e-3, max_length=9, ema=0.9, **given)
    shape = SHAPES[Task.TRANSLATION]
    return train(options, architecture=shape, data=ragged_pairs(), evaluation=ragged_pairs(), out=out)


def adapted(out: Path, **given) -> TrainingResult:
    options = TrainingOptions(**{"epochs": 1, "learning_rate": 1e-3, "adapters": 2, **given})
    return train(options, base=base_without_dropout(), data=planted_table(101), out=out)


RUNS = {  # name -> what runs, what one process is told, and what each of two is
    "classifier": (classifier, {"batch_size": 20}, {"batch_size": 10}),
    "accumulated": (classifier, {"batch_size": 24}, {"batch_size": 4, "accumulate": 3}),
    "translator": (translator, {"batch_size": 12}, {"batch_size": 6}),
    "tokens": (translator, {"batch_tokens": 300}, {"batch_tokens": 75, "accumulate": 2}),
    "adapted": (adapted, {"batch_size": 20}, {"batch_size": 10}),
}


def run_all(out: Path) -> None:
    """What each of two processes does."""
    for name, (run, _, told) in RUNS.items():
        run(out / name, **told)
    adapted(out / "timed", max_minutes=0.01, max_steps=100_000, epochs=None)


@pytest.fixture(scope="module")
def of_two(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("two")
    script = out / "two.py"
    script.write_text(
        "import sys\nfrom pathlib import Path\nfrom tests.core_model.test_training_processes import run_all\n"
        "run_all(Path(sys.argv[1]))\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--rdzv-backend", "c10d",
         "--rdzv-endpoint", "localhost:0", str(script), str(out)],
        capture_output=True, text=True, env=environment, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return out


@pytest.mark.parametrize("name", RUNS)
def test_two_processes_do_what_one_does_with_twice_the_batch(tmp_path: Path, of_two: Path, name: str):
    run, told, _ = RUNS[name]
    one = run(tmp_path / name, **told)
    record = read_record(of_two / name)
    assert record is not None
    assert record.hardware["processes"] == 2
    assert record.steps == one.record.steps
    for ours, theirs in zip(one.record.history, record.history, strict=True):
        assert theirs["train_n"] == ours["train_n"]
        assert theirs["train_loss"] == pytest.approx(ours["train_loss"], abs=1e-5)
        assert theirs["evaluation"] == (
            ours["evaluation"] if ours["evaluation"] is None else pytest.approx(ours["evaluation"], abs=1e-5)
        )
    assert largest_difference(one, TrainingResult(of_two / name, record)) < 1e-5


def test_the_clock_of_one_process_ends_both(of_two: Path):
    """Else one would wait for the other for ever."""
    record = read_record(of_two / "timed")
    assert record is not None
    assert record.chosen["ended"] == "the time limit"
    assert record.history[-1]["step"] == record.steps
