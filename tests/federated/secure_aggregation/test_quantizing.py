"""The scale follows from the data, its error is measured, and nothing is clipped in silence."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from federated.secure_aggregation.errors import Refused
from federated.secure_aggregation.masking import Vector
from federated.secure_aggregation.quantizing import (
    MOST_LEVELS,
    Announcement,
    Scale,
    choose_scale,
    decode,
    encode,
    exponent_above,
    outliers,
)
from federated.secure_aggregation.settings import SecureSettings, range_under_noise


def announced(*pairs):
    return [Announcement(range_exponent=r, weight_exponent=w, metrics=("loss",)) for r, w in pairs]


def summed(updates, weights, scale, **metrics):
    total = Vector.zero(3 + len(scale.metrics), updates[0].size, scale.bits)
    for row, (update, weight) in enumerate(zip(updates, weights, strict=True)):
        total.add(encode(update, weight, {name: values[row] for name, values in metrics.items()}, scale))
    return decode(total, scale, len(updates))


@given(st.floats(2.0**-24, 1e30))
def test_announced_exponent_is_the_next_power_of_two(value):
    exponent = exponent_above(value)
    assert 2.0 ** (exponent - 1) < value <= 2.0**exponent or exponent == -24


def test_update_of_zeros_announces_the_finest_range():
    assert exponent_above(0.0) == -24


def test_scale_holds_the_largest_update_and_weight_of_all():
    scale = choose_scale(announced((-4, 7), (-2, 5), (-3, 10)), SecureSettings())
    assert (scale.clip_range, scale.max_weight, scale.bits, scale.metrics) == (0.25, 1024, 32, ("loss",))
    assert scale.levels == (2**32 - 1) // 3


def test_clipping_norm_replaces_what_clients_announce():
    settings_ = SecureSettings(clip_range=1.5, max_weight=500)
    scale = choose_scale([Announcement(None, None, ())] * 4, settings_)
    assert (scale.clip_range, scale.max_weight) == (1.5, 500)
    assert settings_.terms(1, 4).clip_range == 1.5  # so that clients are told not to announce


def test_modulus_widens_where_32_bits_would_miss_the_aim():
    few = choose_scale(announced(*[(0, 5)] * 5), SecureSettings())
    many = choose_scale(announced(*[(3, 5)] * 2000), SecureSettings())
    assert (few.bits, many.bits, many.levels) == (32, 64, MOST_LEVELS)
    # One large client makes the others' updates small numbers: finer levels are needed for the same error.
    assert choose_scale(announced((6, 20), *[(6, 0)] * 300), SecureSettings(aim=1e-7)).bits == 64


@pytest.mark.parametrize("cohort", [3, 50, 3000])
@pytest.mark.parametrize("bits", [32, 64])
def test_sum_of_the_largest_values_stays_below_the_modulus(cohort, bits):
    scale = choose_scale(announced(*[(0, 1)] * cohort), SecureSettings(modulus_bits=bits))
    assert scale.fits and scale.cohort * scale.levels <= 2**bits - 1
    assert not scale.model_copy(update={"cohort": 2**bits // scale.levels + 1}).fits


def test_client_refuses_a_scale_whose_sum_could_overflow():
    scale = Scale(clip_range=1, levels=2**31 - 1, bits=32, max_weight=1, cohort=5)
    with pytest.raises(Refused, match="do not fit into 32 bits"):
        encode(np.zeros(3, np.float32), 1, {}, scale)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_mean_is_exact_to_the_measured_error(data):
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    clients = data.draw(st.integers(2, 12))
    weights = [data.draw(st.integers(1, 5000)) for _ in range(clients)]
    updates = [(rng.standard_normal(40) * 10.0 ** rng.integers(-6, 1)).astype(np.float32) for _ in range(clients)]
    said = [
        Announcement(exponent_above(float(np.abs(u).max())), (w - 1).bit_length(), ())
        for u, w in zip(updates, weights, strict=True)
    ]
    scale = choose_scale(said, SecureSettings(modulus_bits=data.draw(st.sampled_from([None, 32, 64]))))
    found = summed(updates, weights, scale)
    exact = np.average(np.array(updates, np.float64), axis=0, weights=weights)
    error = np.abs(found.values / found.weight - exact).max()
    assert found.weight == sum(weights)
    assert error <= found.error_bound * (1 + 1e-6) + 1e-15
    assert found.error_rms <= found.error_bound + 1e-15


def test_root_mean_square_error_is_the_true_one():
    rng = np.random.default_rng(1)
    updates = [rng.uniform(-1, 1, 50_000).astype(np.float32) for _ in range(5)]
    scale = Scale(clip_range=1, levels=1000, bits=32, max_weight=10, cohort=5)
    found = summed(updates, [10, 7, 3, 9, 1], scale)
    exact = np.average(np.array(updates, np.float64), axis=0, weights=[10, 7, 3, 9, 1])
    rms = float(np.sqrt(np.mean((found.values / found.weight - exact) ** 2)))
    assert found.error_rms == pytest.approx(rms, rel=0.02)


@pytest.mark.parametrize(
    ("clients", "weight", "researched"),
    [(5, 250, 1.1e-5), (10, 10, 1.9e-4)],  # errors of Flower's own settings, measured on the same cases
)
def test_error_is_within_the_aim_where_flowers_settings_were_not(clients, weight, researched):
    rng = np.random.default_rng(2)
    updates = [(0.1 * rng.standard_normal(20_000)).astype(np.float32) for _ in range(clients)]
    exponent = max(exponent_above(float(np.abs(update).max())) for update in updates)
    scale = choose_scale(announced(*[(exponent, (weight - 1).bit_length())] * clients), SecureSettings())
    scale = scale.model_copy(update={"metrics": ()})
    found = summed(updates, [weight] * clients, scale)
    error = np.abs(found.values / found.weight - np.mean(np.array(updates, np.float64), axis=0)).max()
    assert error <= found.error_bound <= 1e-8 < researched


def test_values_outside_the_range_are_counted_and_refused():
    scale = Scale(clip_range=0.5, levels=1000, bits=32, max_weight=1, cohort=3)
    with pytest.raises(Refused, match=r"3 of 5 values lie outside ±0.5"):
        encode(np.array([0.1, 0.6, -0.7, np.nan, 0.5], np.float32), 1, {}, scale)
    with pytest.raises(Refused, match="2 examples, and the most is 1"):
        encode(np.zeros(5, np.float32), 2, {}, scale)


def test_metrics_are_weighted_means_and_too_large_ones_are_refused():
    scale = Scale(clip_range=1, levels=1000, bits=32, max_weight=100, cohort=3, metrics=("a", "b"))
    updates = [np.zeros(2, np.float32)] * 3
    found = summed(updates, [100, 1, 50], scale, a=[-2.5, 1e9, 0.25], b=[0.125, 0.5, 7.0])
    assert found.metrics["a"] == pytest.approx(np.average([-2.5, 1e9, 0.25], weights=[100, 1, 50]))
    assert found.metrics["b"] == pytest.approx(np.average([0.125, 0.5, 7.0], weights=[100, 1, 50]), abs=1e-6)
    for bad in (float("nan"), float("inf"), 1e30):
        with pytest.raises(Refused, match="too large to add up"):
            encode(updates[0], 1, {"a": bad, "b": 0.0}, scale)


def test_rounding_is_unbiased_repeatable_and_leaves_numpys_generator_alone():
    scale = Scale(clip_range=1, levels=10, bits=32, max_weight=1, cohort=3)
    values = np.full(100_000, 0.03, np.float32)  # between two levels, 15% of the way
    before = np.random.get_state()[1].copy()
    one, two = (encode(values, 1, {}, scale).body for _ in range(2))
    assert (np.random.get_state()[1] == before).all() and (one == two).all()
    assert float(one.mean()) * 0.2 - 1 == pytest.approx(0.03, abs=5 * 0.2 * 0.36 / 100_000**0.5)


def test_client_with_an_absurd_range_is_named_and_left_out():
    ranges = {1: -4, 2: -5, 3: -3, 4: 40, 5: 6}
    found = outliers({node: Announcement(r, 3, ()) for node, r in ranges.items()}, 1024)
    assert set(found) == {4} and "2^40" in found[4]


def test_range_under_noise_holds_clipped_updates_with_their_noise():
    rng = np.random.default_rng(3)
    bound = range_under_noise(0.5, noise_multiplier=1.1, shares=4)
    noise = rng.standard_normal(1_000_000) * 0.5 * 1.1 / 2
    assert np.abs(noise).max() + 0.5 < bound < 3
    assert range_under_noise(0.5) == 0.5
