"""Promises of a client's round: its steps are the plain ones, and FedProx's term is really in them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from federated.arrays import norm
from federated.local_training import seed_of, train_locally
from federated.options import LocalOptions
from federated.workbench import Workbench, training_options, workbench
from tests.federated.world import settings

LOCAL = LocalOptions(round=1, epochs=1, batch_size=8, learning_rate=0.05, optimizer="sgd", clip_norm=None, seed=3)


@pytest.fixture
def bench() -> Workbench:
    return workbench(settings())


def slow(bench: Workbench, client: int, mu: float, *, rate: float = 0.05) -> dict[str, np.ndarray]:
    """SGD by hand, with mu / 2 |w - w_global|^2 written out and left to autograd."""
    task, _ = bench.view(client)
    options = training_options(bench.federation, seed=seed_of(3, 1, client), batch_size=8)
    from core_model.batching import training_order

    order = training_order(task.training.lengths, 8, seed=options.seed, epoch=0)
    with bench.loaded(bench.shared) as model, torch.random.fork_rng():
        model.train()
        start = {name: p.detach().clone() for name, p in model.named_parameters()}
        for step, rows in enumerate(order):
            sequence = np.random.SeedSequence(options.seed, spawn_key=(step,))
            torch.manual_seed(int(sequence.generate_state(1, np.uint64)[0]))
            model.zero_grad()
            loss = task.loss(model, task.batch(task.training, rows), 0.0) / len(rows)
            distance = sum(((p - start[name]) ** 2).sum() for name, p in model.named_parameters())
            (loss + mu / 2 * distance).backward()
            with torch.no_grad():
                for p in model.parameters():
                    p.sub_(rate * p.grad)
        return {name: (p.detach() - start[name]).numpy().copy() for name, p in model.named_parameters()}


@pytest.mark.parametrize("mu", [0.0, 5.0])
def test_a_clients_steps_are_those_of_a_loop_written_by_hand(bench, mu):
    found = train_locally(bench, 1, bench.shared, LOCAL.model_copy(update={"proximal_mu": mu}))
    expected = slow(bench, 1, mu)
    assert found.steps == 2 and found.rows == 16 and found.proximal_mu == mu
    for name, array in expected.items():
        np.testing.assert_allclose(found.update[name], array, atol=2e-6)


def test_a_stronger_term_keeps_a_client_nearer():
    bench, many = workbench(settings()), LOCAL.model_copy(update={"epochs": 4})
    lengths = [
        norm(train_locally(bench, 0, bench.shared, many.model_copy(update={"proximal_mu": mu})).update)
        for mu in (0.0, 3.0, 12.0)
    ]
    assert lengths[0] > 1.05 * lengths[1] > 1.05**2 * lengths[2]


def test_a_round_depends_on_its_own_rows_and_seed_alone(bench):
    first = train_locally(bench, 2, bench.shared, LOCAL)
    train_locally(bench, 0, {name: array + 1 for name, array in bench.shared.items()}, LOCAL)
    again = train_locally(bench, 2, bench.shared, LOCAL)
    assert all(np.array_equal(first.update[name], again.update[name]) for name in first.update)
    other = train_locally(bench, 2, bench.shared, LOCAL.model_copy(update={"round": 2}))
    assert any(not np.array_equal(first.update[name], other.update[name]) for name in first.update)


def test_what_a_client_leaves_when_it_dies_in_a_step_does_not_reach_the_next(bench):
    first = train_locally(bench, 2, bench.shared, LOCAL)
    for parameter in bench.task.model.parameters():
        parameter.grad = torch.ones_like(parameter)  # between a backward pass and its step
    again = train_locally(bench, 2, bench.shared, LOCAL)
    assert all(np.array_equal(first.update[name], again.update[name]) for name in first.update)


def test_the_callers_random_numbers_are_left_alone(bench):
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    train_locally(bench, 0, bench.shared, LOCAL)
    assert torch.equal(torch.rand(3), expected)


def test_a_client_whose_loss_is_no_number_has_no_update(bench):
    from core_model.errors import OptionUnfit

    broken = {name: np.full_like(array, np.nan) for name, array in bench.shared.items()}
    with pytest.raises(OptionUnfit, match="training loss of client 1 is no number in round 1"):
        train_locally(bench, 1, broken, LOCAL)


def test_adapters_and_personal_heads_travel_without_the_rest():
    whole = workbench(settings()).shared
    adapted = workbench(settings(adapters=2)).shared
    assert all("lora" in name or "classifier" in name or "pooler" in name for name in adapted)
    assert sum(a.size for a in adapted.values()) < sum(a.size for a in whole.values()) / 2
    without = workbench(settings(personalize="head")).shared
    assert set(whole) - set(without) == {"classifier.weight", "classifier.bias"}
