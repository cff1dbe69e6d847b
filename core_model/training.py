"""Training: from a base checkpoint, or from scratch, to a standard Hugging Face folder with its record.

    result = train(
        TrainingOptions(epochs=3), base=open_checkpoint("encoder"), data=open_table("train.jsonl"), out="classifier"
    )
    result.record.evaluation, result.record.model_sha256

The same options, data and base give the same weights, also when the run was killed on the way and resumed.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core_model.adapters import add_adapters
from core_model.compression.scheme import refuse_quantized
from core_model.dropout import set_dropout
from core_model.errors import OptionUnfit, OutputUnwritable
from core_model.files import writable_folder
from core_model.freezing import freeze
from core_model.mitigation import terms_sha256
from core_model.progress import Progress, Tell
from core_model.tasks.training_task import TrainingTask, Wrap, preparer
from core_model.training_meter import Meter
from core_model.training_options import TrainingOptions
from core_model.training_record import NAME, TrainingRecord, read_record
from core_model.training_result import TrainingResult, final_record, publish, use_chosen_weights
from core_model.training_state import Position, StateFolder, refuse_other_run

if TYPE_CHECKING:
    import torch
    from accelerate import Accelerator

    from core_model.architectures import Architecture
    from core_model.checkpoint import Checkpoint
    from core_model.data import Table
    from core_model.training_loop import Loop
    from core_model.training_step import StepMethod

MakeMethod = Callable[["TrainingOptions", "TrainingTask", "Accelerator", "torch.optim.Optimizer"], "StepMethod"]
__all__ = ["MakeMethod", "TrainingResult", "train"]


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
    method: MakeMethod | None = None,
    wrap: Wrap | None = None,
) -> TrainingResult:
    """Train a model and leave it in `out`.

    Args:
        data: the training rows, with labels; opened with the group column that `options.reweigh` names.
        evaluation: rows for the evaluations on the way, never trained on.
        base, architecture: what is fine-tuned, or the shape of what is built from scratch; one of the two.
        resume: take up the run that was interrupted in `out`; begin it where there is none, and do nothing where it
            is already done.
        progress: told how far it has come, a few times a second.
        method: makes the way in which a step learns from its rows; None: `core_model.training_step.GradientStep`.
        wrap: puts something around the task before it is trained, such as a teacher.
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
        **(wrap.identity if wrap is not None else {}),
        "dtype": str(dtype).removeprefix("torch."),
        "processes": accelerator.num_processes,
    }
    if done := _already_done(out, state, identity, base, resume=resume):
        return done
    with _repeatable():
        task = preparer(options.task)(options, base=base, architecture=architecture, data=data, evaluation=evaluation)
        if wrap is not None:
            task = wrap(task)
        if options.dropout is not None:
            set_dropout(task.model, options.dropout)
        adapters = None if base is None or options.adapters is None else add_adapters(task, options, base=base.name)
        if options.freeze:
            freeze(task.model, options.freeze)
        writable_folder(out)
        loop, meter = _loop(options, task, accelerator, state, identity, dtype, tell, resume=resume, method=method)
        try:
            why = loop.run()
            if accelerator.is_main_process:
                loop.position.energy = meter.close()
                record = final_record(options, loop, why, adapters, data, evaluation, base, architecture)
                use_chosen_weights(loop)
                result = publish(task, adapters, record, out, state)
            accelerator.wait_for_everyone()
        finally:
            meter.close()
    if not accelerator.is_main_process:
        return TrainingResult(out, TrainingRecord.model_validate_json((out / NAME).read_text(encoding="utf-8")))
    step, plan = loop.position.step, loop.plan
    tell(Progress("done", step, plan.steps, plan.epoch_of(step), plan.epochs))
    return result


def _checked(
    options: TrainingOptions, *, base: Checkpoint | None, architecture: Architecture | None, evaluation: Table | None
) -> TrainingOptions:
    if (base is None) == (architecture is None):
        raise OptionUnfit(
            "there is both a base and an architecture" if base else "there is neither a base nor an architecture",
            mend="--base CKPT to fine-tune, or --base none --architecture FILE.toml to begin from scratch",
        )
    if base is not None:
        refuse_quantized(base)
    if options.early_stopping is not None and evaluation is None:
        raise OptionUnfit(
            "early stopping watches the evaluation loss, and there are no evaluation rows", mend="--eval-data FILE"
        )
    if options.evaluate_every is not None and evaluation is None:
        raise OptionUnfit(
            f"evaluate_every = {options.evaluate_every}, and there are no evaluation rows", mend="--eval-data FILE"
        )
    if options.adapters is not None and base is None:
        raise OptionUnfit(
            "adapters are trained on top of a base, and there is none", mend="--base CKPT, or leave --adapters out"
        )
    if options.freeze and base is None:
        raise OptionUnfit(
            "freeze holds a base's weights still, and there is no base", mend="--base CKPT, or leave --freeze out"
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
        "reference_column": data.reference_column,
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
    method: MakeMethod | None,
) -> tuple[Loop, Meter]:
    """The loop, at the beginning of the run or where it was interrupted."""
    import torch

    from core_model.attention_kernel import choose_attention
    from core_model.optimization import build_optimizer
    from core_model.training_loop import Loop
    from core_model.training_step import GradientStep, sides_of
    from core_model.weight_average import WeightAverage

    task.model.to(accelerator.device)
    longest = int(sides_of(task.training).max(initial=0))
    choose_attention(task.model, device=accelerator.device, dtype=dtype, longest=longest)
    optimizer = build_optimizer(
        task.model, name=options.optimizer, weight_decay=options.weight_decay, beta2=options.beta2
    )
    steps = (method or GradientStep)(options, task, accelerator, optimizer)
    average = None if options.ema is None else WeightAverage(task.model, options.ema)
    position = Position()
    if resume and state.exists:
        position = state.load(identity, task.model, steps.optimizer, average)
    if position.sessions and not position.closed:
        position.killed_sessions += 1
    if not accelerator.is_main_process:  # the state holds the main process's losses; they count once
        position.loss_sum, position.loss_units = 0.0, 0
    position.sessions += 1
    if position.threads not in (None, torch.get_num_threads()):
        position.threads_changed = True
    position.threads = torch.get_num_threads()
    steps.begin(position.step)
    meter = Meter(options.country, position.energy)
    loop = Loop(
        options, task, accelerator, steps,
        average=average, state=state, identity=identity, position=position, meter=meter, dtype=dtype, tell=tell,
    )  # fmt: skip
    return loop, meter


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
