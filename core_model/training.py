"""Training: from a base checkpoint, or from scratch, to a standard Hugging Face folder with its record.

    result = train(
        TrainingOptions(epochs=3), base=open_checkpoint("encoder"), data=open_table("train.jsonl"), out="classifier"
    )
    result.record.evaluation, result.record.model_sha256

The same options, data and base give the same weights, also when the run was killed on the way and resumed.
"""

from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from core_model.augmentation import noise_record
from core_model.checkpoint_loading import quiet
from core_model.errors import OptionUnfit, OutputUnwritable
from core_model.files import publish_files, unwritable_letters, writable_folder, write_atomically
from core_model.mitigation import terms_sha256
from core_model.progress import Progress, Tell
from core_model.tasks.training_task import TrainingTask, preparer
from core_model.training_meter import Meter
from core_model.training_options import TrainingOptions
from core_model.training_record import NAME, TrainingRecord, describe_data, hashes, read_record, tool, versions
from core_model.training_state import Position, StateFolder, refuse_other_run

if TYPE_CHECKING:
    import torch
    from accelerate import Accelerator

    from core_model.architectures import Architecture
    from core_model.checkpoint import Checkpoint
    from core_model.data import Table
    from core_model.training_loop import Loop

# What other commands say of weights; it would be false of the new ones.
CLAIMS = ("privacy.json", "federated_record.json")


@dataclass(frozen=True)
class TrainingResult:
    """A trained checkpoint: its folder, and the record that lies in it."""

    path: Path
    record: TrainingRecord


def train(
    options: TrainingOptions,
    *,
    data: Table,
    out: str | Path,
    base: Checkpoint | None = None,
    architecture: Architecture | None = None,
    evaluation: Table | None = None,
    resume: bool = False,
    progress: Tell | None = None,
) -> TrainingResult:
    """Train a model and leave it in `out`.

    Args:
        data: the training rows, with labels; opened with the group column that `options.reweigh` names.
        evaluation: rows for the evaluation after each epoch, never trained on.
        base, architecture: what is fine-tuned, or the shape of what is built from scratch; one of the two.
        resume: take up the run that was interrupted in `out`; begin it where there is none, and do nothing where it
            is already done.
        progress: told how far it has come, a few times a second.
    Raises: BadInput of every kind, before the first step where it can be known: OptionUnfit, LabelsUnfit, TaskUnfit,
        OutputUnwritable ...; OptionUnfit when the loss is no number any more; KeyboardInterrupt after Ctrl-C, with
        the state saved.
    """
    out, tell = Path(out), progress or (lambda said: None)
    options = _checked(options, base=base, architecture=architecture, evaluation=evaluation)
    state = StateFolder(out)
    dtype, accelerator = _device(options)
    identity = {
        **_identity(options, data, evaluation, base, architecture),
        "dtype": str(dtype).removeprefix("torch."),
        "processes": accelerator.num_processes,
    }
    if done := _already_done(out, state, identity, base, resume=resume):
        return done
    with _repeatable():
        task = preparer(options.task)(options, base=base, architecture=architecture, data=data, evaluation=evaluation)
        writable_folder(out)
        loop, meter = _loop(options, task, accelerator, state, identity, dtype, tell, resume=resume)
        try:
            why = loop.run()
            if accelerator.is_main_process:
                loop.position.energy = meter.close()
                if why_best := loop.position.best_step:
                    state.load_best(why_best, task.model)
                record = _record(options, task, loop, why, data, evaluation, base, architecture)
                result = _publish(task, record, out, state)
            accelerator.wait_for_everyone()
        finally:
            meter.close()
    if not accelerator.is_main_process:
        return TrainingResult(out, TrainingRecord.model_validate_json((out / NAME).read_text(encoding="utf-8")))
    tell(Progress("done", loop.position.step, loop.steps, options.epochs, options.epochs))
    return result


def _checked(
    options: TrainingOptions, *, base: Checkpoint | None, architecture: Architecture | None, evaluation: Table | None
) -> TrainingOptions:
    if (base is None) == (architecture is None):
        raise OptionUnfit(
            "there is both a base and an architecture" if base else "there is neither a base nor an architecture",
            mend="--base CKPT to fine-tune, or --base none --architecture FILE.toml to begin from scratch",
        )
    if options.early_stopping is not None and evaluation is None:
        raise OptionUnfit(
            "early stopping watches the evaluation loss, and there are no evaluation rows", mend="--eval-data FILE"
        )
    return options.resolved(from_scratch=base is None)


def _device(options: TrainingOptions) -> tuple[torch.dtype, Accelerator]:
    """What to compute in, and where: Accelerate knows the device and the other processes (`torchrun`)."""
    import torch
    from accelerate import Accelerator

    # Without `cpu`, Accelerate takes the processes that torchrun starts on a machine without a GPU for strangers.
    accelerator = Accelerator(cpu=not torch.accelerator.is_available())
    able = accelerator.device.type == "cuda" and torch.cuda.is_bf16_supported()
    bf16 = options.precision == "bf16" or (options.precision == "auto" and able)
    return (torch.bfloat16 if bf16 else torch.float32), accelerator


def _identity(
    options: TrainingOptions,
    data: Table,
    evaluation: Table | None,
    base: Checkpoint | None,
    architecture: Architecture | None,
) -> dict[str, Any]:
    """What two sessions must share to be one run."""
    return {
        **options.that_change_weights(),
        "identity_terms_sha256": terms_sha256(options),
        "data_sha256": data.sha256,
        "text_column": data.text_column,
        "pair_column": data.pair_column,
        "label_column": data.label_column,
        "evaluation_data_sha256": evaluation.sha256 if evaluation is not None else None,
        "base_sha256": base.sha256 if base is not None else None,
        "architecture": architecture.model_dump(mode="json") if architecture is not None else None,
    }


def _already_done(
    out: Path, state: StateFolder, identity: dict[str, Any], base: Checkpoint | None, *, resume: bool
) -> TrainingResult | None:
    """The result that already lies in `out`, when resuming a run that is done.

    Raises: OutputUnwritable when `out` holds what must not be overwritten.
    """
    if base is not None and base.path is not None and out.resolve() == Path(base.path).resolve():
        raise OutputUnwritable(f"--out {out} is the base itself", mend="name another folder with --out")
    if state.exists and not resume:
        raise OutputUnwritable(
            f"{out} holds an interrupted training run",
            mend=f"--resume to go on with it, another --out, or remove {state.folder}",
        )
    record = read_record(out)
    if record is None and not state.exists and ((out / "config.json").exists() or (out / NAME).exists()):
        raise OutputUnwritable(
            f"{out} holds a checkpoint that this command did not make", mend="name another folder with --out"
        )
    if resume and record is not None and not state.exists:
        refuse_other_run(record.identity, identity, where=out)
        return TrainingResult(out, record)
    return None


def _loop(
    options: TrainingOptions,
    task: TrainingTask,
    accelerator: Accelerator,
    state: StateFolder,
    identity: dict[str, Any],
    dtype: torch.dtype,
    tell: Tell,
    *,
    resume: bool,
) -> tuple[Loop, Meter]:
    """The loop, at the beginning of the run or where it was interrupted."""
    import torch

    from core_model.optimization import build_optimizer
    from core_model.training_loop import Loop

    task.model.to(accelerator.device)
    optimizer = build_optimizer(task.model, weight_decay=options.weight_decay)
    position = state.load(identity, task.model, optimizer) if resume and state.exists else Position()
    if position.sessions and not position.closed:
        position.killed_sessions += 1
    if not accelerator.is_main_process:  # the state holds the main process's losses of the epoch; they count once
        position.epoch_loss, position.epoch_units = 0.0, 0
    position.sessions += 1
    if position.threads not in (None, torch.get_num_threads()):
        position.threads_changed = True
    position.threads = torch.get_num_threads()
    meter = Meter(options.country, position.energy)
    loop = Loop(
        options, task, accelerator, optimizer,
        state=state, identity=identity, position=position, meter=meter, dtype=dtype, tell=tell,
    )  # fmt: skip
    return loop, meter


def _record(
    options: TrainingOptions,
    task: TrainingTask,
    loop: Loop,
    why: Literal["the last epoch", "early stopping"],
    data: Table,
    evaluation: Table | None,
    base: Checkpoint | None,
    architecture: Architecture | None,
) -> TrainingRecord:
    """Everything but the hashes of the files, which are not written yet."""
    from core_model.mitigation_objective import objective_record

    position = loop.position
    chosen_step = position.best_step or position.step
    chosen = next(epoch for epoch in position.history if epoch["step"] == chosen_step)
    reason = "the lowest evaluation loss" if position.best_step else "the last epoch"
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
        parameters=sum(p.numel() for p in task.model.parameters()),
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
        identity=dict(loop.identity),
        notes=notes,
    )


def _publish(task: TrainingTask, record: TrainingRecord, out: Path, state: StateFolder) -> TrainingResult:
    """Write the checkpoint beside its place, then move it in; only then the state goes.

    Raises: OutputUnwritable; the state stands, and --resume does this again.
    """
    fresh = state.folder / "result"
    with unwritable_letters(out):
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True)
        with quiet():
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


@contextmanager
def _repeatable() -> Iterator[None]:
    """Deterministic kernels where torch has them; the caller's random state and settings come back afterwards."""
    import torch

    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    settings: Any = torch.utils.deterministic
    filling = settings.fill_uninitialized_memory
    # cuBLAS reads this at its first use; without it CUDA's matrix products are not repeatable.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    with torch.random.fork_rng(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*does not have a deterministic implementation.*")
        try:
            torch.use_deterministic_algorithms(True, warn_only=True)
            settings.fill_uninitialized_memory = False  # costs a pass over memory, gains nothing here
            yield
        finally:
            torch.use_deterministic_algorithms(before[0], warn_only=before[1])
            settings.fill_uninitialized_memory = filling
