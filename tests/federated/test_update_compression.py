"""Promises of compression: what is sent is what a slow loop sends, nothing is lost for good, and bytes are few."""

from __future__ import annotations

import numpy as np
import pytest

from core_model.errors import OptionUnfit
from federated.arrays import Update, add, to_record
from federated.departure import COMPRESSED
from federated.options import FederationOptions
from federated.update_compression import Malformed, Packed, compress, decompress, refuse_unfit

METHODS = ("int8", "top-k:0.05")


def update_of(seed: int = 0) -> Update:
    random = np.random.default_rng(seed)
    return {
        "weight": random.normal(size=(40, 30)).astype(np.float32),
        "zero": np.zeros(7, dtype=np.float32),
        "scalar": np.array(random.normal(), dtype=np.float32),
        "bias": (1e-4 * random.normal(size=30)).astype(np.float32),
    }


def test_int8_is_what_a_slow_loop_rounds():
    update = update_of()
    packed, _ = compress(update, "int8", {})
    sent = decompress(packed, "int8", like=update)
    for name, array in update.items():
        step = float(np.abs(array).max()) / 127
        for number, told in zip(array.ravel(), sent[name].ravel(), strict=True):
            assert told == pytest.approx(round(float(number) / step) * step if step else 0.0, rel=1e-5, abs=1e-12)
            assert abs(told - number) <= step / 2 * (1 + 1e-5)


def test_top_k_sends_the_largest_numbers_of_all_arrays_and_no_others():
    update = update_of()
    packed, _ = compress(update, "top-k:0.05", {})
    sent = decompress(packed, "top-k:0.05", like=update)
    flat, told = (np.concatenate([a.ravel() for a in u.values()]) for u in (update, sent))
    kept = np.argsort(-np.abs(flat))[:62]  # 0.05 of 1,238, rounded up
    assert set(np.flatnonzero(told)) == set(kept)
    assert np.array_equal(told[kept], flat[kept])


@pytest.mark.parametrize("method", METHODS)
def test_what_was_sent_and_what_is_kept_is_all_there_was(method: str):
    """sum of sent + feedback = sum of updates: what is dropped now is sent later (Stich et al. 2018, section 2)."""
    feedback: Update = {}
    sent_so_far = wanted_so_far = {name: np.zeros_like(array) for name, array in update_of().items()}
    for number in range(30):
        update = update_of(number)
        packed, feedback = compress(update, method, feedback)
        sent_so_far = add(sent_so_far, decompress(packed, method, like=update))
        wanted_so_far = add(wanted_so_far, update)
    for name, wanted in wanted_so_far.items():
        assert sent_so_far[name] + feedback[name] == pytest.approx(wanted, abs=1e-4)


def beznosikov(rounds: int, *, with_feedback: bool) -> float:
    """Distance to the optimum in Beznosikov et al. 2020 (arXiv:2002.12410), example 1: three clients, top-1 of 3.

    f_k(x) = <a_k, x>^2 + |x|^2 / 4 with a = (-3, 2, 2), (2, -3, 2), (2, 2, -3); the optimum of the mean is 0.
    """
    directions = np.array([[-3.0, 2, 2], [2, -3, 2], [2, 2, -3]])
    x, rate = np.ones(3), 0.01
    kept: list[Update] = [{}, {}, {}]
    for _ in range(rounds):
        steps = []
        for client, a in enumerate(directions):
            step = {"x": (-rate * (2 * (a @ x) * a + x / 2)).astype(np.float32)}
            packed, lost = compress(step, "top-k:0.3", kept[client])
            kept[client] = lost if with_feedback else {}
            steps.append(decompress(packed, "top-k:0.3", like=step)["x"])
        x = x + np.mean(steps, axis=0)
    return float(np.linalg.norm(x))


def test_training_converges_with_feedback_and_diverges_without():
    # Without it the paper's example grows by (1 + 11 rate / 6) in each round, from sqrt(3).
    assert beznosikov(200, with_feedback=False) == pytest.approx(np.sqrt(3) * (1 + 11 * 0.01 / 6) ** 200, rel=0.01)
    assert beznosikov(2000, with_feedback=True) < 0.01


def bytes_of(record: object) -> int:
    from flwr.app import ArrayRecord, RecordDict
    from flwr.common.serde import recorddict_to_proto

    assert isinstance(record, ArrayRecord)
    return recorddict_to_proto(RecordDict({COMPRESSED: record})).ByteSize()


def test_bytes_as_they_are_sent_are_a_quarter_and_a_sixtieth():
    from flwr.app import Array, ArrayRecord

    random = np.random.default_rng(0)
    update = {f"layer.{i}": random.normal(size=(200, 200)).astype(np.float32) for i in range(10)}
    plain = bytes_of(to_record(update))
    sizes = {}
    for method in ("int8", "top-k:0.01"):
        packed, _ = compress(update, method, {})
        sizes[method] = bytes_of(ArrayRecord({name: Array(array) for name, array in packed.items()}))
    assert plain / sizes["int8"] > 3.9
    assert plain / sizes["top-k:0.01"] > 60


def test_a_model_with_far_places_keeps_them():
    update = {"w": np.zeros(200_000, dtype=np.float32)}
    update["w"][[3, 199_999]] = 1.0
    packed, _ = compress(update, "top-k:0.00001", {})
    assert np.array_equal(decompress(packed, "top-k:0.00001", like=update)["w"], update["w"])


def planted() -> dict[str, tuple[str, Packed]]:
    int8, _ = compress(update_of(), "int8", {})
    top, _ = compress(update_of(), "top-k:0.05", {})
    return {
        "missing": ("int8", {"values": int8["values"]}),
        "too few": ("int8", {**int8, "values": int8["values"][:-1]}),
        "wrong type": ("int8", {**int8, "values": int8["values"].astype(np.float64)}),
        "two-dimensional": ("int8", {**int8, "values": int8["values"][None]}),
        "scales that are no numbers": ("int8", {**int8, "scales": int8["scales"] * np.float32(np.nan)}),
        "places beyond the model": ("top-k:0.05", {**top, "places": top["places"] + np.uint16(60_000)}),
        "one place twice": ("top-k:0.05", {**top, "places": top["places"] * np.uint16(0)}),
        "nothing": ("top-k:0.05", {name: array[:0] for name, array in top.items()}),
    }


@pytest.mark.parametrize("name", planted())
def test_what_is_no_compressed_update_is_refused(name: str):
    method, packed = planted()[name]
    with pytest.raises(Malformed):
        decompress(packed, method, like=update_of())


def test_masks_and_compression_do_not_go_together():
    with pytest.raises(OptionUnfit, match="masks cancel only"):
        refuse_unfit(FederationOptions(clients=4, compress="int8", secure=True))
