"""Promises of resuming: wherever a run is cut off, it ends with the weights of one that was not."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
import pytest
import torch

from core_model.errors import CheckpointDamaged, OptionUnfit, OutputUnwritable
from core_model.training import TrainingResult, train
from core_model.training_loop import Loop
from core_model.training_options import TrainingOptions
from core_model.training_state import StateFolder
from tests.core_model.training_world import planted_table, tiny_base

OPTIONS = {"epochs": 3, "batch_size": 16, "learning_rate": 1e-3, "checkpoint_every": 2, "early_stopping": 3}
STEPS_PER_EPOCH = 6


def run(out: Path, *, resume: bool = False, data=None, **changes) -> TrainingResult:
    return train(
        TrainingOptions(**{**OPTIONS, **changes}),
        base=tiny_base(), data=data or planted_table(), evaluation=planted_table(40, 1), out=out, resume=resume,
    )  # fmt: skip


def without_times(result: TrainingResult) -> list[dict[str, object]]:
    return [{name: value for name, value in entry.items() if name != "seconds"} for entry in result.record.history]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory) -> TrainingResult:
    return run(tmp_path_factory.mktemp("whole") / "m")


class Cut(BaseException):
    """Stands for a kill: nothing in the program catches it."""


@contextmanager
def cut_before(step: int, monkeypatch) -> Iterator[None]:
    """Steps up to this one are done, then the run is cut off."""
    plain = Loop._step

    def cut(self, rows):
        if self.position.step == step - 1:
            raise Cut
        plain(self, rows)

    with monkeypatch.context() as patch:
        patch.setattr(Loop, "_step", cut)
        with pytest.raises(Cut):
            yield


@pytest.mark.parametrize("step", [1, 2, 3, 6, 7, 13, 18])
def test_a_run_cut_before_any_step_ends_with_the_same_weights(tmp_path: Path, monkeypatch, uninterrupted, step):
    with cut_before(step, monkeypatch):
        run(tmp_path / "m")
    resumed = run(tmp_path / "m", resume=True)
    assert resumed.record.model_sha256 == uninterrupted.record.model_sha256
    assert without_times(resumed) == without_times(uninterrupted)
    assert resumed.record.files == uninterrupted.record.files
    assert not StateFolder(tmp_path / "m").folder.exists()


FEATURES: dict[str, dict[str, object]] = {
    "accumulate": {"accumulate": 2, "batch_size": 8},
    "adam": {"optimizer": "adam", "schedule": "inverse-sqrt", "warmup_steps": 3},
    "average": {"ema": 0.9},
    "adapters and average": {"adapters": 2, "ema": 0.9},
    "tokens": {"batch_size": None, "batch_tokens": 170},
    "marks": {"evaluate_every": 4, "dropout": 0.3, "class_weights": {"negative": 1.0, "positive": 3.0}},
    "steps": {"epochs": None, "max_steps": 14, "early_stopping": None},
}


@lru_cache
def whole(feature: str) -> TrainingResult:
    return run(Path(mkdtemp(prefix="aboveboard-whole-")) / "m", **FEATURES[feature])


@pytest.mark.parametrize("step", [6, 11])
@pytest.mark.parametrize("feature", FEATURES)
def test_each_option_is_resumed_to_the_same_weights(tmp_path: Path, monkeypatch, feature, step):
    with cut_before(step, monkeypatch):
        run(tmp_path / "m", **FEATURES[feature])
    resumed = run(tmp_path / "m", resume=True, **FEATURES[feature])
    assert resumed.record.files == whole(feature).record.files
    assert without_times(resumed) == without_times(whole(feature))


def test_options_do_something(uninterrupted):
    """Else the test above would hold for options that are not read."""
    hashes = {whole(feature).record.model_sha256 for feature in FEATURES}
    assert len(hashes | {uninterrupted.record.model_sha256}) == len(FEATURES) + 1


def test_a_run_stopped_while_the_average_is_evaluated_goes_on_with_its_own_weights(tmp_path: Path, monkeypatch):
    """While the average is asked, the model holds it; a state that was saved then would have the two exchanged."""
    import core_model.training_evaluation as evaluation

    plain = evaluation.to_device

    def asked(batch, device):
        loops[-1].stop.asked = True
        return plain(batch, device)

    loops: list[Loop] = []
    own = Loop.run
    with monkeypatch.context() as patch:
        patch.setattr(Loop, "run", lambda self: (loops.append(self), own(self))[1])
        patch.setattr(evaluation, "to_device", asked)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "m", **FEATURES["average"])
    resumed = run(tmp_path / "m", resume=True, **FEATURES["average"])
    assert resumed.record.model_sha256 == whole("average").record.model_sha256


def test_the_state_of_adapters_holds_no_weight_of_the_base(tmp_path: Path, monkeypatch):
    from safetensors.torch import load_file

    with cut_before(5, monkeypatch):
        run(tmp_path / "m", **FEATURES["adapters and average"])
    names = load_file(tmp_path / "m" / ".training_state" / "step-4.safetensors")
    models = {name for name in names if name.startswith("model/")}
    assert models
    assert all("lora_" in name or "classifier" in name or "pooler" in name for name in models)
    assert {name.removeprefix("average/") for name in names if name.startswith("average/")} == {
        name.removeprefix("model/") for name in models
    }


@pytest.mark.parametrize("moment", ["evaluation", "save_best", "publish", "between tensors and state"])
def test_a_run_cut_at_an_awkward_moment_ends_with_the_same_weights(tmp_path: Path, monkeypatch, uninterrupted, moment):
    import core_model.training_result as result
    import core_model.training_state as state

    def cut(*_, **__):
        raise Cut

    place = {
        "evaluation": (Loop, "_evaluate"),
        "save_best": (StateFolder, "save_best"),
        "publish": (result, "publish_files"),
        "between tensors and state": (state, "write_atomically"),
    }[moment]
    monkeypatch.setattr(*place, cut)
    with pytest.raises(Cut):
        run(tmp_path / "m")
    monkeypatch.undo()
    assert run(tmp_path / "m", resume=True).record.model_sha256 == uninterrupted.record.model_sha256


def test_a_run_cut_again_and_again_ends_with_the_same_weights(tmp_path: Path, monkeypatch, uninterrupted):
    plain = Loop._step
    with monkeypatch.context() as patch:
        for _ in range(6):  # each session comes three steps further
            left = [3]

            def cut(self, rows, left=left):
                if not left[0]:
                    raise Cut
                left[0] -= 1
                plain(self, rows)

            patch.setattr(Loop, "_step", cut)
            with pytest.raises(Cut):
                run(tmp_path / "m", resume=True)
    record = run(tmp_path / "m", resume=True).record
    assert record.model_sha256 == uninterrupted.record.model_sha256
    assert record.sessions == 7
    assert "killed sessions" in record.energy["detail"]


SCRIPT = """
    import sys, time, torch
    torch.set_num_threads({threads})
    from pathlib import Path
    from core_model.checkpoint import open_checkpoint
    from core_model.training_loop import Loop
    import tests.core_model.training_world as world
    import tests.core_model.test_training_resume as resume
    resume.tiny_base = lambda: open_checkpoint({base!r})
    plain = Loop._step
    def slow(self, rows):
        time.sleep(0.05)
        plain(self, rows)
        print(self.position.step, flush=True)
    Loop._step = slow
    {run}
"""


def start(out: Path, run: str) -> subprocess.Popen[str]:
    """A run in a process of its own, slowed so that there is time to end it; it prints its steps."""
    script = textwrap.dedent(SCRIPT).format(threads=torch.get_num_threads(), base=str(tiny_base().path), run=run)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen(
        [sys.executable, "-c", script, str(out)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=environment,
    )  # fmt: skip


def test_a_process_killed_with_sigkill_at_a_random_moment_ends_with_the_same_weights(tmp_path: Path, uninterrupted):
    out = tmp_path / "m"
    process = start(out, "resume.run(Path(sys.argv[1]))")
    assert process.stdout is not None
    for printed in process.stdout:
        if int(printed) == 4:  # a state was saved after step 2
            break
    time.sleep(np.random.default_rng().uniform(0, 0.5))  # truly random: each run of this test is another trial
    process.kill()
    _, said = process.communicate()
    assert process.returncode == -signal.SIGKILL, said
    assert not (out / "config.json").exists()
    resumed = run(out, resume=True)
    assert resumed.record.sessions == 2
    assert resumed.record.model_sha256 == uninterrupted.record.model_sha256


def test_ctrl_c_saves_the_state_and_the_command_exits_with_130(tmp_path: Path, uninterrupted):
    out = tmp_path / "m"
    process = start(
        out,
        "from audit.commands import train as command\n"
        "import core_model.checkpoint, core_model.data, tests.core_model.training_world as world\n"
        "core_model.checkpoint.open_checkpoint = lambda _: resume.tiny_base()\n"
        "core_model.data.open_table = lambda name, **_: world.planted_table(*map(int, name.split('-')))\n"
        "command.train.main(['--base', 'x', '--data', '96-0', '--eval-data', '40-1', '--epochs', '3', '--batch-size',"
        " '16', '--learning-rate', '1e-3', '--early-stopping', '3', '--checkpoint-every', '99', '--out', sys.argv[1]])",
    )
    assert process.stdout is not None
    for printed in process.stdout:
        if int(printed) == 8:
            break
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "--resume" in said
    assert "Traceback" not in said
    state = json.loads((out / ".training_state" / "state.json").read_text())
    assert state["position"]["step"] >= 8
    resumed = run(out, resume=True, checkpoint_every=None)
    assert resumed.record.model_sha256 == uninterrupted.record.model_sha256
    assert "killed" not in resumed.record.energy["detail"]


@pytest.fixture
def cut_run(tmp_path: Path, monkeypatch) -> Path:
    """A run that was killed after its fourth step."""
    with cut_before(6, monkeypatch):
        run(tmp_path / "m")
    return tmp_path / "m"


@pytest.mark.parametrize(
    ("changes", "letter"),
    [
        ({"learning_rate": 5e-4}, r"learning_rate = 0\.001; now it is 0\.0005(.|\n)*--learning-rate 0\.001"),
        ({"seed": 3}, r"seed = 0; now it is 3(.|\n)*--seed 0"),
        ({"epochs": 4}, r"epochs = 3(.|\n)*--epochs 3"),
        ({"optimizer": "adam"}, r"optimizer = adamw; now it is adam(.|\n)*--optimizer adamw"),
        ({"accumulate": 2}, r"accumulate = 1; now it is 2(.|\n)*--accumulate 1"),
        ({"ema": 0.9}, r"ema = None; now it is 0\.9(.|\n)*leave --ema out"),
        ({"adapters": 2}, r"adapters = None(.|\n)*leave --adapters out"),
        ({"batch_size": None, "batch_tokens": 170}, r"batch_size = 16; now it is None(.|\n)*--batch-size 16"),
        ({"dropout": 0.1}, r"dropout = None(.|\n)*leave --dropout out"),
        ({"class_weights": "balanced"}, r"class_weights = None(.|\n)*leave --class-weights out"),
        ({"max_steps": 9}, r"max_steps = None(.|\n)*leave --max-steps out"),
        ({"evaluate_every": 9}, r"evaluate_every = None(.|\n)*leave --evaluate-every out"),
        ({"schedule": "cosine"}, r"schedule = linear(.|\n)*--schedule linear"),
        ({"max_length": 20}, r"max_length = None; now it is 20(.|\n)*leave --max-length out"),
        ({"data": planted_table(90, 7)}, r"data_sha256 = \w+; now(.|\n)*the same --data as before"),
    ],
)
def test_resuming_another_run_is_refused_by_the_field_that_differs(cut_run: Path, changes, letter):
    with pytest.raises(OptionUnfit, match=letter):
        run(cut_run, resume=True, **changes)
    assert StateFolder(cut_run).exists


def test_what_does_not_change_the_weights_may_change(cut_run: Path, uninterrupted):
    resumed = run(cut_run, resume=True, checkpoint_every=5, country="FRA")
    assert resumed.record.model_sha256 == uninterrupted.record.model_sha256


def test_an_interrupted_run_is_not_overwritten_by_chance(cut_run: Path):
    with pytest.raises(OutputUnwritable, match="--resume"):
        run(cut_run)


def test_resuming_where_nothing_was_begun_begins(tmp_path: Path, uninterrupted):
    assert run(tmp_path / "m", resume=True).record.model_sha256 == uninterrupted.record.model_sha256


def test_resuming_what_is_done_does_nothing(uninterrupted, monkeypatch):
    monkeypatch.setattr(Loop, "run", lambda self: pytest.fail("trained again"))
    again = run(uninterrupted.path, resume=True)
    assert again.record == uninterrupted.record
    with pytest.raises(OptionUnfit, match="seed"):
        run(uninterrupted.path, resume=True, seed=5)


@pytest.mark.parametrize("file", ["state.json", "step-4.safetensors"])
def test_a_damaged_state_is_refused_with_its_file(cut_run: Path, file: str):
    path = cut_run / ".training_state" / file
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(CheckpointDamaged, match=file.replace(".", r"\.")):
        run(cut_run, resume=True)


def test_a_state_that_points_outside_its_folder_is_refused(cut_run: Path):
    path = cut_run / ".training_state" / "state.json"
    path.write_text(path.read_text().replace("step-4.safetensors", "../../elsewhere.safetensors"))
    with pytest.raises(CheckpointDamaged, match="beside it"):
        run(cut_run, resume=True)


@pytest.mark.parametrize(("file", "time", "step"), [("step", 3, 4), ("best", 1, 6), ("adapter_model", 1, 16)], ids=str)
def test_a_full_disk_while_saving_keeps_the_previous_state(tmp_path: Path, monkeypatch, file, time, step):
    """A state, the best weights, or adapters meet a full disk: safetensors reports it as the kernel said it."""
    import safetensors.torch
    from safetensors import SafetensorError

    plain, saves = safetensors.torch.save_file, []

    def save_file(tensors, path, *rest, **named):
        if file in Path(path).name:
            saves.append(path)
            if len(saves) == time:
                Path(path).write_bytes(b"half")
                raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")
        plain(tensors, path, *rest, **named)

    options, expected = FEATURES["adapters and average"], whole("adapters and average")
    monkeypatch.setattr(safetensors.torch, "save_file", save_file)
    with pytest.raises(OutputUnwritable, match="disk is full"):
        run(tmp_path / "m", **options)
    monkeypatch.undo()
    state = json.loads((tmp_path / "m" / ".training_state" / "state.json").read_text())
    assert state["position"]["step"] == step
    assert not list((tmp_path / "m" / ".training_state").glob(".*.new"))
    assert not (tmp_path / "m" / "config.json").exists()
    resumed = run(tmp_path / "m", resume=True, **options)
    assert resumed.record.files == expected.record.files


def test_a_full_disk_at_the_end_keeps_the_previous_checkpoint_and_the_state(tmp_path: Path, monkeypatch, uninterrupted):
    from transformers import PreTrainedModel

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    first = run(tmp_path / "m", seed=4)
    monkeypatch.setattr(PreTrainedModel, "save_pretrained", full)
    with pytest.raises(OutputUnwritable, match="disk is full"):
        run(tmp_path / "m")
    monkeypatch.undo()
    from core_model.training_record import hashes

    assert hashes(tmp_path / "m")["model.safetensors"] == first.record.model_sha256
    assert run(tmp_path / "m", resume=True).record.model_sha256 == uninterrupted.record.model_sha256


def test_a_state_is_read_without_pickle(cut_run: Path):
    """A pickle can run code when it is read; the folder holds nothing but JSON and safetensors."""
    names = {file.suffix for file in (cut_run / ".training_state").rglob("*") if file.is_file()}
    assert names == {".json", ".safetensors"}
