"""Promises of the schedule and the optimizer."""

from __future__ import annotations

import pytest
import torch

from core_model.optimization import build_optimizer, learning_rate


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_the_rate_falls_as_transformers_schedules_do(schedule):
    from transformers import get_scheduler

    steps, warmup = 40, 8
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.01)
    oracle = get_scheduler(schedule, optimizer, num_warmup_steps=warmup, num_training_steps=steps)
    for step in range(steps):
        if step >= warmup:
            rate = learning_rate(step, steps, peak=0.01, warmup=warmup, schedule=schedule)
            assert rate == pytest.approx(oracle.get_last_lr()[0])
        optimizer.step()
        oracle.step()


def test_the_inverse_square_root_is_that_of_transformers():
    """Theirs wastes its first step on a rate of 0, so that ours is theirs one step on."""
    from transformers import get_inverse_sqrt_schedule

    warmup = 8
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.01)
    oracle = get_inverse_sqrt_schedule(optimizer, num_warmup_steps=warmup + 1)
    for step in range(60):
        optimizer.step()
        oracle.step()
        rate = learning_rate(step, None, peak=0.01, warmup=warmup, schedule="inverse-sqrt")
        assert rate == pytest.approx(oracle.get_last_lr()[0])


def test_a_schedule_that_ends_needs_an_end():
    with pytest.raises(ValueError, match="number of steps"):
        learning_rate(9, None, peak=1.0, warmup=0, schedule="linear")


def test_the_rate_rises_from_its_first_step_and_no_step_is_wasted():
    rates = [learning_rate(step, 20, peak=1.0, warmup=4, schedule="linear") for step in range(20)]
    assert rates[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert min(rates) > 0


def test_a_run_of_one_step_trains():
    assert learning_rate(0, 1, peak=1.0, warmup=0, schedule="cosine") == 1.0


def test_biases_and_normalization_are_spared_the_decay():
    model = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.LayerNorm(4))
    optimizer = build_optimizer(model, weight_decay=0.1)
    decay = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    assert {name: decay[id(p)] for name, p in model.named_parameters()} == {
        "0.weight": 0.1, "0.bias": 0.0, "1.weight": 0.0, "1.bias": 0.0,
    }  # fmt: skip


@pytest.mark.parametrize(("name", "oracle"), [("adamw", torch.optim.AdamW), ("adam", torch.optim.Adam)])
def test_fused_optimizers_do_what_the_plain_ones_do(name, oracle):
    """The oracle is torch's own loop over parameters; the two differ in what weight decay is."""
    torch.manual_seed(0)
    start, gradients = torch.randn(7, 5), [torch.randn(7, 5) for _ in range(6)]
    ours, plain = torch.nn.Linear(5, 7, bias=False), torch.nn.Parameter(start.clone())
    with torch.no_grad():
        ours.weight.copy_(start)
    optimizer = build_optimizer(ours, name=name, weight_decay=0.3)
    slow = oracle([plain], lr=0.0, weight_decay=0.3, foreach=False, fused=False)
    for step, gradient in enumerate(gradients):
        for each, parameter in ((optimizer, ours.weight), (slow, plain)):
            each.param_groups[0]["lr"] = 0.1 / (step + 1)
            parameter.grad = gradient.clone()
            each.step()
    assert torch.allclose(ours.weight, plain, atol=1e-6)


def test_what_is_frozen_is_no_business_of_the_optimizer():
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 2))
    model[0].requires_grad_(False)
    known = {id(p) for group in build_optimizer(model, weight_decay=0.1).param_groups for p in group["params"]}
    assert known == {id(p) for p in model[1].parameters()}


def test_the_second_moment_forgets_as_fast_as_it_is_told():
    import torch

    model = torch.nn.Linear(2, 1)
    optimizer = build_optimizer(model, weight_decay=0.0, beta2=0.5)
    for gradient in (1.0, 3.0):
        for parameter in model.parameters():
            parameter.grad = torch.full_like(parameter, gradient)
        optimizer.step()
    squares = optimizer.state[model.weight]["exp_avg_sq"]
    assert torch.allclose(squares, torch.full_like(squares, 0.5 * (0.5 * 1.0) + 0.5 * 9.0))
