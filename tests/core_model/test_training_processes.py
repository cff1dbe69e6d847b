"""The promise of data-parallel training: two processes do what one does with twice the batch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from core_model.checkpoint import Checkpoint, open_checkpoint
from core_model.training import train
from core_model.training_options import TrainingOptions
from core_model.training_record import TrainingRecord, read_record
from tests.core_model.training_world import planted_table
from tests.factories import write_checkpoint


def run(base: Checkpoint, out: Path, batch_size: int) -> TrainingRecord:
    """101 rows: the last step has fewer rows than the others, and an odd number of them."""
    options = TrainingOptions(epochs=2, batch_size=batch_size, learning_rate=1e-3)
    return train(options, base=base, data=planted_table(101), evaluation=planted_table(41, 1), out=out).record


def test_two_processes_do_what_one_does_with_twice_the_batch(tmp_path: Path):
    from safetensors.torch import load_file

    config = write_checkpoint(tmp_path / "base") / "config.json"
    # Each process draws its own dropout, so that only without it the two are the same mathematics.
    text = json.loads(config.read_text()) | {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    config.write_text(json.dumps(text))
    one = run(open_checkpoint(tmp_path / "base"), tmp_path / "one", 20)

    script = tmp_path / "two.py"
    script.write_text(
        "import sys\nfrom pathlib import Path\nfrom core_model.checkpoint import open_checkpoint\n"
        "from tests.core_model.test_training_processes import run\n"
        "run(open_checkpoint(sys.argv[1]), Path(sys.argv[2]), 10)\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--rdzv-backend", "c10d",
         "--rdzv-endpoint", "localhost:0", str(script), str(tmp_path / "base"), str(tmp_path / "two")],
        capture_output=True, text=True, env=environment, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    two = read_record(tmp_path / "two")
    assert two is not None
    assert two.hardware["processes"] == 2
    for ours, theirs in zip(one.history, two.history, strict=True):
        assert theirs["train_n"] == ours["train_n"] == 101
        assert theirs["train_loss"] == pytest.approx(ours["train_loss"], abs=1e-5)
        assert theirs["evaluation"] == pytest.approx(ours["evaluation"], abs=1e-5)
    weights = [load_file(tmp_path / name / "model.safetensors") for name in ("one", "two")]
    assert max(float((weights[0][name] - weights[1][name]).abs().max()) for name in weights[0]) < 1e-5
