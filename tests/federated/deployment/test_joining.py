"""A client's node keys for secure aggregation: given to its app, and refused before anything is started."""

from __future__ import annotations

from pathlib import Path

import pytest

from core_model.errors import OptionUnfit
from federated.deployment.joining import prepare_client
from federated.deployment.network import Address
from federated.deployment.node_keys import ensure_node_key
from federated.deployment.supernode import SuperNode
from federated.secure_aggregation.identity import identity_of
from tests.federated.deployment.listeners import made_certificates


def prepared(folder: Path, **more: object) -> SuperNode:
    authority = made_certificates(folder / "server").authority
    data = folder / "rows.jsonl"
    data.write_text("{}\n")
    return prepare_client(
        folder / "north", server=Address("127.0.0.1", 1), authority=authority, data=data, base=None, name=None, **more
    )  # type: ignore[arg-type]


def roster_of(folder: Path, *names: str) -> Path:
    roster = folder / "clients.pub"
    roster.write_text("".join(ensure_node_key(folder / name).public.read_text() for name in names))
    return roster


def test_client_app_gets_key_roster_and_minimum(tmp_path: Path) -> None:
    node = prepared(tmp_path, roster=roster_of(tmp_path, "north", "south", "west"), least_survivors=3)
    identity = identity_of(node.config)
    assert identity is not None and len(identity.roster) == 3 and node.config["secure-minimum"] == 3
    assert "secure-minimum=3" in node.command(9)[-1]


def test_roster_without_this_client_is_refused_before_it_starts(tmp_path: Path) -> None:
    with pytest.raises(OptionUnfit, match="is not in"):
        prepared(tmp_path, roster=roster_of(tmp_path, "south"))


def test_client_without_a_roster_signs_nothing(tmp_path: Path) -> None:
    assert identity_of(prepared(tmp_path).config) is None
