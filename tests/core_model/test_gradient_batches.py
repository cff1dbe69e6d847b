"""Promises of gradients in batches: the same as row by row, on any number of threads, and a step goes where it says."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from core_model.compression.turns import WARM_UP, seconds_in_turns
from core_model.gradient_batches import batch_gradients, step_down
from core_model.metrics import negative_log_likelihood
from core_model.prediction import Predictor
from core_model.prediction_forward import Forward, torch_threads
from tests.core_model.training_world import planted_table, tiny_base

BATCHES, ROWS = 4, 6


@pytest.fixture(scope="module")
def table():
    return planted_table(BATCHES * ROWS + 2, seed=5)


def taken(table, forward=None):
    return batch_gradients(forward or Forward(tiny_base(), "cpu"), table, batches=BATCHES, max_length=64)


def by_hand(table) -> np.ndarray:
    """Each row's gradient by transformers' own loss, one row at a time: (rows, parameters)."""
    model, tokenizer = tiny_base().load_model(), tiny_base().load_tokenizer()
    rows = []
    for text, target in zip(list(table.texts), table.targets, strict=True):
        model.zero_grad()
        model(**tokenizer(text, return_tensors="pt"), labels=torch.tensor([int(target)])).loss.backward()
        rows.append(torch.cat([p.grad.reshape(-1) for p in model.parameters()]).double().numpy())
    return np.array(rows)


def test_norms_and_products_are_those_of_a_slow_loop_over_rows(table):
    found = taken(table)
    assert found.rows == ROWS and not found.not_finite.any()
    slow = by_hand(table)[: BATCHES * ROWS].reshape(BATCHES, ROWS, -1).mean(axis=1)
    assert found.squares.sum(axis=1) == pytest.approx((slow**2).sum(axis=1), rel=1e-4)
    assert found.dots.sum(axis=1) == pytest.approx(slow @ slow.mean(axis=0), rel=1e-3, abs=1e-6)
    weights = sum(float((p.detach() ** 2).sum()) for p in tiny_base().load_model().parameters())
    assert found.weight_squares.sum() == pytest.approx(weights, rel=1e-5)


def test_threads_move_no_bit_and_parameters_are_frozen_again(table):
    forward = Forward(tiny_base(), "cpu")
    with torch_threads(2):
        one = taken(table, forward)
    assert not any(parameter.requires_grad for parameter in forward.model.parameters())
    other = taken(table)
    assert (one.squares == other.squares).all() and (one.dots == other.dots).all()


def test_a_step_is_as_long_as_it_says_and_lowers_the_loss_of_its_own_rows(table):
    forward = Forward(tiny_base(), "cpu")
    before = torch.cat([p.reshape(-1).clone() for p in forward.model.parameters()])
    assert step_down(forward, taken(table, forward), 1e-3)
    after = torch.cat([p.reshape(-1) for p in forward.model.parameters()])
    assert float((after - before).norm() / before.norm()) == pytest.approx(1e-3, rel=1e-2)
    stepped = Predictor(tiny_base(), cache=None)
    stepped.forward = forward
    losses = [
        negative_log_likelihood(one.predict(table.texts).logits, table.targets)[: BATCHES * ROWS].mean()
        for one in (stepped, Predictor(tiny_base(), cache=None))
    ]
    assert losses[0] < losses[1]


def test_sides_take_turns_and_are_timed_by_the_clock_that_was_named():
    time, called = [0.0], []

    def work(name: str, seconds: float) -> None:
        called.append(name)
        time[0] += seconds

    seconds = seconds_in_turns(lambda: work("a", 1.0), lambda: work("b", 3.0), rounds=2, clock=lambda: time[0])
    assert seconds.tolist() == [[1.0, 3.0], [1.0, 3.0]]
    assert called == ["a"] * WARM_UP + ["b"] * WARM_UP + ["a", "b", "b", "a"]
