"""Promises of the meter and of the pace: sums over sessions, unknown where a part is unknown."""

from __future__ import annotations

import pytest

from core_model.progress import Pace
from core_model.training_meter import Meter, total

PART = {
    "energy_kwh": 0.2, "emissions_kg": 0.1, "seconds": 5.0, "method": "measured", "detail": "RAPL", "reason": None,
    "parts_kwh": {"cpu": 0.15, "gpu": 0.0, "ram": 0.05}, "country": "DEU",
}  # fmt: skip


def test_sessions_add_up():
    summed = total([PART, {**PART, "energy_kwh": 0.3}])
    assert summed["energy_kwh"] == pytest.approx(0.5)
    assert summed["parts_kwh"]["cpu"] == pytest.approx(0.3)
    assert summed["seconds"] == 10
    assert summed["method"] == "measured"


def test_an_estimate_in_any_part_makes_the_sum_an_estimate():
    assert total([{**PART, "method": "estimated"}, PART])["method"] == "estimated"


def test_a_part_that_is_unknown_makes_the_sum_unknown_with_its_reason():
    broken = {**PART, "energy_kwh": None, "emissions_kg": None, "parts_kwh": None, "reason": "no meter"}
    summed = total([broken, PART])
    assert (summed["energy_kwh"], summed["parts_kwh"], summed["reason"]) == (None, None, "no meter")


def test_what_was_taken_is_kept_and_the_meter_goes_on():
    meter = Meter("WORLD", None)
    first = meter.take()
    last = meter.close()
    assert last["energy_kwh"] > first["energy_kwh"] > 0
    assert meter.close() == last  # closing twice changes nothing


def test_the_time_left_counts_training_and_evaluation():
    pace = Pace(rows_left=300, evaluation_rows_left=100)
    assert pace.seconds_left is None
    pace.trained(100, 10.0)
    assert pace.seconds_left == pytest.approx(20 + 100 * 0.1 / 3)  # a forward pass is a third of a step
    pace.evaluated(50, 1.0)
    assert pace.seconds_left == pytest.approx(20 + 1)
    assert pace.examples_per_second == pytest.approx(10)
