"""Promises of a search: it finds what was planted, prunes by the median, and keeps the best checkpoint and no other."""

from __future__ import annotations

from pathlib import Path
from statistics import median

import pytest

import core_model.tuning as tuning
from core_model.architectures import Architecture
from core_model.errors import OptionUnfit, TaskUnfit
from core_model.tasks import Task
from core_model.training import train
from core_model.training_options import TrainingOptions
from core_model.tuning import TuningOptions, TuningResult, tune
from core_model.tuning_record import read_tuning_record
from core_model.tuning_space import read_space
from tests.core_model.training_world import planted_table, tiny_base
from tests.core_model.tuning_world import TRIALS, search


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> TuningResult:
    return search(tmp_path_factory.mktemp("study"))


def test_it_finds_the_learning_rates_that_learn(study):
    best = study.record.best
    assert best["value"] < 0.6 < study.record.usual["value"]  # a coin has ln 2 = 0.693
    assert best["parameters"]["learning_rate"] > 1e-3
    assert best["value"] == min(trial.value for trial in study.record.trials if trial.value is not None)


def test_the_best_checkpoint_is_what_training_by_hand_gives(study, tmp_path: Path):
    options = TrainingOptions(epochs=4, **study.record.best["parameters"])
    by_hand = train(options, data=planted_table(), evaluation=planted_table(40, 1), base=tiny_base(), out=tmp_path)
    assert by_hand.record.evaluation["loss"] == study.record.best["value"]
    assert by_hand.record.model_sha256 == study.record.best["model_sha256"]
    assert (study.best / "model.safetensors").read_bytes() == (tmp_path / "model.safetensors").read_bytes()


def test_one_checkpoint_is_left_with_the_study_and_its_record(study):
    folder = study.best.parent
    assert {file.name for file in folder.iterdir()} == {"best", "study.sqlite", "tuning.json", ".tuning_lock"}
    assert read_tuning_record(folder) == study.record


def test_the_first_trial_is_the_default_parameters(study):
    first = study.record.trials[0]
    assert first.parameters == {"batch_size": 32, "learning_rate": 5e-5}
    assert study.record.usual == {"trial": 0, "value": first.value}


def test_defaults_outside_of_the_space_are_not_tried(tmp_path: Path):
    record = search(tmp_path, trials=2, space=("learning_rate=1e-3..1e-2",)).record
    assert record.usual is None
    assert all(1e-3 <= trial.parameters["learning_rate"] <= 1e-2 for trial in record.trials)


def test_every_pruned_trial_was_worse_than_the_median_where_it_ended(tmp_path: Path):
    trials = search(tmp_path, trials=11, space=("learning_rate=1e-6..0.9,log",), fixed={"epochs": 2}).record.trials
    complete, pruned = [], 0
    for trial in trials:
        for point, (done, _) in enumerate(trial.curve[:-1] if trial.ending == "complete" else trial.curve):
            best = min(value for _, value in trial.curve[: point + 1])
            others = [dict(other.curve)[done] for other in complete]
            worse = len(others) >= 4 and best > median(others)
            assert worse == (trial.ending == "pruned" and point == len(trial.curve) - 1), (trial.number, point)
        complete += [trial] if trial.ending == "complete" else []
        pruned += trial.ending == "pruned"
    assert pruned and len(complete) >= 4


def test_the_objective_may_be_the_accuracy_and_higher_is_then_better(tmp_path: Path):
    record = search(tmp_path, trials=3, objective="accuracy", space=("learning_rate=1e-6,1e-2",)).record
    values = [trial.value for trial in record.trials if trial.value is not None]
    assert record.best["value"] == max(values) > min(values)


def test_shapes_that_cannot_be_built_are_infeasible_with_the_reason(tmp_path: Path):
    space = read_space(["hidden=16,18", "heads=2,4"], task=Task.CLASSIFICATION, from_scratch=True)
    record = tune(
        TuningOptions(trials=8), space=space, data=planted_table(), evaluation=planted_table(40, 1), out=tmp_path,
        architecture=Architecture(layers=1, hidden=16, heads=2, vocabulary=200, max_length=32), fixed={"epochs": 1},
    ).record  # fmt: skip
    for trial in record.trials:
        fits = trial.parameters["hidden"] % trial.parameters["heads"] == 0
        assert (trial.ending == "infeasible") == (not fits), trial
    reasons = [trial.reason for trial in record.trials if trial.ending == "infeasible"]
    assert reasons[0].startswith("hidden = 18 is not divisible by heads = 4")
    assert {trial.ending for trial in record.trials} >= {"complete", "infeasible"}
    assert record.trials[0].parameters == {"hidden": 16, "heads": 2}  # the file's own shape


def test_a_trial_that_diverges_is_set_down_and_the_search_goes_on(tmp_path: Path, monkeypatch):
    plain = tuning.train

    def diverging(options, *, progress, **rest):
        if options.batch_size == 8:
            progress(tuning.Progress("training", 3, 9, 1, 1))
            raise OptionUnfit("training diverged: the loss is no number at step 3", mend="a lower rate")
        return plain(options, progress=progress, **rest)

    monkeypatch.setattr(tuning, "train", diverging)
    record = search(tmp_path, trials=6, space=("batch_size=8,32",), fixed={"epochs": 1}).record
    for trial in record.trials:
        assert (trial.ending == "diverged") == (trial.parameters["batch_size"] == 8)
    reasons = [trial.reason for trial in record.trials if trial.ending == "diverged"]
    assert "no number at step 3" in reasons[0]
    assert {trial.ending for trial in record.trials} == {"diverged", "complete"}


def test_parameters_that_were_tried_are_not_trained_again(tmp_path: Path, monkeypatch):
    plain, trained = tuning.train, []

    def counted(options, **rest):
        trained.append(options.batch_size)
        return plain(options, **rest)

    monkeypatch.setattr(tuning, "train", counted)
    record = search(tmp_path, trials=5, space=("batch_size=16,32",), fixed={"epochs": 1}).record
    assert sorted(trained) == [16, 32] and len(record.trials) == 5
    for trial in record.trials:
        first = next(one for one in record.trials if one.parameters == trial.parameters)
        assert (trial.value, trial.curve, trial.n) == (first.value, first.curve, first.n)
        assert trial is first or f"of trial {first.number} again" in trial.reason


def test_a_trial_without_memory_is_infeasible(tmp_path: Path, monkeypatch):
    def full(*_, **__):
        raise RuntimeError("[enforce fail at alloc_cpu.cpp:1] DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(tuning, "train", full)
    result = search(tmp_path, trials=2)
    assert [(trial.ending, trial.reason) for trial in result.record.trials] == [("infeasible", "out of memory")] * 2
    assert result.best is None and result.record.best is None


def test_what_no_trial_could_mend_is_told_at_once(tmp_path: Path):
    with pytest.raises(OptionUnfit, match="ATLANTIS"):
        search(tmp_path, fixed={"epochs": 1, "country": "ATLANTIS"})


def test_an_objective_that_the_task_has_not_is_refused(tmp_path: Path, monkeypatch):
    def silent(options, *, progress, **_):
        progress(tuning.Progress("evaluated", 9, 9, 1, 1, loss=2.0))

    monkeypatch.setattr(tuning, "train", silent)
    with pytest.raises(TaskUnfit, match="has no accuracy"):
        search(tmp_path, objective="accuracy")


def test_an_option_both_set_and_searched_is_refused(tmp_path: Path):
    with pytest.raises(OptionUnfit, match="batch_size is both set and searched"):
        search(tmp_path, fixed={"batch_size": 8})


def test_the_record_says_how_far_the_winner_can_be_believed(study):
    notes = " ".join(study.record.notes)
    assert f"best of {TRIALS} trials" in notes and "optimistic" in notes
    assert "random search" in notes
    assert study.record.privacy["epsilon"] is None and study.record.privacy["trainings"] == TRIALS


def test_progress_tells_the_best_so_far_and_the_time_left(tmp_path: Path):
    said = []
    search(tmp_path, trials=3, fixed={"epochs": 1}, progress=said.append)
    endings = [told for told in said if told.ending]
    assert [told.trial for told in endings] == [1, 2, 3]
    assert said[0].best is None and said[0].seconds_left is None
    assert endings[-1].seconds_left == 0.0
    assert any(told.training is not None for told in said)
