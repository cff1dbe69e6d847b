"""What a finished run leaves: the checkpoint with the weights that were chosen, its adapters, and its record."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core_model.augmentation import noise_record
from core_model.checkpoint_loading import quiet
from core_model.files import publish_files, unwritable_letters, write_atomically
from core_model.training_record import NAME, TrainingRecord, describe_data, hashes, read_record, tool, versions

if TYPE_CHECKING:
    from core_model.adapters import Adapters
    from core_model.architectures import Architecture
    from core_model.checkpoint import Checkpoint
    from core_model.data import Table
    from core_model.tasks.training_task import TrainingTask
    from core_model.training_loop import Loop
    from core_model.training_options import TrainingOptions
    from core_model.training_plan import End
    from core_model.training_state import StateFolder

# What other commands say of weights; it would be false of the new ones.
CLAIMS = ("privacy.json", "federated_record.json")
ADAPTER_FOLDER = "adapter"


@dataclass(frozen=True)
class TrainingResult:
    """A trained checkpoint: its folder, and the record that lies in it."""

    path: Path
    record: TrainingRecord


def use_chosen_weights(loop: Loop) -> None:
    """Give the model the weights of the best evaluation, or the last ones, averaged where an average is kept."""
    if loop.average is not None:
        loop.average.put()
    if best := loop.position.best_step:
        loop.state.load_best(best, loop.task.model)


def final_record(
    options: TrainingOptions,
    loop: Loop,
    why: End,
    adapters: Adapters | None,
    data: Table,
    evaluation: Table | None,
    base: Checkpoint | None,
    architecture: Architecture | None,
) -> TrainingRecord:
    """Everything but the hashes of the files, which are not written yet."""
    from core_model.mitigation_objective import objective_record  # torch comes with it

    position, task = loop.position, loop.task
    chosen_step = position.best_step or position.step
    chosen = next(entry for entry in position.history if entry["step"] == chosen_step)
    last = why if why == "the last epoch" else "the last step"
    reason = "the lowest evaluation loss" if position.best_step else last
    energy = dict(position.energy or {})
    notes = [*task.notes, *(loop.constraint.notes() if loop.constraint is not None else ())]
    if position.killed_sessions:
        energy["detail"] += (
            f"; what {position.killed_sessions} killed sessions took after their last saved state is not counted"
        )
    if position.threads_changed:
        notes.append("It was resumed with another number of threads: the last bits of the weights may differ.")
    if base is None:
        started_from = None
    else:
        started_from = {"name": base.name, "sha256": base.sha256, "licence": base.licence, "head": task.head}
    return TrainingRecord(
        tool=tool(),
        task=options.task.value,
        base=started_from,
        architecture=architecture.model_dump(mode="json") if architecture is not None else None,
        labels=list(task.labels),
        parameters=adapters.parameters if adapters else sum(p.numel() for p in task.model.parameters()),
        trained_parameters=sum(p.numel() for p in task.model.parameters() if p.requires_grad),
        adapters=None if adapters is None else adapters.facts,
        data=describe_data(data, task.training),
        evaluation_data=describe_data(evaluation, task.evaluation) if evaluation and task.evaluation else None,
        options=options.model_dump(mode="json"),
        seed=options.seed,
        history=position.history,
        chosen={"epoch": chosen["epoch"], "step": chosen_step, "because": reason, "ended": why},
        evaluation=chosen["evaluation"],
        steps=position.step,
        examples_per_second=position.rows / position.training_seconds if position.training_seconds else None,
        seconds=loop.seconds,
        sessions=position.sessions,
        energy=energy,
        hardware={
            "device": loop.device.type,
            "dtype": str(loop.dtype).removeprefix("torch."),
            "threads": position.threads,
            "processes": loop.processes,
        },
        versions=versions(),
        mitigation={**task.mitigation, **noise_record(options), **objective_record(options, loop.constraint)},
        privacy=loop.method.record(),
        identity=dict(loop.identity),
        notes=notes,
    )


def publish(
    task: TrainingTask, adapters: Adapters | None, record: TrainingRecord, out: Path, state: StateFolder
) -> TrainingResult:
    """Write the checkpoint beside its place, then move it in; only then the state goes.

    Raises: OutputUnwritable; the state stands, and --resume does this again.
    """
    fresh = state.folder / "result"
    with unwritable_letters(out):
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True)
        with quiet():
            if adapters is not None:
                adapters.save(fresh / ADAPTER_FOLDER)
                adapters.merge()
            task.model.save_pretrained(fresh)
            task.tokenizer.save_pretrained(fresh)
    files = hashes(fresh)
    record = record.model_copy(update={"files": files, "model_sha256": files["model.safetensors"]})
    write_atomically(fresh / NAME, record.as_json())
    previous = read_record(out)
    obsolete = {*CLAIMS, *(_plain_names(previous.files) if previous else ())} - {*files, NAME}
    publish_files(fresh, out, last="config.json", obsolete=obsolete)
    state.remove()
    return TrainingResult(out, record)


def _plain_names(names: Any) -> Iterator[str]:
    """File names that stay inside the folder, whatever a record that came with it says."""
    for name in names:
        path = Path(name)
        if not path.is_absolute() and ".." not in path.parts:
            yield name
