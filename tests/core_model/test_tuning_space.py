"""Promises of the search space: it follows from the options' own models, and nonsense is one letter with its mend."""

from __future__ import annotations

from pathlib import Path

import pytest

from core_model.architectures import Architecture
from core_model.errors import OptionUnfit
from core_model.tasks import Task
from core_model.training_options import TrainingOptions
from core_model.tuning_space import DEFAULTS, build, defaults, described, read_fixed, read_space, searchable

SHAPE = Architecture(layers=2, hidden=16, heads=2)


def space(*search: str, task: Task = Task.CLASSIFICATION, from_scratch: bool = False):
    return described(read_space(search, task=task, from_scratch=from_scratch))


def test_ranges_steps_and_choices_are_read_as_the_option_s_own_type():
    found = space(
        "learning_rate=1e-5..1e-3,log", "epochs=1..5,step=2", "batch-size = 16, 32", "clip_norm=none,1",
        "schedule=linear,cosine", "dropout=0..0.3,step=0.1", "layers=2..6", "lowercase=true,false", from_scratch=True,
    )  # fmt: skip
    assert found == {
        "batch_size": {"choices": [16, 32]},
        "clip_norm": {"choices": [None, 1.0]},
        "dropout": {"low": 0.0, "high": 0.30000000000000004, "log": False, "step": 0.1},
        "epochs": {"low": 1, "high": 5, "log": False, "step": 2},
        "layers": {"low": 2, "high": 6, "log": False, "step": 1},
        "learning_rate": {"low": 1e-5, "high": 1e-3, "log": True, "step": None},
        "lowercase": {"choices": [True, False]},
        "schedule": {"choices": ["linear", "cosine"]},
    } | {"dropout": found["dropout"]}
    assert found["dropout"]["high"] == pytest.approx(0.3)


def test_a_file_says_the_same_as_the_command_line(tmp_path: Path):
    file = tmp_path / "space.toml"
    file.write_text('learning_rate = "1e-5..1e-3,log"\nbatch_size = [16, 32]\nwarmup_share = { low = 0, high = 0.2 }\n')
    assert space(str(file)) == space("learning_rate=1e-5..1e-3,log", "batch_size=16,32", "warmup_share=0..0.2")


@pytest.mark.parametrize("task", DEFAULTS)
@pytest.mark.parametrize("from_scratch", [False, True])
def test_every_task_has_a_space_and_its_defaults_lie_in_it(task: Task, from_scratch: bool):
    found = read_space((), task=task, from_scratch=from_scratch)
    assert len(found) >= 3
    usual = defaults(found, fixed={"task": task}, architecture=SHAPE if from_scratch else None)
    assert usual is not None
    build(usual, fixed={"task": task}, architecture=SHAPE if from_scratch else None)


def test_every_number_and_choice_of_training_can_be_searched():
    """Held against the options themselves: what is left out is text, files, columns, or has a reason."""
    searched = set(searchable(Task.CLASSIFICATION, from_scratch=False))
    left_out = set(TrainingOptions.model_fields) - searched
    assert {"task", "seed", "checkpoint_every", "country", "identity_terms", "reweigh"} <= left_out
    assert {"learning_rate", "epochs", "batch_size", "schedule", "weight_decay", "warmup_share", "label_smoothing",
            "clip_norm", "early_stopping", "max_length"} <= searched  # fmt: skip


def test_what_changes_the_tokens_is_not_searched_where_the_loss_is_a_mean_over_them():
    assert "vocabulary" in searchable(Task.CLASSIFICATION, from_scratch=True)
    with pytest.raises(OptionUnfit, match="could not be compared"):
        space("vocabulary=500,1000", task=Task.LANGUAGE_MODELING, from_scratch=True)


@pytest.mark.parametrize(
    ("written", "letter"),
    [
        ("learning_rte=1..2", r"no option 'learning_rte'(.|\n)*--search learning_rate="),
        ("seed=1,2", r"luck on these evaluation rows"),
        ("identity_terms=a.toml,b.toml", "no number and no choice"),
        ("layers=2..4", r"shape of a model from scratch(.|\n)*--base none"),
        ("learning_rate=1e-3..1e-5", "is empty: 0.001 is not below 1e-05"),
        ("learning_rate=1e-3..1e-3", "is empty"),
        ("warmup_share=0..0.2,log", r"begins above 0(.|\n)*warmup_share=0\.002\.\.0\.2,log"),
        ("batch_size=16", r"nothing to choose(.|\n)*--set batch_size=16"),
        ("batch_size=16,16", "nothing to choose"),
        ("batch_size=0,16", r"batch_size cannot be '0'(.|\n)*greater than or equal to 1"),
        ("warmup_share=0..2", r"warmup_share cannot be '2'(.|\n)*less than 1"),
        ("learning_rate=nan..0.1", "cannot be 'nan'"),
        ("epochs=1..2.5", r"epochs cannot be '2\.5'"),
        ("epochs=", "epochs cannot be ''"),
        ("schedule=linear,cosin", "schedule cannot be 'cosin'"),
        ("schedule=0..1", "schedule is no number"),
        ("weight_decay=0..0.3,lg", "'lg' is not known of a range"),
        ("epochs=1..5,step=x", "invalid literal"),
        ("missing.toml", "there is no file missing.toml"),
    ],
)
def test_what_does_not_fit_is_one_letter_with_its_mend(written: str, letter: str):
    with pytest.raises(OptionUnfit, match=letter):
        space(written)


@pytest.mark.parametrize(
    ("content", "letter"),
    [
        ("batch_size = 16", "neither a range nor choices"),
        ("warmup_share = { low = 0 }", "high: a range has low and high"),
        ("warmup_share = { low = 0, high = 0.1, base = 2 }", "base: a range has"),
        ("batch_size = [[16], 32]", "neither a range nor choices"),
        ("[batch_size]\nlow = 8", "high: a range has"),
        ("batch_size = [16, 32", "is not TOML"),
        ("", "names nothing to search"),
    ],
)
def test_a_file_that_does_not_fit_is_one_letter(tmp_path: Path, content: str, letter: str):
    file = tmp_path / "space.toml"
    file.write_text(content)
    with pytest.raises(OptionUnfit, match=letter):
        space(str(file))


def test_a_parameter_searched_twice_is_refused():
    with pytest.raises(OptionUnfit, match="'epochs' is searched twice"):
        space("epochs=1..2", "epochs=1..3")


def test_a_hidden_size_that_its_heads_do_not_divide_is_refused_when_it_is_built():
    with pytest.raises(OptionUnfit, match="hidden = 18 is not divisible by heads = 4"):
        build({"hidden": 18, "heads": 4}, fixed={}, architecture=SHAPE)


def test_fixed_options_are_read_as_their_types():
    fixed, task = read_fixed(["epochs=3", "clip-norm=none", "augment=identity-swap"], task="classification")
    assert task is Task.CLASSIFICATION
    assert {**fixed, "task": None} == {"task": None, "epochs": 3, "clip_norm": None, "augment": ("identity-swap",)}


@pytest.mark.parametrize(
    ("written", "letter"),
    [
        ("epoch=3", r"no option 'epoch'(.|\n)*--set epochs="),
        ("epochs", "--set epochs has no value"),
        ("epochs=0", "epochs = '0'"),
        ("seed=3", r"a flag of its own(.|\n)*--seed 3"),
    ],
)
def test_fixed_options_that_do_not_fit_are_one_letter(written: str, letter: str):
    with pytest.raises(OptionUnfit, match=letter):
        read_fixed([written], task="classification")
