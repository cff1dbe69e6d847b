"""Reference models: half of the rows each, trained once, kept under a hash of all that they depend on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from core_model.data_store import cache_folder
from core_model.tasks import Task
from core_model.training_options import TrainingOptions
from privacy.attacks.reference_models import halves, joined, recipe, reference_signals
from tests.core_model.task_worlds import world
from tests.core_model.training_world import planted_table, tiny_base


def test_each_row_is_in_half_of_the_models_and_each_model_has_half_of_the_rows():
    included = halves(6, 41, np.random.default_rng(0))
    assert (included.sum(axis=0) == 3).all()
    assert set(included.sum(axis=1)) == {20, 21}
    assert not np.array_equal(included[0], included[2])


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("kept")


def test_models_are_trained_once_and_a_damaged_file_is_made_again(cache, monkeypatch):
    monkeypatch.setenv("ABOVEBOARD_CACHE_DIR", str(cache))
    pool, options = planted_table(24), TrainingOptions(epochs=2, batch_size=12, learning_rate=1e-2)

    def asked(options: TrainingOptions = options):
        return reference_signals(
            pool, Task.CLASSIFICATION, base=tiny_base(), options=options, models=2, random=np.random.default_rng(0)
        )

    first, again = asked(), asked()
    assert first.forward_passes == 2 * 24 and again.forward_passes == 0
    np.testing.assert_array_equal(first.losses, again.losses)
    assert not np.array_equal(first.losses[0], first.losses[1])
    files = sorted(cache_folder("reference_models").glob("*.npy"))
    assert len(files) == 2
    files[0].write_bytes(b"\x93NUMPY damaged")
    third = asked()
    assert third.forward_passes == 24
    np.testing.assert_array_equal(first.losses, third.losses)  # the same halves, options and seeds: the same bits
    assert asked(options.model_copy(update={"epochs": 1})).forward_passes == 48  # other models


def test_models_that_are_trained_at_once_are_those_that_are_trained_in_turn(tmp_path, monkeypatch):
    pool, options = planted_table(24), TrainingOptions(epochs=1, batch_size=12, learning_rate=1e-2)
    found = []
    for workers in (1, 2):
        monkeypatch.setenv("ABOVEBOARD_CACHE_DIR", str(tmp_path / str(workers)))
        found.append(
            reference_signals(
                pool, Task.CLASSIFICATION, base=tiny_base(), options=options, models=2, workers=workers,
                random=np.random.default_rng(0),
            )
        )  # fmt: skip
        assert len(list(cache_folder("reference_models").glob("*.npy"))) == 2
    in_turn, at_once = found
    np.testing.assert_allclose(in_turn.losses, at_once.losses, atol=1e-5)  # of other threads, the last bits
    np.testing.assert_array_equal(in_turn.included, at_once.included)
    assert in_turn.forward_passes == at_once.forward_passes == 48


def test_nothing_that_a_pickle_could_run_is_loaded(cache, monkeypatch):
    monkeypatch.setenv("ABOVEBOARD_CACHE_DIR", str(cache))
    from privacy.attacks.reference_models import _read

    np.save(cache / "evil.npy", np.array([print, 1], dtype=object), allow_pickle=True)
    assert _read(cache / "evil.npy", 2) is None


def test_the_recipe_is_the_record_s_and_no_more():
    said = {"epochs": 7, "batch_size": 4, "reweigh": "sex", "seed": 3, "task": "translation"}
    options, how = recipe({"options": said}, Task.CLASSIFICATION)
    assert (options.epochs, options.batch_size, options.reweigh, options.seed) == (7, 4, None, 0)
    assert options.task is Task.CLASSIFICATION and "record" in how
    for record in (None, {}, {"options": "none"}, {"options": {"epochs": -1}}):
        options, how = recipe(record, Task.CLASSIFICATION)
        assert options == TrainingOptions() and "default" in how


@pytest.mark.parametrize("task", [Task.CLASSIFICATION, Task.TRANSLATION, Task.LANGUAGE_MODELING])
def test_members_and_others_are_one_table_members_first(task: Task):
    make = planted_table if task is Task.CLASSIFICATION else lambda rows, seed: world(task, rows, seed)
    members, others = make(5, 0), make(7, 1)
    pool = joined(members, others)
    assert list(pool.texts) == [*members.texts, *others.texts]
    assert pool.has_labels == members.has_labels and (pool.references is None) == (members.references is None)
