"""Which objective a run minimizes: the task's loss, with the fairness constraint and the adversary asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from core_model.adversarial import FreeLB
from core_model.errors import OptionUnfit
from core_model.fairness_penalty import FairnessPenalty, SumOverProcesses
from core_model.fairness_reductions import Reductions
from core_model.input_embeddings import input_embeddings
from core_model.objective import Objective, TaskLoss

if TYPE_CHECKING:
    from core_model.tasks.classification import Classification
    from core_model.tasks.training_task import TrainingTask
    from core_model.training_options import TrainingOptions

Constraint = FairnessPenalty | Reductions


def constraint_of(
    options: TrainingOptions,
    task: TrainingTask,
    loss: TaskLoss,
    *,
    sum_over_processes: SumOverProcesses,
    state: Mapping[str, Any] | None,
) -> Constraint | None:
    """The fairness constraint around the task's loss; None where none was asked for.

    Args:
        state: of an earlier session of the run.
    Raises: OptionUnfit when the data have more than two classes and the constraint takes two.
    """
    if options.fairness_column is None:
        return None
    classifier = cast("Classification", task)  # other tasks are refused with the options
    groups = classifier.training.groups
    if groups is None:
        raise ValueError("prepare() of classification reads the fairness column")
    if options.fairness_penalty is not None:
        return FairnessPenalty(
            loss, kind=options.fairness_penalty, groups=groups, classes=len(task.labels),
            strength=options.fairness_weight, sum_over_processes=sum_over_processes, state=state,
        )  # fmt: skip
    if options.reductions is None:
        return None
    if len(task.labels) != 2:
        raise OptionUnfit(
            f"reductions = {options.reductions} takes two classes; there are {len(task.labels)}: "
            f"{', '.join(task.labels)}",
            mend=f"--fairness-penalty {options.reductions}, which takes any number",
        )
    return Reductions(
        loss, kind=options.reductions, groups=groups, targets=classifier.training.targets, labels=task.labels,
        sum_over_processes=sum_over_processes, passes=options.adversarial_steps if options.adversarial else 1,
        state=state,
    )  # fmt: skip


def objective_of(options: TrainingOptions, task: TrainingTask, inner: Objective) -> Objective:
    """The objective, with the adversary around it where one was asked for."""
    if options.adversarial is None:
        return inner
    return FreeLB(
        inner, embeddings=input_embeddings(task.model), steps=options.adversarial_steps,
        radius=options.adversarial_radius, step_size=step_size(options),
    )  # fmt: skip


def step_size(options: TrainingOptions) -> float:
    """By default 2.5 radii over all steps, so that the border can be reached from anywhere (Madry et al. 2018)."""
    return options.adversarial_step_size or 2.5 * options.adversarial_radius / options.adversarial_steps


def objective_record(options: TrainingOptions, constraint: Constraint | None) -> dict[str, Any]:
    """What was done in the loss, for training_record.json; empty where nothing was."""
    record = {} if constraint is None else constraint.record()
    if options.adversarial is not None:
        record["adversarial_training"] = {
            "source": "FreeLB: Zhu et al. 2020, arXiv:1909.11764",
            "steps": options.adversarial_steps,
            "radius": options.adversarial_radius,
            "step_size": step_size(options),
            "unit": "the norm of a row's embeddings",
        }
    return record
