"""The promise of the mitigations over processes: noise, penalty and reductions of two are those of one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from core_model.checkpoint import open_checkpoint
from core_model.training import train
from core_model.training_options import TrainingOptions
from core_model.training_record import TrainingRecord, read_record
from tests.core_model.mitigation_world import biased_rows, table_of
from tests.factories import write_checkpoint

WAYS = ("fairness_penalty", "reductions")


def run(base: str, out: Path, batch_size: int) -> list[TrainingRecord]:
    """101 rows: the last step's rows do not go round."""
    made = []
    for way in WAYS:
        options = TrainingOptions(
            epochs=3, batch_size=batch_size, learning_rate=1e-3, augment=("token-dropout", "word-order"),
            fairness_column="sex", **{way: "equalized-odds"},
        )  # fmt: skip
        made.append(train(options, base=open_checkpoint(base), data=table_of(biased_rows(101)), out=out / way).record)
    return made


def test_two_processes_do_what_one_does_with_twice_the_batch(tmp_path: Path):
    config = write_checkpoint(tmp_path / "base") / "config.json"
    # Each process draws its own dropout, so that only without it the two are the same mathematics.
    text = json.loads(config.read_text()) | {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    config.write_text(json.dumps(text))
    one = run(str(tmp_path / "base"), tmp_path / "one", 20)

    script = tmp_path / "two.py"
    script.write_text(
        "import sys\nfrom pathlib import Path\nfrom tests.core_model.test_mitigation_processes import run\n"
        "run(sys.argv[1], Path(sys.argv[2]), 10)\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--rdzv-backend", "c10d",
         "--rdzv-endpoint", "localhost:0", str(script), str(tmp_path / "base"), str(tmp_path / "two")],
        capture_output=True, text=True, env=environment, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for way, ours in zip(WAYS, one, strict=True):
        theirs = read_record(tmp_path / "two" / way)
        assert theirs is not None and theirs.hardware["processes"] == 2
        for epoch, other in zip(ours.history, theirs.history, strict=True):
            assert other["train_loss"] == pytest.approx(epoch["train_loss"], abs=1e-5)
        if way == "reductions":
            rounds = [record.mitigation[way]["largest_violation_by_round"] for record in (ours, theirs)]
            assert rounds[1] == pytest.approx(rounds[0]) and len(rounds[0]) == 3
        else:
            variances = [record.mitigation[way]["variance_at_the_end"] for record in (ours, theirs)]
            assert variances[1] == pytest.approx(variances[0], abs=1e-6)
