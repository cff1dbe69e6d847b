"""`training_record.json`: how a checkpoint was made, so that it can be made again and its cost be told."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from core_model.data import Table

NAME = "training_record.json"
PACKAGES = ("torch", "transformers", "tokenizers", "accelerate", "safetensors", "numpy", "codecarbon")


class TrainingRecord(BaseModel):
    """What a training run leaves beside its weights. Absent values are null.

    Attributes:
        tool: name and version of this program.
        base: name and sha256 of the checkpoint that was fine-tuned, and what became of its head; null from scratch.
        architecture: the shape of a model from scratch.
        data, evaluation_data: name, sha256, rows, columns, and rows whose end was cut.
        options: every option, defaults filled in.
        history: per epoch: step, training loss, and the evaluation with its n.
        chosen: which step's weights these are, and why.
        steps: optimizer steps done.
        examples_per_second: rows per second of training steps; evaluation and saving are not in it.
        seconds: wall time of all sessions.
        energy: kWh and kg CO2e over all sessions, measured or estimated (`core_model.energy`).
        hardware: device, dtype, threads, processes.
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
    model_sha256: str
    files: dict[str, str]
    notes: list[str]

    def as_json(self) -> str:
        """As text, keys in this order; NaN is refused."""
        return json.dumps(self.model_dump(mode="json"), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def read_record(folder: Path) -> TrainingRecord | None:
    """The record in a folder; None where there is none that this version understands."""
    try:
        return TrainingRecord.model_validate_json((folder / NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def describe_data(table: Table, cut: int) -> dict[str, Any]:
    """What identifies the rows that were used, without any of them."""
    return {
        "name": table.name,
        "sha256": table.sha256,
        "rows": table.rows,
        "text_column": table.text_column,
        "pair_column": table.pair_column,
        "label_column": table.label_column,
        "rows_cut": cut,
        "synthetic": table.synthetic,
        "source": table.source,
        "licence": table.licence,
    }


def total_energy(sessions: Iterable[Mapping[str, Any]], *, unmeasured: int) -> dict[str, Any]:
    """Energy over several measurements of one run.

    Args:
        sessions: `EnergyUse.as_dict()` of each.
        unmeasured: sessions that were killed, whose energy since their last saved state nobody knows.
    Returns: the keys of `EnergyUse.as_dict()`; a sum is null where a part of it is unknown.
    """
    parts = list(sessions)
    if not parts:
        return {
            "energy_kwh": None,
            "emissions_kg": None,
            "method": None,
            "detail": "",
            "reason": "nothing was measured",
        }
    total = dict(parts[-1])
    for key in ("energy_kwh", "emissions_kg", "seconds"):
        values = [part.get(key) for part in parts]
        total[key] = None if None in values else sum(v for v in values if v is not None)
    kilowatt_hours = [part.get("parts_kwh") or {} for part in parts]
    total["parts_kwh"] = {k: sum(p.get(k, 0.0) for p in kilowatt_hours) for k in kilowatt_hours[-1]} or None
    total["method"] = "measured" if all(part.get("method") == "measured" for part in parts) else "estimated"
    total["reason"] = next((part["reason"] for part in parts if part.get("reason")), None)
    if unmeasured:
        total["detail"] += f"; what {unmeasured} killed sessions took after their last saved state is not in it"
    return total


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
