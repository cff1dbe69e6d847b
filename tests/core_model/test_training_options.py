"""Promises of the options: defaults that depend on each other, and letters for those that contradict each other."""

from __future__ import annotations

import pytest

from core_model.errors import OptionUnfit
from core_model.settings import checked
from core_model.training_options import TrainingOptions
from core_model.training_plan import Plan


def resolved(**given) -> TrainingOptions:
    return TrainingOptions(**given).resolved(from_scratch=False)


def test_defaults_are_filled_in_where_nothing_else_is_said():
    options = resolved()
    assert (options.epochs, options.batch_size, options.warmup_share) == (2, 32, 0.1)
    assert resolved(max_steps=9).epochs is None
    assert resolved(batch_tokens=900).batch_size is None
    assert resolved(warmup_steps=9).warmup_share is None


def test_options_that_were_filled_in_can_be_read_again():
    for given in ({}, {"batch_tokens": 900, "max_steps": 5}, {"class_weights": {"a": 2.0}, "adapters": 4}):
        options = resolved(**given)
        assert TrainingOptions(**options.model_dump(mode="json")) == options


@pytest.mark.parametrize(
    ("given", "letter"),
    [
        ({"batch_size": 8, "batch_tokens": 900}, "batch_size and batch_tokens(.|\n)*--batch-size or --batch-tokens"),
        ({"warmup_share": 0.1, "warmup_steps": 9}, "warmup_share and warmup_steps(.|\n)*--warmup-share or"),
        ({"adapter_targets": ("query",)}, "--adapters RANK"),
        ({"max_minutes": 5}, "linear schedule(.|\n)*--schedule inverse-sqrt --warmup-steps 400, or --epochs N"),
        ({"max_minutes": 5, "schedule": "inverse-sqrt"}, "share of all steps is no number(.|\n)*--warmup-steps N"),
        ({"class_weights": "balanced", "task": "translation"}, "translation has not(.|\n)*leave --class-weights out"),
        ({"ema": 1.0}, "ema = 1.0 does not fit"),
        ({"dropout": 1.0}, "dropout = 1.0 does not fit"),
        ({"accumulate": 0}, "accumulate = 0 does not fit"),
        ({"optimizer": "sgd"}, "'adamw' or 'adam'"),
    ],
)
def test_options_that_do_not_fit_are_refused_with_their_mend(given, letter):
    with pytest.raises(OptionUnfit, match=letter):
        checked(TrainingOptions, given, where="the command line", write="--{key} ...")


def test_a_plan_ends_with_whatever_comes_first():
    assert Plan(resolved(epochs=3), 10).steps == 30
    assert Plan(resolved(max_steps=25), 10).steps == 25
    assert Plan(resolved(epochs=3, max_steps=25), 10).steps == 25
    assert Plan(resolved(epochs=2, max_steps=25), 10).steps == 20
    timed = Plan(resolved(max_minutes=2, schedule="inverse-sqrt", warmup_steps=4), 10)
    assert (timed.steps, timed.epochs, timed.warmup, timed.seconds) == (None, None, 4, 120)


def test_a_plan_evaluates_at_each_mark_and_at_the_end():
    def marks(**given) -> list[int]:
        plan = Plan(resolved(epochs=2, **given), 10)
        found = [done for done in range(1, 21) if plan.evaluates_after(done)]
        assert [plan.evaluations_left(done) for done in (0, *found)] == list(range(len(found), -1, -1))
        return found

    assert marks() == [10, 20]
    assert marks(evaluate_every=4) == [4, 8, 12, 16, 20]
    assert marks(evaluate_every=7) == [7, 14, 20]
    assert marks(evaluate_every=50) == [20]


def test_a_plan_with_a_time_limit_and_a_last_step_knows_the_rate_of_each():
    """The clock cuts such a run; it does not bend its schedule."""
    cut, whole = (Plan(resolved(epochs=2, **more), 10) for more in ({"max_minutes": 1}, {}))
    assert [cut.rate(step) for step in range(20)] == [whole.rate(step) for step in range(20)]
