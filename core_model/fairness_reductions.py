"""Fairness constraints by reduction: rows are weighed anew after each epoch, until the groups' rates agree.

A cost-sensitive classifier and the multipliers of the constraints play against each other: rows whose group is selected
too often cost more where they are selected; a row whose signed weight falls below 0 is trained under the other label.
The multipliers are raised by the constraints' violations (exponentiated gradient). Two classes only.

Source: Agarwal et al. 2018, arXiv:1803.02453, algorithm 1 and section 3; bound, step, slack: fairlearn's defaults.
Departure: one network is trained through all rounds and its last state is kept, a plain checkpoint, where the paper
retrains each round and answers with a random mixture of the classifiers. Its guarantee is for the mixture.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from core_model.fairness_penalty import SumOverProcesses
from core_model.objective import Backward, Listening, TaskLoss

if TYPE_CHECKING:
    from core_model.groups import Groups
    from core_model.mitigation_options import Parity

Array = np.ndarray

SLACK = 0.01  # violation that is allowed
BOUND = 100.0  # largest sum of the multipliers, 1 / SLACK
STEP = 2.0 / BOUND
FEW_ROUNDS = 4  # with fewer the multipliers have hardly moved


def by_event(cells: Array, kind: Parity) -> Array:
    """Counts by (group, label) summed into the constraint's events, (groups, events): one, or one a label."""
    return cells if kind == "equalized-odds" else cells.sum(axis=1, keepdims=True)


def signed_weights(counts: Array, net: Array, kind: Parity) -> Array:
    """What it is worth to answer 1 rather than 0, for a row of each group and label.

    Args:
        counts: (groups, 2) rows of each group and label.
        net: (groups, events) multipliers of positive less those of negative violations.
    Returns: (groups, 2) float64; below 0 the answer 0 is worth more. It is fairlearn's
        `ErrorRate().signed_weights() + constraints.signed_weights(multipliers)`, for a row of each cell.
    """
    share = by_event(counts, kind) / counts.sum()
    event, nothing = share.sum(axis=0), np.zeros_like(share)
    together = np.divide(net.sum(axis=0), event, out=np.zeros_like(event), where=event > 0)
    return np.array([-1.0, 1.0]) + (together - np.divide(net, share, out=nothing, where=share > 0))


def violations(counts: Array, selected: Array, kind: Parity) -> Array:
    """Each group's rate of the answer 1 minus that of all groups, (groups, events); 0 where a group has no row.

    Args:
        counts, selected: (groups, 2) rows seen of each group and label, and those of them answered with 1.
    """
    rows, chosen = by_event(counts, kind), by_event(selected, kind)
    own = np.divide(chosen, rows, out=np.zeros(rows.shape), where=rows > 0)
    every = np.divide(chosen.sum(axis=0), rows.sum(axis=0), out=np.zeros(rows.shape[1]), where=rows.sum(axis=0) > 0)
    return np.where(rows > 0, own - every, 0.0)


def multipliers(theta: Array, there: Array) -> Array:
    """(2, groups, events) multipliers of positive and negative violations: BOUND exp(theta) / (1 + sum exp(theta)).

    Args:
        theta: of the same shape. there: (groups, events) bool, where the group has rows.
    """
    theta = np.where(there, theta, -np.inf)
    shift = max(0.0, float(theta.max()))
    powers = np.exp(theta - shift)
    return np.asarray(BOUND * powers / (np.exp(-shift) + powers.sum()))


class Reductions:
    """The task's loss over rows that are weighed, and labelled, as the constraint asks.

    Args:
        targets: (rows,) labels of the training rows, 0 or 1.
        passes: how often a row goes through the model in a step.
        state: of an earlier session of the run, as `state` gave it.
    """

    def __init__(
        self, inner: TaskLoss, *, kind: Parity, groups: Groups, targets: Array, labels: tuple[str, ...],
        sum_over_processes: SumOverProcesses, passes: int = 1, state: Mapping[str, Any] | None = None,
    ) -> None:  # fmt: skip
        self.inner, self.kind, self.groups, self.labels = inner, kind, groups, labels
        self.sum_over_processes = sum_over_processes
        self.counts = np.zeros((len(groups.names), 2))
        np.add.at(self.counts, (groups.codes, targets), 1)
        self.there = by_event(self.counts, kind) > 0
        self.round_rows = passes * len(targets)  # a round is an epoch
        self.theta = np.zeros((2, *self.there.shape))
        self.seen, self.selected = np.zeros_like(self.counts), np.zeros_like(self.counts)
        self.rounds: list[float] = []
        if state is not None:
            self.theta, self.seen, self.selected = (np.array(state[name]) for name in ("theta", "seen", "selected"))
            self.rounds = list(state["rounds"])
        self.fresh = np.zeros((2, *self.counts.shape))  # of the step under way: rows, and those answered with 1
        self.weights = self._weights()

    def _weights(self) -> Array:
        """(groups, 2) signed weights whose sizes have mean 1 over the training rows."""
        positive, negative = multipliers(self.theta, self.there)
        signed = signed_weights(self.counts, positive - negative, self.kind)
        mean: float = (np.abs(signed) * self.counts).sum() / self.counts.sum()
        return signed / mean

    def backward(
        self, model: Any, batch: Mapping[str, torch.Tensor], *, rows: np.ndarray, weight: float, backward: Backward
    ) -> torch.Tensor:
        """See `Objective.backward`; the loss is that of the weighed rows."""
        targets, group = batch["targets"], torch.from_numpy(self.groups.codes[rows]).to(batch["targets"].device)
        signed = torch.from_numpy(self.weights).to(targets.device)[group, targets]
        own = batch["weights"] if "weights" in batch else torch.ones_like(signed)
        weighed = {**batch, "targets": (signed > 0).long(), "weights": (own * signed.abs()).float()}
        heard = Listening(model)
        with self.inner.precision():
            loss = self.inner.task.loss(heard, weighed, self.inner.label_smoothing)
        backward(loss * weight)
        if weight > 0:
            answers = heard.output.logits.argmax(dim=1).cpu().numpy()
            cells = (self.groups.codes[rows], targets.cpu().numpy())
            np.add.at(self.fresh[0], cells, 1)
            np.add.at(self.fresh[1], cells, answers)
        return loss.detach()

    def after_step(self) -> None:
        """Add the step's rows, those of all processes, to the round's; after a round, move the multipliers by it."""
        seen, selected = self.sum_over_processes(torch.from_numpy(self.fresh)).cpu().numpy()
        self.fresh = np.zeros_like(self.fresh)
        self.seen, self.selected = self.seen + seen, self.selected + selected
        if self.seen.sum() < self.round_rows:
            return
        violated = violations(self.seen, self.selected, self.kind)
        self.theta = self.theta + STEP * (np.stack([violated, -violated]) - SLACK)
        self.rounds.append(float(np.abs(violated).max()))
        self.seen, self.selected = np.zeros_like(self.seen), np.zeros_like(self.selected)
        self.weights = self._weights()

    def state(self) -> dict[str, Any]:
        """What a resumed run must know."""
        arrays = {"theta": self.theta, "seen": self.seen, "selected": self.selected}
        return {**{name: array.tolist() for name, array in arrays.items()}, "rounds": self.rounds}

    def record(self) -> dict[str, Any]:
        """What was done, for training_record.json: the violation of each round and the weights at the end."""
        return {
            "reductions": {
                "source": "Agarwal et al. 2018, arXiv:1803.02453, exponentiated gradient, last iterate",
                "constraint": self.kind,
                "column": self.groups.column,
                "groups": len(self.groups.names),
                "slack": SLACK,
                "bound": BOUND,
                "largest_violation_by_round": self.rounds,
                "cells": [
                    {
                        "group": name,
                        "label": self.labels[label],
                        "rows": int(self.counts[group, label]),
                        "signed_weight": float(self.weights[group, label]) if self.counts[group, label] else None,
                    }
                    for group, name in enumerate(self.groups.names)
                    for label in (0, 1)
                ],
            }
        }

    def notes(self) -> list[str]:
        """What a reader must know."""
        turned = int(self.counts[((self.weights > 0) != np.array([False, True])) & (self.counts > 0)].sum())
        other = f" At the end {turned:,} rows were trained under the other label." if turned else ""
        few = (
            " These are few rounds: with more --epochs the rates may come closer."
            if len(self.rounds) < FEW_ROUNDS
            else ""
        )
        return [
            f"Rows were weighed anew after each of {len(self.rounds)} epochs for {self.kind.replace('-', ' ')} by "
            f"{self.groups.column!r}.{few}{other} The training loss is that of the weighed rows; evaluation's is not."
        ]
