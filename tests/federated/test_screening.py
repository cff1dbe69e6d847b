"""Promises of screening: what cannot be added is refused with the reason, and one giant cannot move the limit."""

from __future__ import annotations

import numpy as np
import pytest

from federated.screening import Answer, fault_of, too_long

LIKE = {"weight": np.zeros((2, 3), np.float32), "bias": np.zeros(2, np.float32)}


def update(size: float = 1.0, **changes: np.ndarray) -> dict[str, np.ndarray]:
    return {name: np.full_like(array, size) for name, array in LIKE.items()} | changes


def answer(client: int, size: float) -> Answer:
    return Answer(client, f"client {client}", update(size), 10)


BAD = {
    "a missing array": ({"weight": LIKE["weight"]}, "lacks bias"),
    "a strange array": (update(extra=np.zeros(1, np.float32)), "has extra, which the model has not"),
    "another shape": (update(bias=np.zeros(3, np.float32)), "bias is (3,), the model's is (2,)"),
    "another type": (update(bias=np.zeros(2, np.float64)), "bias is float64"),
    "NaN": (update(bias=np.array([0, np.nan], np.float32)), "not finite: bias"),
    "infinity": (update(bias=np.array([0, -np.inf], np.float32)), "not finite: bias"),
}


@pytest.mark.parametrize("case", BAD)
def test_an_update_that_cannot_be_added_is_refused(case):
    given, why = BAD[case]
    assert why in (fault_of(given, LIKE) or "")


def test_a_sound_update_has_no_fault():
    assert fault_of(update(), LIKE) is None


def test_a_poisoned_update_of_huge_norm_is_set_aside_and_the_others_stay():
    answers = [*(answer(client, 0.9 + client / 10) for client in range(4)), answer(4, 1000.0)]
    sound, aside = too_long(answers, max_norm=None, outlier_factor=10)
    assert [a.client for a in sound] == [0, 1, 2, 3]
    assert aside[0].client == 4 and "more than 31" in aside[0].why and "median" in aside[0].why  # 10 x 1.1 x sqrt(8)


def test_honest_clients_of_different_lengths_all_stay():
    sound, aside = too_long([answer(c, 2.0**c) for c in range(5)], max_norm=None, outlier_factor=10)
    assert len(sound) == 5 and not aside


def test_of_two_nobody_can_say_who_is_the_outlier_but_a_limit_can():
    two = [answer(0, 1.0), answer(1, 1e6)]
    assert len(too_long(two, max_norm=None, outlier_factor=10)[0]) == 2
    sound, aside = too_long(two, max_norm=5.0, outlier_factor=10)
    assert [a.client for a in sound] == [0] and "--max-norm" in aside[0].why


def test_updates_that_change_nothing_are_no_outliers():
    assert not too_long([answer(c, 0.0) for c in range(3)], max_norm=None, outlier_factor=10)[1]
