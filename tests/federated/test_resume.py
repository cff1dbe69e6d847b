"""Promises of resuming: wherever a run is cut off, or killed, it ends with the same bits."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from core_model.errors import CheckpointDamaged, OptionUnfit, OutputUnwritable
from federated.options import PrivacyPromise
from federated.roster import ClientsGone
from federated.rounds import Rounds
from federated.state import FederationState
from privacy.claim import read_claim
from tests.federated.test_rounds import told
from tests.federated.world import folder, run

FEATURES = {
    "plain": {},
    "fedadam": {"strategy": "fedadam"},
    "int8": {"compress": "int8", "participation": 0.5},
    "heads": {"personalize": "head", "held_out": 0.25},
    "rows": {
        "private": PrivacyPromise(epsilon=50, unit="example", noise_seed=5), "clients": 2, "local_steps": 2,
    },
    "clients": {"private": PrivacyPromise(epsilon=50, clipping_norm=0.3, clipping="adaptive", noise_seed=5),
                "clients": 40, "batch_size": 1, "local_steps": 1},
}  # fmt: skip


class Cut(BaseException):
    """Stands for a kill: nothing in the program catches it."""


def cut(monkeypatch, out: Path, *, before: str, number: int, **options) -> None:
    """A run that is cut off in a round, before its state is set down or before it is asked."""
    plain = getattr(Rounds, before)

    def cutting(self, *given):
        if self.progressed.round == number - (before == "_round"):
            raise Cut
        return plain(self, *given)

    with monkeypatch.context() as patch:
        patch.setattr(Rounds, before, cutting)
        with pytest.raises(Cut):
            run(out, **options)


@pytest.mark.parametrize("name", FEATURES)
def test_a_run_that_was_cut_off_ends_with_the_same_bits(tmp_path, monkeypatch, name):
    """In a round whose clients have trained already; under a promise between rounds, since what was paid is paid."""
    options = {"rounds": 3, **FEATURES[name]}
    whole = run(tmp_path / "whole", **options)
    cut(monkeypatch, tmp_path / "m", before="_round" if "private" in options else "_set_down", number=2, **options)
    resumed = run(tmp_path / "m", resume=True, **options)
    assert resumed.record.model_sha256 == whole.record.model_sha256
    assert told(resumed.record) == told(whole.record)
    assert resumed.record.sessions == 2
    assert not FederationState(tmp_path / "m").folder.exists()


def test_what_was_spent_for_a_lost_round_is_never_forgotten(tmp_path, monkeypatch):
    """The lost round was paid for; the rounds that are left get more noise, and the budget holds."""
    options = {"rounds": 3, **FEATURES["clients"]}
    cut(monkeypatch, tmp_path / "m", before="_set_down", number=2, **options)
    resumed = run(tmp_path / "m", resume=True, **options)
    claim = read_claim(tmp_path / "m")
    assert claim.steps == 4  # three rounds, and one that was lost
    assert claim.epsilon <= 50 and resumed.record.rounds[-1]["epsilon"] == pytest.approx(claim.epsilon)


def test_clients_whose_budget_a_lost_round_has_spent_take_part_no_more(tmp_path, monkeypatch):
    options = {"rounds": 3, **FEATURES["rows"]}
    cut(monkeypatch, tmp_path / "m", before="_set_down", number=2, **options)
    with pytest.raises(ClientsGone, match=r"the model of round 2 is kept.*takes part no more"):
        run(tmp_path / "m", resume=True, **options)
    claim = read_claim(tmp_path / "m")
    assert claim.epsilon <= 50 and claim.steps == 3 * 2  # three rounds of two steps were paid for, two of them counted


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Sums over several threads may differ in their last bits from process to process."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_a_server_killed_at_any_moment_goes_on_to_the_same_bits(tmp_path, one_thread):
    options = {"rounds": 400, "local_steps": 1, "batch_size": 2}
    code = (
        "import sys; from pathlib import Path; from tests.federated import world; "
        "world.folder = lambda: Path(sys.argv[2]); "
        f"print(world.run(Path(sys.argv[1]), resume=True, **{options!r}).record.model_sha256)"
    )
    started = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "m"), str(folder())],
        env={**os.environ, "PYTHONPATH": str(Path.cwd()), "OMP_NUM_THREADS": "1"},
    )
    state = FederationState(tmp_path / "m")
    until = time.monotonic() + 60
    while not state.exists and time.monotonic() < until:
        time.sleep(0.02)
    time.sleep(0.31)  # somewhere in a round, or in a write
    os.kill(started.pid, signal.SIGKILL)
    assert started.wait() == -signal.SIGKILL
    done = json.loads((state.folder / "state.json").read_text())["progressed"]["round"]
    assert 0 < done < 400
    short = {**options, "rounds": done + 3}
    _change_rounds(state, done + 3)
    whole = run(tmp_path / "whole", **short)
    resumed = run(tmp_path / "m", resume=True, **short)
    assert resumed.record.model_sha256 == whole.record.model_sha256


def _change_rounds(state: FederationState, rounds: int) -> None:
    """Let the run end sooner: 400 rounds are there to be killed in, not to be waited for."""
    file = state.folder / "state.json"
    content = json.loads(file.read_text())
    content["identity"]["rounds"] = rounds
    file.write_text(json.dumps(content))


def test_a_run_of_another_configuration_is_not_resumed(tmp_path, monkeypatch):
    cut(monkeypatch, tmp_path / "m", before="_round", number=2)
    with pytest.raises(OptionUnfit, match=r"holds a run with learning_rate = 0.001; now it is 0.002"):
        run(tmp_path / "m", resume=True, learning_rate=0.002)
    with pytest.raises(OptionUnfit, match="partition = iid"):
        run(tmp_path / "m", resume=True, partition="dirichlet:9")
    with pytest.raises(OutputUnwritable, match="holds an interrupted federated run"):
        run(tmp_path / "m")


def test_a_run_that_is_done_is_not_done_again(tmp_path):
    first = run(tmp_path / "m")
    again = run(tmp_path / "m", resume=True)
    assert again.record == first.record


@pytest.mark.parametrize("damage", ["", "{}", '{"format": 1}', "not json"])
def test_a_damaged_state_is_a_letter(tmp_path, monkeypatch, damage):
    cut(monkeypatch, tmp_path / "m", before="_round", number=2)
    (FederationState(tmp_path / "m").folder / "state.json").write_text(damage)
    with pytest.raises(CheckpointDamaged, match="cannot be resumed from"):
        run(tmp_path / "m", resume=True)
