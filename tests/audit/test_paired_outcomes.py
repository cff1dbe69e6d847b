"""Promises of paired outcomes: the same rows, attacked alike, or no pair at all."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from pytest import approx

from audit.evidence import metric
from audit.outcomes import OUTCOME, Outcome, as_columns, from_columns, refuse_unfit
from audit.paired_outcomes import PairedOutcomes, paired_outcomes
from audit.statistics import Estimate

SUCCESS = "attack_success_rate[attack=x]"


def named(name: str = "attack_success_rate", **part: str):
    estimate = Estimate(0.5, 0.4, 0.6, 10, "planted")
    return metric(name, estimate, unit="share", better="lower", slice=part or {"attack": "x"})


def side(rows, values, key: str = SUCCESS, protocol: str = "50 texts"):
    return {"security": {key: Outcome(np.asarray(rows), np.asarray(values), protocol)}}


def pair(a, b, **columns) -> PairedOutcomes:
    return PairedOutcomes(a, b, columns)


def said(joined: PairedOutcomes, line=None, audit: str = "security"):
    return joined.difference(audit, line or named(), np.random.default_rng(0))


def test_the_difference_is_newcombes_on_the_table_of_the_same_rows():
    # Newcombe 1998 (Stat. Med. 17:2635), table II: cells 36, 12, 2, 0; method 10 gives 0.0569 to 0.3404.
    both, only_b, only_a, neither = 36, 12, 2, 0
    a = [1] * both + [0] * only_b + [1] * only_a + [0] * neither
    b = [1] * both + [1] * only_b + [0] * only_a + [0] * neither
    found, reason = said(pair(side(range(50), a), side(range(50), b)))
    assert found.value == approx(0.2) and found.n == 50 and reason is None
    assert found.interval == approx((0.0569, 0.3404), abs=1e-4)


def test_a_twin_shows_no_change_and_still_has_an_interval():
    values = [0, 1, 1, 1, 0, 1, 1, 1]
    found, _ = said(pair(side(range(8), values), side(range(8), values)))
    assert found.value == 0 and found.low < 0 < found.high


def test_rows_that_only_one_model_got_right_are_left_out_and_counted():
    found, reason = said(pair(side(range(10), [1] * 10), side(range(2, 12), [0] * 10)))
    assert (found.value, found.n) == (-1.0, 8) and reason == "on the 8 rows that count in both"


def test_draws_that_hardly_meet_are_not_paired():
    found, reason = said(pair(side(range(10), [1] * 10), side(range(7, 17), [0] * 10)))
    assert found is None and reason == "3 rows count in both, of 10 in A and 10 in B: intervals combined"


def test_another_foe_is_not_compared_nor_is_any_number_of_that_attack():
    joined = pair(side(range(10), [1] * 10), side(range(10), [0] * 10, protocol="500 texts"))
    for line in (named(), named("queries_median"), named(attack="x", **{"class": "no"})):
        joined_with_classes = PairedOutcomes(joined.a, joined.b, {"class": np.array(["no"] * 10, dtype=object)})
        found, _ = said(joined_with_classes, line)
        assert found.value is None and found.reason == "measured otherwise: 50 texts in A, 500 texts in B"
    assert said(joined, named(attack="y")) == (None, None)


def test_a_part_of_the_data_is_made_from_the_rows_of_the_whole():
    groups, classes = np.array(["f", "m"] * 5), np.array(["yes"] * 4 + ["no"] * 6, dtype=object)
    a, b = side(range(10), [1] * 10), side(range(10), [0, 1] * 5)
    joined = pair(a, b, sex=groups, **{"class": classes})
    found, _ = said(joined, named(attack="x", sex="f"))
    assert (found.value, found.n) == (-1.0, 5)
    found, _ = said(joined, named(attack="x", **{"class": "yes"}))
    assert (found.value, found.n) == (-0.5, 4)
    assert said(joined, named(attack="x", age="old")) == (None, None)


def test_a_difference_of_differences_is_resampled_row_by_row():
    key = "accuracy_drop[noise=typos]"
    random = np.random.default_rng(0)
    a, b = random.integers(-1, 2, 400), random.integers(0, 2, 400)
    found, _ = said(pair(side(range(400), a, key), side(range(400), b, key)), named("accuracy_drop", noise="typos"))
    change = b - a
    assert found.value == approx(change.mean())
    assert found.high - found.low == approx(2 * 1.96 * change.std() / 20, rel=0.1)  # the normal approximation


def test_columns_of_the_evidence_file_hold_what_was_handed_on():
    outcomes = side([3, 0], [1, 0])
    columns, metadata = as_columns(outcomes, 4)
    frame = pd.DataFrame({name: column.to_pandas() for name, column in columns.items()})
    assert list(frame[f"{OUTCOME}security {SUCCESS}"].isna()) == [False, True, True, False]
    back = from_columns(frame, metadata)["security"][SUCCESS]
    assert back == Outcome(np.array([0, 3]), np.array([0, 1]), "50 texts")


def test_columns_of_a_foreign_file_that_are_no_outcomes_count_nowhere():
    frame = pd.DataFrame({f"{OUTCOME}security words": ["a", "b", "c"], f"{OUTCOME}security x": [1.0, 7.0, np.inf]})
    found = from_columns(frame, {})["security"]
    assert list(found) == ["x"] and list(found["x"].rows) == [0]


def test_classes_come_from_the_labels_of_the_rows():
    rows = pd.DataFrame({"target": [0, 1], "group sex": ["f", "m"]})
    joined = paired_outcomes({}, {}, rows, ["no", "yes"])
    assert list(joined.columns["class"]) == ["no", "yes"] and list(joined.columns["sex"]) == ["f", "m"]


@pytest.mark.parametrize(
    ("rows", "values", "key", "words"),
    [
        ([0, 1], [1, 0], "another", "no metric of this audit"),
        ([0, 0], [1, 0], SUCCESS, "rows come twice"),
        ([0, 4], [1, 0], SUCCESS, "not in the data"),
        ([0, 1], [1, 2], SUCCESS, "counts -1, 0 or 1"),
        ([0, 1], [1, np.nan], SUCCESS, "counts -1, 0 or 1"),
        ([0, 1], [1], SUCCESS, "2,\\) rows and \\(1,"),
    ],
)
def test_outcomes_that_cannot_be_are_refused(rows, values, key, words):
    with pytest.raises(ValueError, match=words):
        refuse_unfit({key: Outcome(np.array(rows), np.array(values))}, keys={SUCCESS}, rows=4)
