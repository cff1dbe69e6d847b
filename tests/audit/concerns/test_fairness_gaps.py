"""The point values are fairlearn's; small groups, ties and intersections are counted rightly."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from fairlearn.metrics import (
    MetricFrame,
    demographic_parity_difference,
    demographic_parity_ratio,
    equalized_odds_difference,
    false_negative_rate,
    false_positive_rate,
    selection_rate,
)
from sklearn.metrics import accuracy_score

from audit.concerns.fairness.gaps import columns_of, gaps_of, impact_ratios, rates_of

FAIRLEARN = {
    "selection_rate": selection_rate,
    "false_positive_rate": false_positive_rate,
    "false_negative_rate": false_negative_rate,
    "accuracy": accuracy_score,
}


def drawn(seed: int, rows: int = 2000, groups: int = 5) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    random = np.random.default_rng(seed)
    target = random.integers(0, 2, rows)
    first = np.array([f"g{i}" for i in range(groups)])[random.integers(0, groups, rows)]
    second = np.array(["x", "y"])[random.integers(0, 2, rows)]
    chance = 0.2 + 0.5 * target + 0.15 * (first == "g0")
    return target, (random.random(rows) < chance).astype(int), {"first": first, "second": second}


def random_of(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("seed", range(3))
def test_rates_and_gaps_are_those_of_fairlearn_for_columns_and_intersections(seed):
    target, predicted, groups = drawn(seed)
    for column in columns_of(groups, intersections=True):
        features = pd.DataFrame({name: groups[name] for name in column.parts})
        frame = MetricFrame(metrics=FAIRLEARN, y_true=target, y_pred=predicted, sensitive_features=features)
        rates = rates_of(column, target=target, predicted=predicted, selected=1)
        for name, rate in rates.items():
            index = [tuple(group.split(" & ")) if column.crossed else group for group in column.groups]
            expected = frame.by_group[name].loc[index].to_numpy()
            np.testing.assert_allclose(rate.events / rate.out_of, expected)
        gaps = {gap.name: gap.estimate for gap in gaps_of(rates, minimum_rows=1, random=random_of())}
        given = {"y_true": target, "y_pred": predicted, "sensitive_features": features}
        assert gaps["demographic_parity_difference"].value == pytest.approx(demographic_parity_difference(**given))
        assert gaps["demographic_parity_ratio"].value == pytest.approx(demographic_parity_ratio(**given))
        assert gaps["equalized_odds_difference"].value == pytest.approx(equalized_odds_difference(**given))
        for name in ("false_positive_rate", "false_negative_rate", "accuracy"):
            assert gaps[f"{name}_difference"].value == pytest.approx(frame.difference()[name])
        for estimate in gaps.values():
            assert estimate.covers(estimate.value), estimate


def test_with_several_classes_each_class_is_one_against_the_rest():
    random = random_of()
    target, predicted, group = (random.integers(0, k, 900) for k in (3, 3, 2))
    [column] = columns_of({"g": np.array(["a", "b"])[group]}, intersections=True)
    for selected in range(3):
        rates = rates_of(column, target=target, predicted=predicted, selected=selected)
        frame = MetricFrame(
            metrics=FAIRLEARN, y_true=target == selected, y_pred=predicted == selected, sensitive_features=group
        )
        for name in ("selection_rate", "false_positive_rate", "false_negative_rate"):
            np.testing.assert_allclose(rates[name].events / rates[name].out_of, frame.by_group[name])
        whole = [accuracy_score(target[group == g], predicted[group == g]) for g in (0, 1)]
        np.testing.assert_allclose(rates["accuracy"].events / rates["accuracy"].out_of, whole)


def test_small_groups_stand_outside_every_gap():
    target, predicted, groups = drawn(3)
    rare = np.where(np.arange(len(target)) < 9, "rare", groups["first"])
    [column] = columns_of({"first": rare}, intersections=False)
    with_rare = gaps_of(
        rates_of(column, target=target, predicted=predicted, selected=1), minimum_rows=30, random=random_of()
    )
    rest = rare != "rare"
    [column] = columns_of({"first": rare[rest]}, intersections=False)
    without = gaps_of(
        rates_of(column, target=target[rest], predicted=predicted[rest], selected=1),
        minimum_rows=30,
        random=random_of(),
    )
    assert [gap.estimate for gap in with_rare] == [gap.estimate for gap in without]


def test_impact_ratios_are_rates_over_the_highest_large_group():
    target, predicted, groups = drawn(4)
    column = columns_of(groups, intersections=False)[0]
    selection = rates_of(column, target=target, predicted=predicted, selected=1)["selection_rate"]
    reference, ratios = impact_ratios(selection, minimum_rows=30)
    rates = np.array([predicted[groups["first"] == group].mean() for group in column.groups])
    assert reference == rates.argmax()
    np.testing.assert_allclose([ratio.value for ratio in ratios], rates / rates.max())
    assert all(ratio.interval is not None for i, ratio in enumerate(ratios) if i != reference)


def test_intersections_hold_every_row_once_and_only_cells_that_occur():
    groups = {"a": np.array(["x", "x", "y"]), "b": np.array(["1", "1", "2"]), "c": np.array(["p", "q", "q"])}
    columns = {column.name: column for column in columns_of(groups, intersections=True)}
    assert list(columns) == ["a", "b", "c", "a & b", "a & c", "b & c", "a & b & c"]
    assert columns["a & b"].groups == ("x & 1", "y & 2")
    assert columns["a & b & c"].groups == ("x & 1 & p", "x & 1 & q", "y & 2 & q")
    assert all(column.sizes.sum() == 3 for column in columns.values())


def test_more_than_four_columns_are_crossed_in_pairs_only():
    groups = {name: np.array(["x", "y"]) for name in "abcde"}
    assert max(len(column.parts) for column in columns_of(groups, intersections=True)) == 2


def test_names_that_joining_would_make_equal_stay_apart():
    groups = {"a": np.array(["x & y", "x"]), "b": np.array(["z", "y & z"])}
    crossed = columns_of(groups, intersections=True)[-1]
    assert len(set(crossed.groups)) == 2 and crossed.codes[0] != crossed.codes[1]
