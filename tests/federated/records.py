"""A federated record beside a checkpoint, without a federation: for tests that only read it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from core_model.data_hash import hash_file
from core_model.training_record import tool
from federated.options import FederationOptions
from federated.record import NAME, FederatedRecord


def write_federated_record(folder: Path, *, column: str, clients: Mapping[str, int], **changes: Any) -> FederatedRecord:
    """Say that clients, one for each value of a column, with so many rows each, made the weights in a folder."""
    options = FederationOptions(clients=len(clients), partition=f"column:{column}", rounds=2)
    listed = [{"client": n, "name": name, "rows": rows, "held_out": 0, "labels": None}
              for n, (name, rows) in enumerate(clients.items())]  # fmt: skip
    record = FederatedRecord(
        tool=tool(), engine="in-process", options=options.model_dump(mode="json"), base={"name": "base", "sha256": "0"},
        data=None, partition={"scheme": options.partition, "seed": 0, "clients": listed}, rounds=[{}, {}],
        bytes_down=1000, bytes_up=1000, evaluation=None, clients_evaluation=None, ended="the last round", seconds=1.0,
        sessions=1, energy={}, versions={}, identity={}, notes=[],
        model_sha256=hash_file(folder / "model.safetensors"),
    )  # fmt: skip
    record = record.model_copy(update=changes)
    (folder / NAME).write_text(record.as_json())
    return record
