"""Paired differences from evidence rows: equal to the two metrics' own values, and tighter than unpaired ones."""

from __future__ import annotations

import numpy as np
import pytest

from audit.comparison import conclusion, independent_difference
from audit.evidence import metric
from audit.paired_rows import Answers, PairedRows
from audit.statistics import Estimate

ROWS = 3000


@pytest.fixture(scope="module")
def rows() -> PairedRows:
    """B errs less often than A in group x, and as often in group y; mostly on the same rows."""
    random = np.random.default_rng(0)
    targets = random.integers(0, 2, ROWS)
    groups = np.where(random.random(ROWS) < 0.5, "x", "y")
    a_wrong = random.random(ROWS) < 0.3
    mended = a_wrong & (groups == "x") & (random.random(ROWS) < 0.5)
    b_wrong = a_wrong & ~mended

    def answers(wrong: np.ndarray) -> Answers:
        predicted = np.where(wrong, 1 - targets, targets)
        return Answers(predicted, np.where(predicted[:, None] == np.arange(2), 0.8, 0.2))

    return PairedRows(
        labels=("no", "yes"), targets=targets, groups={"g": groups}, a=answers(a_wrong), b=answers(b_wrong),
        selected=1, minimum_group_rows=30,
    )  # fmt: skip


def named(name: str, **slice_: str):
    return metric(name, Estimate(0.5, 0.4, 0.6, 10, "planted"), unit="share", better="higher", slice=slice_)


def by_hand(rows: PairedRows, name: str, which: str) -> float:
    """The metric of one side, by fairlearn and scikit-learn."""
    from fairlearn.metrics import demographic_parity_difference, equalized_odds_difference
    from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score, log_loss

    side = getattr(rows, which)
    sensitive = {"sensitive_features": rows.groups["g"]}
    return {
        "accuracy": lambda: accuracy_score(rows.targets, side.predicted),
        "balanced_accuracy": lambda: balanced_accuracy_score(rows.targets, side.predicted),
        "macro_f1": lambda: f1_score(rows.targets, side.predicted, average="macro"),
        "negative_log_likelihood": lambda: log_loss(rows.targets, side.probabilities),
        "demographic_parity_difference": lambda: demographic_parity_difference(
            rows.targets, side.predicted, **sensitive
        ),
        "equalized_odds_difference": lambda: equalized_odds_difference(rows.targets, side.predicted, **sensitive),
    }[name]()


@pytest.mark.parametrize(
    ("name", "slice_"),
    [
        ("accuracy", {}),
        ("balanced_accuracy", {}),
        ("macro_f1", {}),
        ("negative_log_likelihood", {}),
        ("demographic_parity_difference", {"by": "g"}),
        ("equalized_odds_difference", {"by": "g"}),
    ],
)
def test_the_difference_is_that_of_the_two_sides_by_other_libraries(rows, name, slice_):
    estimate = rows.difference(named(name, **slice_), np.random.default_rng(0))
    assert estimate.value == pytest.approx(by_hand(rows, name, "b") - by_hand(rows, name, "a"), abs=1e-9)
    assert estimate.low <= estimate.value <= estimate.high


def test_a_group_where_nothing_changed_shows_no_evidence_of_change(rows):
    estimate = rows.difference(named("accuracy", g="y"), np.random.default_rng(0))
    assert estimate.value == 0 and estimate.covers(0)
    assert conclusion(estimate, better="higher") == "no evidence of change"


def test_a_group_that_was_mended_is_better(rows):
    estimate = rows.difference(named("accuracy", g="x"), np.random.default_rng(0))
    assert conclusion(estimate, better="higher") == "better"
    assert conclusion(estimate, better="lower") == "worse"


def test_pairing_is_tighter_than_two_intervals_taken_as_independent(rows):
    def side(which: str):
        right = getattr(rows, which).predicted == rows.targets
        share = right.mean()
        arm = 1.96 * np.sqrt(share * (1 - share) / ROWS)
        return metric("accuracy", Estimate(share, share - arm, share + arm, ROWS, "Wald"), unit="share")

    unpaired = independent_difference(side("a"), side("b"))
    paired = rows.difference(named("accuracy"), np.random.default_rng(0))
    assert paired.high - paired.low < 0.7 * (unpaired.high - unpaired.low)


def test_what_the_rows_cannot_give_is_left_to_the_intervals(rows):
    assert rows.difference(named("energy_per_1000_inferences"), np.random.default_rng(0)) is None
    assert rows.difference(named("accuracy", other="z"), np.random.default_rng(0)) is None


def test_a_number_that_one_side_lacks_is_not_comparable():
    lacking = metric("accuracy", Estimate.absent("no labels"), unit="share")
    difference = independent_difference(lacking, named("accuracy"))
    assert difference.value is None and "not measured in A" in difference.reason
    assert conclusion(difference, better="higher") == "not comparable"
