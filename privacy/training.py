"""Private training: the trainer of `core_model` with a private step, and the claim that it leaves.

    result = train_privately(
        TrainingOptions(batch_size=256), PrivacyOptions(epsilon=8), data=table, base=open_checkpoint("encoder"), out="m"
    )
    read_claim(result.path).epsilon

Everything else (tasks, adapters, states, resume, record) is the one trainer's; `privacy.json` follows from the record.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core_model.errors import ColumnMissing, OptionUnfit
from core_model.training import train
from core_model.training_options import TrainingOptions
from core_model.training_result import TrainingResult
from core_model.training_state import StateFolder
from privacy.accounting import Budget, Ledger, automatic_delta
from privacy.canaries import NAME as CANARIES
from privacy.canaries import Canaries, make_canaries, read_canaries, with_canaries, write_canaries
from privacy.claim import ClaimedPhase, PrivacyClaim, write_claim
from privacy.linter import Fault, TrainingFacts, lint, refuse
from privacy.options import PrivacyOptions, refuse_unfit
from privacy.units import Units, secret_seed
from privacy.write_ahead import WrittenLedger

if TYPE_CHECKING:
    from core_model.checkpoint import Checkpoint
    from core_model.data import Table
    from core_model.progress import Tell
    from core_model.tasks.training_task import TrainingTask
    from privacy.private_step import PrivateStep


@dataclass(frozen=True)
class PrivateResult(TrainingResult):
    """A privately trained checkpoint.

    Attributes:
        claim: what `privacy.json` in its folder promises.
        warnings: with which reservations the accounting linter lets it stand.
    """

    claim: PrivacyClaim
    warnings: tuple[Fault, ...]


class _Private:
    """What makes two private sessions one run (see `wrap` of `core_model.training.train`)."""

    def __init__(self, private: PrivacyOptions) -> None:
        self.identity = {f"private_{name}": value for name, value in private.model_dump(mode="json").items()}

    def __call__(self, task: TrainingTask) -> TrainingTask:
        return task


def train_privately(
    options: TrainingOptions,
    private: PrivacyOptions,
    *,
    data: Table,
    out: str | Path,
    base: Checkpoint,
    evaluation: Table | None = None,
    resume: bool = False,
    progress: Tell | None = None,
) -> PrivateResult:
    """Train under a promise of (epsilon, delta), and leave the checkpoint with its `privacy.json`.

    Args:
        data: the private rows; opened with the group column that `private.user_column` names.
        base: what is fine-tuned; its weights and its tokenizer count as public.
        evaluation: rows for evaluations on the way. The promise does not cover them.
    Raises: OptionUnfit for options that would make the promise false, layers without a rule, a target that cannot be
        reached; otherwise as `core_model.training.train`.
    """
    refuse_unfit(options, processes=_processes())
    out = Path(out)
    written = WrittenLedger(StateFolder(out).folder)
    canaries = _canaries(data, options, private, out) if private.canaries else None
    if canaries is not None:
        data = with_canaries(data, canaries)
    options = options.model_copy(update={"clip_norm": None})  # rows are clipped one by one, not their sum
    result = train(
        options, data=data, out=out, base=base, evaluation=evaluation, resume=resume, progress=progress,
        method=partial(_method, private=private, data=data, written=written), wrap=_Private(private),
    )  # fmt: skip
    claim = claim_of(result, base=base)
    if canaries is not None:
        write_canaries(out, canaries)
    write_claim(out, claim)  # again, where a run was killed between its checkpoint and its claim
    return PrivateResult(result.path, result.record, claim, tuple(faults_of(result)))


def _canaries(data: Table, options: TrainingOptions, private: PrivacyOptions, out: Path) -> Canaries:
    """Those of an interrupted run, else new ones; kept in the state's folder until the run is done.

    Raises: OptionUnfit when the folder holds canaries of another run.
    """
    folder = StateFolder(out).folder
    for place in (folder, out):
        if (place / CANARIES).exists():
            found = read_canaries(place)
            if found.data_sha256 == data.sha256 and len(found.canaries) == private.canaries:
                return found
            if place == folder:
                raise OptionUnfit(
                    f"{place / CANARIES} holds {len(found.canaries)} canaries of another run",
                    mend="the same --data and --canaries as before, or another --out",
                )
    random = np.random.default_rng(secret_seed(private.noise_seed))
    made = make_canaries(data, options.task, private.canaries, random=random)
    write_canaries(folder, made)
    return made


def _method(
    options: TrainingOptions, task: TrainingTask, accelerator: Any, optimizer: Any, *, private: PrivacyOptions,
    data: Table, written: WrittenLedger,
) -> PrivateStep:  # fmt: skip
    from privacy.private_step import PrivateStep

    units = Units.of(_unit_of_example(task, data, private), most=private.rows_per_unit)
    delta = private.delta if private.delta is not None else automatic_delta(len(units))
    return PrivateStep(options, task, accelerator, optimizer, private, units, Budget(private.epsilon, delta), written)


def _unit_of_example(task: TrainingTask, data: Table, private: PrivacyOptions) -> np.ndarray:
    """Of each training example (a row, a block of a text, a window of a context) the unit that it belongs to."""
    examples: Any = task.training
    origins = getattr(examples, "origins", None)
    row = np.arange(len(examples.lengths)) if origins is None else np.asarray(origins)
    if private.user_column is None:
        return row
    if private.user_column not in data.groups:
        raise ColumnMissing(
            f"{data.name} was opened without column {private.user_column!r}",
            mend=f"--user-column {private.user_column}",
        )
    users: np.ndarray = data.groups[private.user_column][row]
    return users


def claim_of(result: TrainingResult, *, base: Checkpoint) -> PrivacyClaim:
    """The claim that a record bears out: epsilon composed over its whole ledger, RDP as a second opinion.

    Raises: OptionUnfit when the accounting linter finds that it would be false.
    """
    record = result.record
    said, ledger = record.privacy, Ledger.from_json(record.privacy["ledger"])
    delta, norm = float(said["delta"]), said["clipping_norm"]
    refuse(faults_of(result))
    second_opinion = ledger.epsilon(delta, accountant="rdp")
    return PrivacyClaim.of(
        tuple(
            ClaimedPhase(
                noise_multiplier=phase.noise_multiplier, sampling_rate=phase.sampling_rate, steps=phase.steps,
                sampling=phase.sampling, clipping_norm=norm,
            )
            for phase in ledger.phases
        ),
        mechanism=said["mechanism"],
        unit=said["unit"],
        unit_column=said["unit_column"],
        epsilon=ledger.epsilon(delta),
        epsilon_rdp=second_opinion or None,  # its rounding takes the tiniest to be 0
        delta=delta,
        accountant="prv",
        search=said["search"],
        public={"base": base.name, "base_sha256": base.sha256, "tokenizer": "the base's", "labels": "their names"},
        data_sha256=record.data["sha256"],
        model_sha256=record.model_sha256,
        versions={"opacus": version("opacus"), "torch": version("torch"), "aboveboard": record.tool["version"]},
    )  # fmt: skip


def faults_of(result: TrainingResult) -> list[Fault]:
    """What the accounting linter says of a private training."""
    said = result.record.privacy
    return lint(
        TrainingFacts(
            ledger=Ledger.from_json(said["ledger"]),
            sampler="poisson",
            gradient_divisor=said["gradient_divisor"],
            clipping_norm=said["clipping_norm"],
            rows=said["units"],
            batch_size=said["expected_units"],
            delta=said["delta"],
            steps_done=result.record.steps,
            noise_seed_published=said["noise_seed_published"],
        )
    )


def _processes() -> int:
    import os

    return int(os.environ.get("WORLD_SIZE", "1"))
