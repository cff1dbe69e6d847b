"""`federated_record.json`: who took part in making a checkpoint, what travelled, and what was not believed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from core_model.training_record import describe_data, versions
from federated.options import Frozen

if TYPE_CHECKING:
    from federated.roster import Member
    from federated.run_settings import RunSettings
    from federated.workbench import Workbench

NAME = "federated_record.json"


class FederatedRecord(Frozen):
    """What a federated run leaves beside its weights. Absent values are null.

    Attributes:
        tool: name and version of this program.
        engine: what ran the clients: "in-process", "ray" or "deployment".
        threads: of each client's computation, on which the last bits of the weights depend; null in a deployment, where
            each has its own.
        options: every option of the federation, defaults filled in.
        base: name and sha256 of the checkpoint that all clients began from.
        data: name, sha256, rows and columns of the file that was divided; null in a deployment: no server sees it.
        partition: the scheme, and each client's number, name, rows, held-out rows and label counts; null where they
            are not told.
        rounds: for each round who was asked and who counts, who was rejected and why, training loss, length of the
            step, bytes down and up (of the serialized messages), evaluations, seconds; where updates are kept, under
            "kept" the sha256 of each of the round's files in updates/.
        bytes_down, bytes_up: over all rounds; null, with who took part, where a promise rests on nobody's knowing.
        evaluation, clients_evaluation: after the last round.
        ended: "the last round", or why it ended before.
        privacy: of a promise of privacy: its unit, what was spent, by which mechanism, and what canary clients betray;
            empty without one.
        secure: what secure aggregation holds against, and its measured error; empty without it.
        personal: where the clients' own heads lie; empty without them.
        energy: kWh and kg CO2e over all sessions, of this machine; in a deployment, of the server alone.
        versions: of what the weights depend on.
        identity: what a resumed run must share with this one.
        model_sha256: of model.safetensors.
    """

    schema_version: str = "1.0"
    tool: dict[str, str | None]
    engine: str
    threads: int | None = None
    options: dict[str, Any]
    base: dict[str, Any]
    data: dict[str, Any] | None
    partition: dict[str, Any]
    rounds: list[dict[str, Any]]
    bytes_down: int | None
    bytes_up: int | None
    evaluation: dict[str, Any] | None
    clients_evaluation: dict[str, Any] | None
    ended: str
    privacy: dict[str, Any] = Field(default_factory=dict)
    secure: dict[str, Any] = Field(default_factory=dict)
    personal: dict[str, Any] = Field(default_factory=dict)
    seconds: float
    sessions: int
    energy: dict[str, Any]
    versions: dict[str, str | None]
    identity: dict[str, Any]
    notes: list[str]
    model_sha256: str = ""

    def as_json(self) -> str:
        """As text, keys in this order; NaN is refused."""
        return json.dumps(self.model_dump(mode="json"), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def read_federated_record(folder: Path) -> FederatedRecord | None:
    """The record in a folder; None where there is none that this version understands."""
    try:
        return FederatedRecord.model_validate_json((folder / NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def record_of(folder: Path, files: Mapping[str, str]) -> FederatedRecord | None:
    """The record of a checkpoint; None where there is none, it cannot be read, or it is of other weights.

    Args:
        folder: of the checkpoint. files: sha256 of its files by name.
    """
    record = read_federated_record(folder)
    return record if record is not None and record.model_sha256 == files.get("model.safetensors") else None


def all_versions() -> dict[str, str | None]:
    """What the trainer records, and what federation adds."""
    from importlib.metadata import PackageNotFoundError, version

    found = versions()
    for name in ("flwr", "ray"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    return found


def describe_partition(settings: RunSettings, bench: Workbench, members: dict[int, Member]) -> dict[str, Any]:
    """Each client's rows and labels: counted by the server where it divided them, else as the clients told it."""
    scheme = settings.federation.partition if settings.data is not None else "each client's own file"
    if settings.data is not None:
        clients = []
        for number, name in enumerate(bench.parts.names):
            _, rows = bench.view(number)
            every = bench.parts.rows[number]
            clients.append(
                {
                    "client": number,
                    "name": name,
                    "rows": len(every),
                    "held_out": len(rows.held_out),
                    "labels": bench.label_counts(every),
                }
            )
    else:
        clients = [
            {"client": m.number, "name": m.name, "rows": m.rows, "held_out": None, "labels": m.label_counts or None}
            for m in sorted(members.values(), key=lambda member: member.number)
        ]
    return {"scheme": scheme, "seed": settings.federation.seed, "clients": clients}


def describe_rows(settings: RunSettings, bench: Workbench) -> dict[str, Any] | None:
    """The file that was divided; None where the server has none."""
    return None if settings.data is None else describe_data(bench.table, bench.task.training)
