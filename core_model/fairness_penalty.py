"""A penalty for answers that go by the group: the loss grows with the variance of groups' mean probabilities.

    V = sum over groups g of n_g / n * sum over classes c of (mean of p_c in g - mean of p_c)^2

Demographic parity takes the means over all rows; equalized odds takes them among the rows of each label, and adds the
labels' V up by their shares. Minimized is loss + weight * V. A gap of batch means as a term of the loss is that of
Padala and Gujar 2020, arXiv:1811.00265; the square makes V smooth at 0 and lets several groups and classes have it.

A batch holds few rows of a group, or none, so the square of its own gap would mostly be noise. As in stochastic
compositional gradient descent (Wang, Fang and Liu 2017, arXiv:1411.3803) the inner means are running ones, and the
gradient is that of 2 * (running gap) * p for each row: were the means those of the batch, it would be V's own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import torch

from core_model.objective import Backward, Listening, TaskLoss

if TYPE_CHECKING:
    import numpy as np

    from core_model.groups import Groups
    from core_model.mitigation_options import Parity

MEMORY = 256.0  # rows: means reach about so far back
SumOverProcesses = Callable[[torch.Tensor], torch.Tensor]


class FairnessPenalty:
    """The task's loss and `strength` times the variance between groups.

    Args:
        kind: "demographic-parity", or "equalized-odds": among the rows of each label.
        groups: of the training rows.
        classes: of the classifier.
        sum_over_processes: adds a tensor up over the processes of the run.
        state: of an earlier session of the run, as `state` gave it.
    """

    def __init__(
        self, inner: TaskLoss, *, kind: Parity, groups: Groups, classes: int, strength: float,
        sum_over_processes: SumOverProcesses, state: Mapping[str, Any] | None = None,
    ) -> None:  # fmt: skip
        self.inner, self.kind, self.groups, self.strength = inner, kind, groups, strength
        self.sum_over_processes = sum_over_processes
        self.events = classes if kind == "equalized-odds" else 1
        # Of each event and group: the sum of each class's probability, and in the last place the number of rows.
        self.sums = torch.zeros(self.events, len(groups.names), classes + 1, dtype=torch.float64)
        if state is not None:
            self.sums = torch.tensor(state["sums"], dtype=torch.float64)
        self.fresh = torch.zeros_like(self.sums)  # of the step under way

    def backward(
        self, model: Any, batch: Mapping[str, torch.Tensor], *, rows: np.ndarray, weight: float, backward: Backward
    ) -> torch.Tensor:
        """See `Objective.backward`; returned is the task's loss without the penalty."""
        heard = Listening(model)
        with self.inner.precision():
            loss = self.inner.task.loss(heard, batch, self.inner.label_smoothing)
        probabilities = heard.output.logits.float().softmax(dim=1)
        targets = batch["targets"]
        event = targets if self.events > 1 else torch.zeros_like(targets)
        group = torch.from_numpy(self.groups.codes[rows]).to(targets.device)
        pull = 2 * self.gaps().to(probabilities)[event, group]  # (rows, classes)
        if weight > 0:
            self._count(probabilities.detach(), event, group)
        backward((loss + self.strength * (pull * probabilities).sum()) * weight)
        return loss.detach()

    def _count(self, probabilities: torch.Tensor, event: torch.Tensor, group: torch.Tensor) -> None:
        ones = torch.ones_like(probabilities[:, :1])
        values = torch.cat([probabilities, ones], dim=1).double()
        self.fresh = self.fresh.to(values).index_put((event, group), values, accumulate=True)

    def after_step(self) -> None:
        """The rows of the step that is done, those of all processes, join the running means."""
        fresh = self.sum_over_processes(self.fresh)
        self.sums = self.sums.to(fresh) * math.exp(-float(fresh[..., -1].sum()) / MEMORY) + fresh
        self.fresh = torch.zeros_like(self.sums)

    def gaps(self) -> torch.Tensor:
        """Each group's mean probability minus that of all groups, (events, groups, classes); 0 without rows."""
        sums, rows = self.sums[..., :-1], self.sums[..., -1:]
        overall = sums.sum(dim=1, keepdim=True) / rows.sum(dim=1, keepdim=True).clamp_min(1e-12)
        return torch.where(rows > 0, sums / rows.clamp_min(1e-12) - overall, 0.0)

    def state(self) -> dict[str, Any]:
        """What a resumed run must know."""
        return {"sums": self.sums.tolist()}

    def record(self) -> dict[str, Any]:
        """What was done, for training_record.json; `variance_at_the_end` is V over the last rows trained on."""
        rows = self.sums[..., -1]
        variance = float(((rows / rows.sum())[..., None] * self.gaps() ** 2).sum())
        return {
            "fairness_penalty": {
                "source": "variance of groups' mean probabilities; Padala and Gujar 2020, arXiv:1811.00265, with "
                "running means as in Wang, Fang and Liu 2017, arXiv:1411.3803",
                "constraint": self.kind,
                "column": self.groups.column,
                "groups": len(self.groups.names),
                "weight": self.strength,
                "variance_at_the_end": variance,
                "rows_behind_it": float(rows.sum()),
            }
        }

    def notes(self) -> list[str]:
        """What a reader must know."""
        return [
            f"The loss holds a penalty for {self.kind.replace('-', ' ')} by {self.groups.column!r} (weight "
            f"{self.strength:g}). It acts on probabilities; audits count decisions. The training loss in the history "
            "is without it."
        ]
