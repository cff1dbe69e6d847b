"""One client, one round: the global model goes in, the client's update comes out.

The steps are the trainer's own (`core_model.training_step`): `GradientStep`, or what `federated.record_privacy` puts
in its place. FedProx adds mu / 2 |w - w_global|^2 to the loss of each step, whose gradient is mu (w - w_global); it is
added here, where the gradients are, and the client's proof says so.

Source: McMahan et al. 2017, arXiv:1602.05629 (FedAvg); Li et al. 2020, arXiv:1812.06127 (FedProx).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from core_model.errors import OptionUnfit
from federated.arrays import Update, head_parameters, shared_parameters, subtract
from federated.options import LocalOptions
from federated.workbench import Workbench, training_options

if TYPE_CHECKING:
    import torch

    from core_model.objective import Backward, Objective
    from core_model.tasks.training_task import TrainingTask
    from core_model.training_options import TrainingOptions
    from core_model.training_step import StepMethod

MakeStep = Callable[["TrainingOptions", "TrainingTask", Any, "torch.optim.Optimizer"], "StepMethod"]


@dataclass(frozen=True)
class LocalResult:
    """What a client has learnt.

    Attributes:
        update: local minus global, of the shared parameters.
        head: the client's own head after the round; empty where heads are shared.
        rows: rows that it learns from.
        steps: optimizer steps done.
        loss: mean training loss per unit, over the round's steps.
        proximal_mu: of the proximal term whose gradient was added in each of these steps.
    """

    update: Update
    head: Update
    rows: int
    steps: int
    loss: float
    seconds: float
    proximal_mu: float


class Proximal:
    """An objective, and mu / 2 |w - w_global|^2 beside it (see `core_model.objective.Objective`)."""

    def __init__(self, objective: Objective, model: torch.nn.Module, mu: float) -> None:
        self.objective, self.mu, self.steps = objective, mu, 0
        self.precision = getattr(objective, "precision", nullcontext)
        self.anchored = [(p, p.detach().clone()) for p in model.parameters() if p.requires_grad]

    def backward(self, model: Any, batch: Any, *, rows: np.ndarray, weight: float, backward: Backward) -> torch.Tensor:
        """See `Objective.backward`; a step is one batch here, so that the term enters it once."""
        loss = self.objective.backward(model, batch, rows=rows, weight=weight, backward=backward)
        for parameter, anchor in self.anchored:
            if parameter.grad is not None:
                parameter.grad.add_(parameter.detach() - anchor, alpha=self.mu)
        self.steps += 1
        return loss


def train_locally(
    bench: Workbench, client: int, start: Update, local: LocalOptions, *, head: Update | None = None,
    make_step: MakeStep | None = None,
) -> LocalResult:  # fmt: skip
    """Train on one client's rows, from the global model.

    Args:
        start: the shared parameters.
        head: the client's own, where it has one.
        make_step: in the place of `GradientStep`.
    Raises: OptionUnfit when the loss is no number: the client then has no update.
    """
    import torch

    from core_model.objective import TaskLoss
    from core_model.training_step import GradientStep

    task, mine = bench.view(client)
    begun = time.perf_counter()
    options = training_options(
        bench.federation, seed=seed_of(local.seed, local.round, client), batch_size=local.batch_size,
        learning_rate=local.learning_rate, weight_decay=local.weight_decay, clip_norm=local.clip_norm,
        epochs=local.epochs, max_steps=local.steps,
    )  # fmt: skip
    with bench.loaded(start, head) as model, torch.random.fork_rng():
        optimizer = _optimizer(model, local)
        objective: Any = TaskLoss(task, label_smoothing=options.label_smoothing, precision=nullcontext)
        if local.proximal_mu and make_step is None:
            objective = Proximal(objective, model, local.proximal_mu)
        method = (make_step or GradientStep)(options, task, bench.process, optimizer)
        term: Any = getattr(method, "proximal", objective)  # what adds the term says in how many steps it did
        method.begin(0)
        loss, units, steps = _steps(method, objective, options, model)
        if not math.isfinite(loss):
            raise OptionUnfit(
                f"the training loss of client {client} is no number in round {local.round}",
                mend=f"--learning-rate {local.learning_rate / 10:g}",
            )
        return LocalResult(
            update=subtract(shared_parameters(model, local.personalize), start),
            head=head_parameters(model) if local.personalize else {},
            rows=len(mine.training),
            steps=steps,
            loss=loss / max(units, 1),
            seconds=time.perf_counter() - begun,
            proximal_mu=term.mu if getattr(term, "steps", None) == steps else 0.0,
        )


def _steps(
    method: StepMethod, objective: Any, options: TrainingOptions, model: torch.nn.Module
) -> tuple[float, int, int]:
    """Every step of the round; returns the summed loss, the units it was summed over, and the steps."""
    import torch

    from core_model.training_plan import Plan

    plan = Plan(options, method.steps_per_epoch)
    losses, counted = [], 0
    model.train()
    order: Any = []
    for step in range(plan.steps or 0):
        epoch, within = divmod(step, method.steps_per_epoch)
        if within == 0:
            order = method.order(epoch)
        _seed_step(options.seed, step, next(model.parameters()).device)
        for group in method.optimizer.param_groups:
            group["lr"] = options.learning_rate
        loss, units = method.gradients(order[within], objective, epoch=epoch)
        method.update(loss)
        losses.append(loss.double())
        counted += units
    return float(torch.stack(losses).sum()), counted, len(losses)


def _seed_step(seed: int, step: int, device: torch.device) -> None:
    """A seed of its own for each step, whatever came before it."""
    import torch

    own = int(np.random.SeedSequence(seed, spawn_key=(step,)).generate_state(1, np.uint64)[0])
    # Not torch.manual_seed: where there is no GPU it keeps each seed, with a stack trace, for the day one comes.
    torch.default_generator.manual_seed(own)
    if device.type != "cpu":
        torch.get_device_module(device).manual_seed(own)


def seed_of(seed: int, server_round: int, client: int) -> int:
    """A seed of its own for each client and round."""
    return int(np.random.SeedSequence(seed, spawn_key=(server_round, client)).generate_state(1)[0])


def _optimizer(model: torch.nn.Module, local: LocalOptions) -> torch.optim.Optimizer:
    """New in each round, as in FedAvg: what an optimizer remembers of a client would tell of its rows."""
    import torch

    from core_model.optimization import build_optimizer

    if local.optimizer == "sgd":
        trained = [p for p in model.parameters() if p.requires_grad]
        return torch.optim.SGD(trained, lr=local.learning_rate, weight_decay=local.weight_decay, fused=True)
    return build_optimizer(model, name=local.optimizer, weight_decay=local.weight_decay)
