"""How good the global model is: on the server's own rows, and on each client's, where it may have a head of its own."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from core_model.errors import OptionUnfit
from federated.arrays import Update
from federated.workbench import Workbench

if TYPE_CHECKING:
    from core_model.tasks.training_task import TrainingTask


def evaluate_server(bench: Workbench, shared: Update) -> dict[str, Any] | None:
    """Mean of each measure over the server's rows, with n; None without such rows.

    Raises: OptionUnfit when the loss is no number.
    """
    return None if bench.task.evaluation is None else _evaluated(bench, bench.task, shared, None)


def evaluate_client(bench: Workbench, client: int, shared: Update, head: Update | None) -> dict[str, Any] | None:
    """The same over the rows that a client holds out; None where it holds none out."""
    task, _ = bench.view(client)
    return None if task.evaluation is None else _evaluated(bench, task, shared, head)


def _evaluated(bench: Workbench, task: TrainingTask, shared: Update, head: Update | None) -> dict[str, Any]:
    from core_model.training_evaluation import LossIsNoNumber, evaluate

    examples: Any = task.evaluation
    with bench.loaded(shared, head):
        try:
            return evaluate(
                task, examples, bench.options,
                accelerator=bench.process, precision=nullcontext, after=lambda rows, seconds: None,
            )  # fmt: skip
        except LossIsNoNumber:
            raise OptionUnfit(
                "the evaluation loss is no number: training diverged",
                mend=f"--learning-rate {bench.federation.learning_rate / 10:g}, into another --out",
            ) from None
