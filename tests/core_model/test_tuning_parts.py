"""Promises of the parts of a search: importance against a known variance, and rows held out by their content."""

from __future__ import annotations

import numpy as np
import optuna
import pytest

import core_model.tuning_importance as tuning_importance
from core_model.data import Table
from core_model.errors import DataMissing, OptionUnfit
from core_model.tuning_holdout import hold_out
from core_model.tuning_importance import FEWEST, importance
from core_model.tuning_study import sampler


def studied(value, trials: int, *, direction: str = "minimize") -> optuna.Study:
    """A random study of a function of x and y, each uniform in [0, 1]."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=3), direction=direction)
    study.optimize(lambda t: value(t.suggest_float("x", 0, 1), t.suggest_float("y", 0, 1)), n_trials=trials)
    return study


SPACE = {name: optuna.distributions.FloatDistribution(0, 1) for name in ("x", "y")}


def test_importance_nears_the_share_of_the_variance(monkeypatch):
    """3 x + y of independent uniforms: variances 9/12 and 1/12, so that x explains 0.9 of it."""
    monkeypatch.setattr(tuning_importance, "RESAMPLES", 1)
    found = importance(studied(lambda x, y: 3 * x + y, 200), SPACE, seed=0)
    assert found.shares["x"] == pytest.approx(0.9, abs=0.04)
    assert sum(found.shares.values()) == pytest.approx(1)
    assert found.n == 200


def test_few_trials_show_their_spread(monkeypatch):
    monkeypatch.setattr(tuning_importance, "RESAMPLES", 20)
    few = importance(studied(lambda x, y: x + y, 12), SPACE, seed=0)
    low, high = few.intervals["x"]
    assert low < few.shares["x"] < high and high - low > 0.2


@pytest.mark.parametrize(
    ("value", "trials", "space", "reason"),
    [
        (lambda x, y: x, FEWEST - 1, SPACE, f"{FEWEST - 1} complete trials"),
        (lambda x, y: 1.0, FEWEST, SPACE, "the same value"),
        (lambda x, y: x, FEWEST, {"x": SPACE["x"]}, "one parameter"),
    ],
)
def test_importance_that_cannot_be_known_is_absent_with_a_reason(value, trials, space, reason):
    found = importance(studied(value, trials), space, seed=0)
    assert found.shares == {} and reason in found.reason


def test_the_sampler_draws_what_its_seed_and_place_say():
    def drawn(seed: int, place: int) -> dict[str, float]:
        study = optuna.create_study(sampler=sampler(seed, place))
        return study.ask(fixed_distributions=SPACE).params

    assert drawn(0, 1) == drawn(0, 1)
    assert drawn(0, 1) != drawn(0, 2) != drawn(1, 2)


def table(texts: list[str]) -> Table:
    return Table.from_rows(name="rows", texts=texts, targets=[len(text) % 2 for text in texts], synthetic=True)


def test_rows_with_the_same_text_stand_on_one_side():
    texts = [f"row {i % 200}" for i in range(1000)]
    training, held = hold_out(table(texts), 0.2)
    assert not set(training.texts) & set(held.texts)
    assert training.rows + held.rows == 1000


def test_the_share_is_held_and_the_split_moves_no_row_when_others_come():
    """The count is binomial: five standard deviations around a fifth of 5,000."""
    texts = [f"text number {i}" for i in range(5000)]
    _, held = hold_out(table(texts), 0.2)
    assert abs(held.rows - 1000) < 5 * np.sqrt(5000 * 0.2 * 0.8)
    _, fewer = hold_out(table(texts[:2500]), 0.2)
    assert set(fewer.texts) == set(held.texts) & set(texts[:2500])


def test_rows_that_another_split_by_hash_left_over_can_be_split_again():
    """What is left after the lowest sha256 were taken out for testing has no low sha256 any more."""
    whole = table([f"text number {i}" for i in range(2000)])
    left = whole.select(np.array([int(name, 16) >= 2**62 for name in whole.row_ids]))
    _, held = hold_out(left, 0.2)
    assert held.rows == pytest.approx(0.2 * left.rows, rel=0.25)


@pytest.mark.parametrize("share", [0, 1, -0.1, float("nan")])
def test_a_share_that_is_none_is_refused(share):
    with pytest.raises(OptionUnfit, match="--eval-share"):
        hold_out(table(["a", "b"]), share)


def test_a_side_without_rows_is_refused():
    with pytest.raises(DataMissing, match="leaves 0 of them to evaluate on and 2 to train on"):
        hold_out(table(["a", "b"]), 1e-9)
