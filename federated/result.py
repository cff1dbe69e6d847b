"""What a federated run leaves: an ordinary checkpoint folder with its records, and the clients' own heads beside it."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core_model.checkpoint_loading import quiet
from core_model.files import publish_files, unwritable_letters, write_atomically
from core_model.training_record import NAME as TRAINING_NAME
from core_model.training_record import TrainingRecord, describe_data, hashes, read_record, tool, versions
from core_model.training_result import ADAPTER_FOLDER, CLAIMS
from federated.arrays import load_parameters
from federated.claim import claim_of, steps_of
from federated.personal import HEADS, write_heads
from federated.record import NAME, FederatedRecord
from federated.workbench import Workbench, forget_workbench, training_options
from privacy.claim import NAME as CLAIM_NAME
from privacy.claim import write_claim

if TYPE_CHECKING:
    from federated.arrays import Update
    from federated.state import FederationState


@dataclass(frozen=True)
class FederatedResult:
    """A checkpoint that clients made together: its folder, and the record that lies in it."""

    path: Path
    record: FederatedRecord


def publish(
    bench: Workbench, model: Update, record: FederatedRecord, out: Path, state: FederationState, *, finished: bool
) -> FederatedResult:
    """Write the checkpoint beside its place, then move it in.

    Adapters are merged, so that the folder is a whole model; the process's workbench is of no use afterwards.

    Args:
        finished: whether the run is over, and its state can go.
    Raises: OutputUnwritable; the state stands, and --resume does this again.
    """
    fresh = state.folder / "result"
    load_parameters(bench.task.model, {**bench.initial, **model})
    trained = sum(p.numel() for p in bench.task.model.parameters() if p.requires_grad)
    with unwritable_letters(out):
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True)
        bench.task.model.cpu()
        with quiet():
            if bench.adapters is not None:
                bench.adapters.save(fresh / ADAPTER_FOLDER)
                bench.adapters.merge()
            bench.task.model.save_pretrained(fresh)
            bench.task.tokenizer.save_pretrained(fresh)
    forget_workbench()
    files = hashes(fresh)
    sha256 = files["model.safetensors"]
    record = record.model_copy(
        update={"model_sha256": sha256, "personal": write_heads(state.folder, record.options, fresh)}
    )
    training = training_record(bench, record, trained).model_copy(update={"files": files, "model_sha256": sha256})
    write_atomically(fresh / TRAINING_NAME, training.as_json())
    write_atomically(fresh / NAME, record.as_json())
    claim = claim_of(record)
    if claim is not None:
        write_claim(fresh, claim)
    previous = read_record(out)
    old = {name for name in (previous.files if previous else ()) if _is_inside(name)}
    written = {*files, NAME, TRAINING_NAME, *((CLAIM_NAME,) if claim is not None else ())}
    obsolete = {*CLAIMS, *old, *_old_heads(out)} - {*written, *record.personal.get("files", {}).values()}
    publish_files(fresh, out, last="config.json", obsolete=obsolete)
    if finished:
        state.remove()
    else:
        shutil.rmtree(fresh, ignore_errors=True)
    return FederatedResult(out, record)


def training_record(bench: Workbench, record: FederatedRecord, trained: int) -> TrainingRecord:
    """The same run in the words of `aboveboard train`, for every audit that reads them.

    A round is a step and an epoch of it; `options.epochs` counts each client's passes over its rows in all rounds, as
    one who trains on all rows in one place would count them.
    """
    import torch

    options, task = bench.federation, bench.task
    done = len(record.rounds)
    passes = {"epochs": done * (options.local_epochs or 1)} if options.local_steps is None else {}
    steps = {"max_steps": max(done, 1) * options.local_steps} if options.local_steps is not None else {}
    return TrainingRecord(
        tool=tool(),
        task=options.task.value,
        base={**record.base, "licence": bench.base.licence, "head": task.head},
        architecture=None,
        labels=list(task.labels),
        parameters=bench.adapters.parameters if bench.adapters else sum(p.numel() for p in task.model.parameters()),
        trained_parameters=trained,
        adapters=None if bench.adapters is None else bench.adapters.facts,
        data=record.data or _no_rows(bench, record),
        evaluation_data=_evaluation_data(bench),
        options=training_options(options, **{**passes, **steps}).model_dump(mode="json"),
        seed=options.seed,
        history=[
            {
                "epoch": entry["round"],
                "step": entry["round"],
                "seconds": entry["seconds"],
                "train_loss": entry["train_loss"],
                "train_n": None,
                "evaluation": entry["evaluation"],
            }
            for entry in record.rounds
        ],
        chosen={"epoch": done, "step": done, "because": "the last round", "ended": record.ended},
        evaluation=record.evaluation,
        steps=steps_of(record),
        examples_per_second=None,
        seconds=record.seconds,
        sessions=record.sessions,
        energy=record.energy,
        hardware={
            "device": bench.device.type, "dtype": "float32", "threads": record.threads or torch.get_num_threads(),
            "processes": 1,
        },
        versions=versions(),
        privacy=record.privacy,
        identity=record.identity,
        notes=[
            *task.notes,
            f"Trained across {len(record.partition['clients'])} clients that did not share their rows; a step here is "
            "a round. federated_record.json has the rest.",
            *record.notes,
        ],
    )  # fmt: skip


def _no_rows(bench: Workbench, record: FederatedRecord) -> dict[str, Any]:
    """What is known of the training rows where no server saw them."""
    told = [client["rows"] for client in record.partition["clients"]]
    known = {
        "text_column": bench.settings.columns.get("text_column"),
        "pair_column": bench.settings.columns.get("pair_column"),
        "reference_column": bench.settings.columns.get("reference_column"),
        "label_column": bench.settings.columns.get("label_column"),
    }
    return {
        "name": "the clients' own files", "sha256": None, "rows": sum(told) if None not in told else None, **known,
        "longest_row_tokens": None, "rows_cut": None, "synthetic": None, "source": None, "licence": None,
    }  # fmt: skip


def _evaluation_data(bench: Workbench) -> dict[str, Any] | None:
    if bench.evaluation is None or bench.task.evaluation is None:
        return None
    return describe_data(bench.evaluation, bench.task.evaluation)


def _is_inside(name: str) -> bool:
    path = Path(name)
    return not path.is_absolute() and ".." not in path.parts


def _old_heads(out: Path) -> list[str]:
    folder = out / HEADS
    return [f"{HEADS}/{file.name}" for file in folder.glob("*.safetensors")] if folder.is_dir() else []
