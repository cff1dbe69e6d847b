"""Promises of the lock: two servers never write one folder, and a dead one does not keep it."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from core_model.errors import OutputUnwritable
from federated.alone import alone
from tests.federated.world import run

HOLD = "import sys, time; from pathlib import Path; from federated.alone import alone\nwith alone(Path(sys.argv[1])):\n"
HOLD += "    print('held', flush=True); time.sleep(60)"


def test_a_second_server_is_refused_while_the_first_lives_and_let_in_when_it_is_dead(tmp_path: Path):
    folder = tmp_path / "m" / ".federation"
    with subprocess.Popen([sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE) as other:
        assert other.stdout is not None and other.stdout.readline() == b"held\n"
        begun = time.monotonic()
        with pytest.raises(OutputUnwritable, match="another process still trains"), alone(folder, patience=0.3):
            pass
        assert time.monotonic() - begun < 5
        with pytest.raises(KeyboardInterrupt), alone(folder, stopped=lambda: True):
            pass
        other.kill()
    with alone(folder, patience=2.0):
        pass
    assert run(tmp_path / "m").record.ended == "the last round"
