"""Promises of the collaboration audit: a harmed client is found, a healthy federation is not accused."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from audit.concerns.collaboration.clients import ClientRows, client_metrics, paired
from tests.federated.world import run


def test_the_worst_client_and_the_spread_are_found():
    rows = np.arange(400) < 200
    clients = [ClientRows(0, "a", rows), ClientRows(1, "b", ~rows)]
    correct = np.where(rows, np.arange(400) % 10 != 0, np.arange(400) % 2 == 0)  # 90% and 50%
    found = {(m.name, *m.slice.values()): m for m in client_metrics(
        clients, correct, np.ones(400), np.random.default_rng(0), None)}  # fmt: skip
    worst = found["worst_client_accuracy", "b"]
    assert worst.value == 0.5 and worst.interval and worst.interval[0] < 0.45
    spread = found["client_accuracy_spread", "client"]
    assert spread.value is not None and abs(spread.value - 0.4) < 1e-9 and spread.interval and spread.interval[0] > 0.2


def test_harm_is_told_from_equality():
    right = np.arange(200) % 2 == 0
    harmed, equal = paired(right, np.ones(200, dtype=bool), clients=4), paired(right, right, clients=4)
    assert harmed.high is not None and harmed.high < 0 and equal.covers(0.0)


def test_a_federated_checkpoint_is_measured_by_client(tmp_path: Path):
    import audit
    from tests.federated.world import folder

    made = run(tmp_path / "m", partition="column:site")
    record = audit.run(
        str(made.path), data=str(folder() / "test.jsonl"), only=["collaboration"], group_columns=["site"]
    )
    [one] = record.audits
    assert one.status == "measured", one.reason
    assert len([m for m in one.metrics if m.name == "client_accuracy" and m.value is not None]) == 4
