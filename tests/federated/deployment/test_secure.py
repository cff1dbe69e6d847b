"""A federation of real processes under secure aggregation: masks whose keys the clients' own keys have signed."""

from __future__ import annotations

import json

import numpy as np
import pytest
from safetensors.numpy import load_file

from federated.kept_updates import read_round
from tests.federated.deployment.conftest import NAMES, limited, started

SECONDS = 600  # a secure round takes fifteen processes that load torch: 45 s of one core, and longer on a busy one


def test_three_clients_with_a_roster_train_one_model_and_the_server_sees_their_sum_alone(tmp_path) -> None:
    masks = ("--roster", str(tmp_path / "roster.pub"), "--least-survivors", str(len(NAMES)))
    with limited(SECONDS), started(tmp_path, *masks) as federation:
        settings = federation.settings(rounds=1, secure=True, keep_updates=True, deadline=3000.0)
        federation.server.train(settings, out=tmp_path / "out", evaluation=None, resume=False, wait=120.0)
    record = json.loads((tmp_path / "out" / "federated_record.json").read_text())
    assert sorted(client["name"] for client in record["partition"]["clients"]) == sorted(NAMES)
    assert {client["rows"] for client in record["partition"]["clients"]} == {None}  # not even that is told
    assert record["secure"]["signed"] is True and record["secure"]["quantization_error"] < 1e-5
    kept = read_round(tmp_path / "out", 1)
    assert kept.is_secure and kept.clients == () and len(kept.survivors) == len(NAMES)
    trained, start = load_file(tmp_path / "out" / "model.safetensors"), kept.start()
    for name, total in kept.total().items():
        assert trained[name] == pytest.approx(start[name] + total / kept.weight, abs=1e-6)
    assert max(float(np.abs(trained[name] - start[name]).max()) for name in start) > 1e-4
