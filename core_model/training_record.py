"""`training_record.json`: how a checkpoint was made, so that it can be made again and its cost be told."""

from __future__ import annotations

import hashlib
import json
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from core_model.data import Table
    from core_model.tasks.training_task import Examples

NAME = "training_record.json"
PACKAGES = ("torch", "transformers", "tokenizers", "accelerate", "safetensors", "numpy", "codecarbon", "peft")


class TrainingRecord(BaseModel):
    """What a training run leaves beside its weights. Absent values are null.

    Attributes:
        tool: name and version of this program.
        base: name and sha256 of the checkpoint that was fine-tuned, and what became of its head; null from scratch.
        architecture: the shape of a model from scratch.
        data, evaluation_data: name, sha256, rows, columns, and rows whose end was cut.
        options: every option, defaults filled in.
        parameters, trained_parameters: of the model, and how many of them (or of its adapters) were trained.
        adapters: rank, scale and layers of low-rank adapters, which are merged into these weights and lie in
            `adapter/`; null without.
        history: per evaluation (or epoch, without evaluation rows): step, seconds so far, training loss since the one
            before, and the evaluation with its n. With a moving average of the weights it is that which was evaluated.
        chosen: which step's weights these are, why, and what ended the run.
        steps: optimizer steps done.
        examples_per_second: rows per second of training steps; evaluation and saving are not in it.
        seconds: wall time of all sessions.
        energy: kWh and kg CO2e over all sessions, measured or estimated (`core_model.energy`).
        hardware: device, dtype, threads, processes.
        mitigation: what was done to the training rows, by name, with its figures (`core_model.mitigation`); empty when
            nothing was. Then the training loss is that of the added and weighed rows.
        privacy: of a private training: its ledger of noisy steps, its clipping, its unit; empty where none is promised.
        identity: what a resumed run must share with this one.
        model_sha256: of model.safetensors.
        files: sha256 of every file of the checkpoint.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: str = "1.0"
    tool: dict[str, str | None]
    task: str
    base: dict[str, Any] | None
    architecture: dict[str, Any] | None
    labels: list[str]
    parameters: int
    trained_parameters: int | None = None
    adapters: dict[str, Any] | None = None
    data: dict[str, Any]
    evaluation_data: dict[str, Any] | None
    options: dict[str, Any]
    seed: int
    history: list[dict[str, Any]]
    chosen: dict[str, Any]
    evaluation: dict[str, Any] | None
    steps: int
    examples_per_second: float | None
    seconds: float
    sessions: int
    energy: dict[str, Any]
    hardware: dict[str, Any]
    versions: dict[str, str | None]
    mitigation: dict[str, Any] = Field(default_factory=dict)
    privacy: dict[str, Any] = Field(default_factory=dict)
    identity: dict[str, Any]
    notes: list[str]
    model_sha256: str = ""
    files: dict[str, str] = Field(default_factory=dict)

    def as_json(self) -> str:
        """As text, keys in this order; NaN is refused."""
        return json.dumps(self.model_dump(mode="json"), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def read_record(folder: Path) -> TrainingRecord | None:
    """The record in a folder; None where there is none that this version understands."""
    try:
        return TrainingRecord.model_validate_json((folder / NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def describe_data(table: Table, examples: Examples) -> dict[str, Any]:
    """What identifies the rows that were used, without any of them."""
    return {
        "name": table.name,
        "sha256": table.sha256,
        "rows": table.rows,
        "text_column": table.text_column,
        "pair_column": table.pair_column,
        "reference_column": table.reference_column,
        "label_column": table.label_column,
        "longest_row_tokens": int(examples.lengths.max()),
        "rows_cut": examples.cut,
        "synthetic": table.synthetic,
        "source": table.source,
        "licence": table.licence,
    }


def versions() -> dict[str, str | None]:
    """Versions of what the weights depend on; null for what is not installed."""
    return {"python": platform.python_version(), **{name: _version(name) for name in PACKAGES}}


def tool() -> dict[str, str | None]:
    """This program."""
    return {"name": "aboveboard", "version": _version("aboveboard")}


def hashes(folder: Path) -> dict[str, str]:
    """sha256 of each file of a folder, by its path in it."""
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    return {file.relative_to(folder).as_posix(): _sha256(file) for file in files}


def _sha256(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
