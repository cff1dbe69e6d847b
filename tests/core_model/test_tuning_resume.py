"""Promises of a resumed search: whoever killed it, it ends with the trials that it would have had, and their number."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import optuna
import pytest
import torch

import core_model.tuning as tuning
from core_model.errors import DataDamaged, OptionUnfit, OutputUnwritable
from core_model.training_loop import Loop
from core_model.tuning import TuningResult
from core_model.tuning_study import FILE, MOST_DEATHS, alone
from tests.core_model.training_world import planted_table, tiny_base
from tests.core_model.tuning_world import small_search, trials_of

TRIALS = 5


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory) -> TuningResult:
    return small_search(tmp_path_factory.mktemp("whole"), trials=TRIALS)


SCRIPT = """
    import sys, time, torch
    torch.set_num_threads({threads})
    from pathlib import Path
    from core_model.checkpoint import open_checkpoint
    from core_model.training_loop import Loop
    import tests.core_model.tuning_world as world
    world.tiny_base = lambda: open_checkpoint({base!r})
    plain = Loop._step
    def slow(self, *arguments):
        time.sleep(0.1)
        plain(self, *arguments)
    Loop._step = slow
    def tell(said):
        print(said.trial, bool(said.training), flush=True)
    world.small_search(Path(sys.argv[1]), trials={trials}, progress=tell)
"""


def start(out: Path) -> subprocess.Popen[str]:
    """The search in a process of its own, slowed so that there is time to end it; it prints the trial under way."""
    script = textwrap.dedent(SCRIPT).format(threads=torch.get_num_threads(), base=str(tiny_base().path), trials=TRIALS)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen(
        [sys.executable, "-c", script, str(out)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=environment,
    )  # fmt: skip


def stop(out: Path, number: signal.Signals) -> str:
    """Send the search a signal while its third trial trains; what it then said."""
    process = start(out)
    assert process.stdout is not None
    for printed in process.stdout:
        if printed.split() == ["3", "True"]:
            break
    time.sleep(np.random.default_rng().uniform(0, 0.3))  # truly random: each run of this test is another trial
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode != 0, said
    return said


def test_a_process_killed_with_sigkill_ends_with_the_same_trials(tmp_path: Path, uninterrupted):
    stop(tmp_path, signal.SIGKILL)
    resumed = small_search(tmp_path, trials=TRIALS, resume=True)
    assert trials_of(resumed) == trials_of(uninterrupted)
    assert resumed.record.best["model_sha256"] == uninterrupted.record.best["model_sha256"]
    dead = [trial for trial in resumed.record.trials if trial.ending == "tried again"]
    again = [trial for trial in resumed.record.trials if trial.again is not None]
    assert len(dead) <= 1  # none where it was killed between two trials
    for gone, anew in zip(dead, again, strict=True):
        assert gone.reason == "the process was killed"
        assert (anew.again, anew.parameters) == (gone.number, gone.parameters)
    assert not (tmp_path / "trials").exists()


@pytest.mark.parametrize("moment", ["step", "settle", "best"])
def test_a_search_cut_at_an_awkward_moment_ends_with_the_same_trials(
    tmp_path: Path, monkeypatch, uninterrupted, moment
):
    """The cut stands for a kill: nothing that the program would do after it is done."""

    class Cut(BaseException):
        pass

    places = {
        "step": (Loop, "_step", 14), "settle": (tuning, "settle", 3), "best": (tuning._Search, "_keep_best", 3),
    }  # fmt: skip
    where, name, after = places[moment]
    plain, calls = getattr(where, name), [0]

    def cut(*arguments, **rest):
        calls[0] += 1
        if calls[0] == after:
            raise Cut
        return plain(*arguments, **rest)

    monkeypatch.setattr(where, name, cut)
    monkeypatch.setattr(tuning, "try_again", lambda *_, **__: None)
    with pytest.raises(Cut):
        small_search(tmp_path, trials=TRIALS)
    monkeypatch.undo()
    resumed = small_search(tmp_path, trials=TRIALS, resume=True)
    assert trials_of(resumed) == trials_of(uninterrupted)
    assert resumed.record.best["model_sha256"] == uninterrupted.record.best["model_sha256"]


def test_a_trial_that_kills_the_process_each_time_is_given_up(tmp_path: Path, monkeypatch):
    class Killed(BaseException):
        pass

    plain, trained = tuning.train, []

    def deadly(options, **rest):
        if options.batch_size == 8:
            raise Killed
        trained.append(options.batch_size)
        return plain(options, **rest)

    monkeypatch.setattr(tuning, "train", deadly)
    space = ("batch_size=8,32",)
    deaths = 0
    for _ in range(4 * MOST_DEATHS):
        try:
            record = small_search(tmp_path, trials=3, space=space, fixed={"epochs": 1}, resume=True).record
            break
        except Killed:
            deaths += 1
    first, *again = [trial for trial in record.trials if trial.ending == "failed"]
    assert deaths == MOST_DEATHS and f"{MOST_DEATHS} times" in first.reason
    assert all(f"of trial {first.number} again" in trial.reason for trial in again)  # not tried at all
    assert [trial.parameters["batch_size"] for trial in record.trials if trial.ending == "complete"][:1] == trained


def test_a_study_that_is_done_trains_nothing_more_unless_it_is_extended(tmp_path: Path, monkeypatch, uninterrupted):
    first = small_search(tmp_path, trials=3)
    with monkeypatch.context() as patch:
        patch.delattr(tuning, "train")
        assert trials_of(small_search(tmp_path, trials=3, resume=True)) == trials_of(first)
    assert trials_of(small_search(tmp_path, trials=TRIALS, resume=True)) == trials_of(uninterrupted)


def test_a_study_is_not_begun_anew_over_another(uninterrupted):
    with pytest.raises(OutputUnwritable, match="--resume"):
        small_search(uninterrupted.best.parent)


@pytest.mark.parametrize(
    ("changes", "letter"),
    [
        ({"space": ("learning_rate=1e-6..1e-2,log", "batch_size=16,32")},
         r"learning_rate was 1e-06\.\.0\.03,log there, and now it is 1e-06\.\.0\.01,log"),
        ({"space": ("batch_size=16,32",)}, "learning_rate was .* and now it is not searched"),
        ({"space": ("warmup_share=0..0.2", "learning_rate=1e-6..3e-2,log", "batch_size=16,32")},
         r"warmup_share was not searched there, and now it is 0\.\.0\.2"),
        ({"fixed": {"epochs": 5}}, r"epochs = 2; now it is 5(.|\n)*--set epochs"),
        ({"seed": 1}, "seed = 0; now it is 1"),
        ({"objective": "accuracy"}, "objective = loss; now it is accuracy"),
        ({"data": planted_table(64, 3)}, r"data_sha256(.|\n)*--data"),
        ({"evaluation": planted_table(64, 3)}, r"evaluation_data_sha256(.|\n)*--eval-data"),
    ],
)  # fmt: skip
def test_another_study_is_refused_by_what_differs(uninterrupted, changes, letter):
    with pytest.raises(OptionUnfit, match=letter):
        small_search(uninterrupted.best.parent, resume=True, **changes)


def test_a_study_of_another_program_is_refused_with_its_parameters(tmp_path: Path):
    other = optuna.create_study(study_name="theirs", storage=f"sqlite:///{tmp_path / FILE}")
    other.optimize(lambda trial: trial.suggest_float("momentum", 0, 1), n_trials=1)
    with pytest.raises(OptionUnfit, match="'theirs', of momentum"):
        small_search(tmp_path, resume=True)


@pytest.mark.parametrize("damage", ["text", "cut", "other"])
def test_a_damaged_file_is_one_letter_and_is_left_as_it_is(tmp_path: Path, uninterrupted, damage):
    file = tmp_path / FILE
    if damage == "text":
        file.write_text("this is no database " * 200)
    elif damage == "cut":
        whole = (uninterrupted.best.parent / FILE).read_bytes()
        file.write_bytes(whole[: len(whole) // 2])
    else:
        with sqlite3.connect(file) as database:
            database.execute("CREATE TABLE studies (id)")
    before = file.read_bytes()
    with pytest.raises(DataDamaged, match=r"no whole study(.|\n)*move it away"):
        small_search(tmp_path, resume=True)
    assert file.read_bytes() == before


def test_two_searches_in_one_folder_are_refused(tmp_path: Path):
    with alone(tmp_path), pytest.raises(OutputUnwritable, match="another `aboveboard tune`"):
        small_search(tmp_path)
