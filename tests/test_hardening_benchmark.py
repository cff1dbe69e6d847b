"""Promises of the benchmark of mends: differences are paired, on rows right in both, and of the right sign."""

from __future__ import annotations

import numpy as np

from audit.statistics import paired_difference_of_proportions
from benchmarks.hardening import Twin, figures_of


def rows(*ones: int) -> np.ndarray:
    """(10,) of bool, where these are true."""
    return np.isin(np.arange(10), ones)


def test_a_mend_is_held_against_the_plain_twin_row_by_row():
    plain = Twin(10.0, rows(0, 1, 2, 3, 4, 5, 6, 7), {"x": rows(*range(8))}, {"x": rows(0)})  # 7 of 8 fall
    mended = Twin(30.0, rows(0, 1, 2, 3, 4, 5, 8), {"x": rows(*range(1, 9))}, {"x": rows(1, 2, 3, 4, 8)})  # 3 of 8
    found = {figure.name: figure for figure in figures_of({"plain": plain, "mended": mended})}
    assert (found["plain_x_success"].value, found["mended_x_success"].value) == (0.875, 0.375)
    # Rows 1 to 7 are right in both: 4 of them stand in the mended twin, none in the plain one.
    assert found["mended_x_success_change"].value == round(-4 / 7, 3) and found["mended_x_success_change"].aim
    change = paired_difference_of_proportions(3, 0, 4, 0)
    assert f"{change.low:+.3f} to {change.high:+.3f}, n 7" in found["mended_x_success_change"].unit
    assert found["mended_x_accuracy_under_attack_change"].value == 0.4  # 5 of 10 against 1 of 10
    assert found["mended_accuracy_change"].value == -0.1
    assert not any(name.startswith("plain") and "change" in name for name in found)


def test_a_twin_that_was_asked_fewer_rows_is_paired_on_those():
    plain = Twin(1.0, rows(*range(10)), {"x": rows(*range(10))}, {"x": rows()})
    few = Twin(1.0, rows(0, 1)[:4], {"x": rows(*range(4))[:4]}, {"x": rows(0, 1)[:4]})
    found = {figure.name: figure for figure in figures_of({"plain": plain, "smoothed": few})}
    assert found["smoothed_accuracy_change"].value == -0.5
    assert found["smoothed_x_success_change"].value == -0.5 and "n 4" in found["smoothed_x_success_change"].unit


def test_noise_and_what_is_proven_are_paired_where_both_were_asked():
    plain = Twin(1.0, rows(0), noisy=rows(0, 1), proven=rows(0), balanced=0.5)
    mended = Twin(1.0, rows(0), noisy=rows(0, 1, 2, 3))
    found = {figure.name: figure for figure in figures_of({"plain": plain, "mended": mended})}
    assert found["plain_accuracy_with_typos"].value == 0.2 and found["mended_accuracy_with_typos_change"].value == 0.2
    change = paired_difference_of_proportions(2, 2, 0, 6)
    assert f"{change.low:+.3f} to {change.high:+.3f}, n 10" in found["mended_accuracy_with_typos_change"].unit
    assert found["plain_certified_accuracy_one_word"].value == 0.1
    assert found["plain_balanced_accuracy"].value == 0.5 and "mended_balanced_accuracy" not in found
    assert "mended_certified_accuracy_one_word_change" not in found


def test_a_twin_that_is_never_right_has_no_success_and_says_why():
    plain = Twin(1.0, rows(0), {"x": rows()}, {"x": rows()})
    [success] = [figure for figure in figures_of({"plain": plain}) if figure.name == "plain_x_success"]
    assert success.value is None and success.unit
