"""Quantile regression looks past what makes rows hard by nature: nulls give chance, a planted leak is found."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.statistics import auroc
from core_model.data import Table
from privacy.attacks.quantile import LEVELS, features_of, level_reached, quantile_scores


def rows(count: int, leak: float, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A feature that confidence hangs on far more than on membership, and one that says nothing."""
    features = random.uniform(0, 10, (count, 2))
    return features, features[:, 0] * 2 + leak + random.normal(0, 0.5, count)


def area(members: np.ndarray, others: np.ndarray):
    return auroc(np.concatenate([members, others]), np.repeat([True, False], [len(members), len(others)]))


def test_nulls_give_chance_and_a_leak_that_the_confidence_alone_hides_is_found():
    random = np.random.default_rng(0)
    fitting, others = rows(400, 0.0, random), rows(400, 0.0, random)
    found = {}
    for leak in (0.0, 1.0):
        members = rows(400, leak, random)
        scores = quantile_scores(fitting, members, others)
        assert all(np.isfinite(side).all() for side in scores)
        found[leak] = area(*scores)
        hidden = area(members[1], others[1])
    assert found[0.0].covers(0.5)
    assert found[1.0].low > 0.75 > hidden.high


@given(
    st.lists(st.floats(-5, 5), min_size=len(LEVELS), max_size=len(LEVELS)),
    st.floats(-20, 20),
    st.floats(0, 10),
)
@settings(max_examples=60, deadline=None)
def test_a_higher_confidence_never_reaches_a_lower_level(quantiles: list[float], value: float, more: float):
    own = np.tile(np.sort(quantiles), (2, 1))
    low, high = level_reached(own, np.array([value, value + more]), spread=1.0)
    assert np.isfinite([low, high]).all() and low <= high + 1e-12


def test_features_are_what_anybody_can_see_of_a_row():
    table = Table.from_rows(
        name="planted", texts=["Two words", "1 2 3 go!"], targets=[1, 0], label_names=("a", "b"),
        references=["x", "yy y"], synthetic=True,
    )  # fmt: skip
    features = features_of(table)
    assert features.shape == (2, 7 + 7 + 2)
    assert features[:, 0].tolist() == [2, 4] and features[:, -2:].tolist() == [[0, 1], [1, 0]]
    assert np.isclose(features[1, 4], 3 / 9) and np.isclose(features[1, 6], 1 / 9)
