"""A federation of real processes: it trains; strangers are kept out; who is killed comes back. Loopback alone."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from federated.deployment.environment import flower_environment, programs
from federated.deployment.flower_app import write_app
from federated.deployment.flower_commands import FlowerRefused
from federated.deployment.network import free_port
from federated.deployment.processes import Program, wait_until
from federated.deployment.superlink import ProgramFailed
from federated.deployment.supernode import is_refused
from tests.factories import write_rows
from tests.federated.deployment.conftest import NAMES, Federation, child_running, rows_of
from tests.federated.deployment.listeners import made_certificates

pytestmark = pytest.mark.usefixtures("at_most")
LET_IN = "the server has let this client in"


@pytest.fixture(scope="module")
def trained(federation: Federation) -> Path:
    """The checkpoint of two rounds, between which the SuperLink was killed with -9 and its server started again."""
    out, settings = federation.folder / "out", federation.settings()
    superlink = federation.server.superlink.pid
    assert superlink is not None
    state = out / ".federation" / "state.json"
    threading.Thread(target=_kill_when, args=(state.exists, superlink), daemon=True).start()
    with pytest.raises((ProgramFailed, FlowerRefused)):
        federation.server.train(settings, out=out, evaluation=None, resume=False, wait=120.0)
    federation.server.__exit__(None, None, None)
    assert json.loads(state.read_text())["progressed"]["round"] >= 1
    federation.server = federation.new_server()
    federation.server.__enter__()
    federation.server.train(settings, out=out, evaluation=None, resume=True, wait=120.0)
    return out


def _kill_when(condition: Callable[[], bool], pid: int) -> None:
    if wait_until(condition, seconds=200, poll=0.05):
        os.kill(pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def killed(federation: Federation, trained: Path) -> Program:
    """A client whose SuperNode was killed with -9, after the run."""
    client = federation.clients["south"]
    node = child_running(client, "supernode")
    assert node is not None
    os.kill(node.pid, signal.SIGKILL)
    return client


def test_three_clients_train_one_model_over_a_crash_of_the_server(trained: Path) -> None:
    record = json.loads((trained / "federated_record.json").read_text())
    assert sorted(client["name"] for client in record["partition"]["clients"]) == sorted(NAMES)
    assert [entry["round"] for entry in record["rounds"]] == [1, 2]
    assert record["sessions"] in (1, 2)  # Flower's server program may outlive its SuperLink, and finish the round alone
    assert [(len(entry["asked"]), len(entry["counted"])) for entry in record["rounds"]] == [(3, 3), (3, 3)]
    assert record["bytes_up"] > 0


def test_it_is_the_model_that_an_undisturbed_simulation_of_the_same_clients_gives(
    federation: Federation, trained: Path, tmp_path: Path
) -> None:
    from federated.simulation import simulate

    rows = [{**row, "site": name} for name in NAMES for row in rows_of(name)]
    settings = federation.settings(partition="column:site").model_copy(
        update={"data": str(write_rows(tmp_path / "all.jsonl", rows))}
    )
    simulated = load_file(simulate(settings, out=tmp_path / "out").path / "model.safetensors")
    deployed, start = load_file(trained / "model.safetensors"), load_file(federation.base / "model.safetensors")
    assert deployed.keys() == simulated.keys()
    moved = max(float(np.abs(deployed[name] - start[name]).max()) for name in deployed)
    apart = max(float(np.abs(deployed[name] - simulated[name]).max()) for name in deployed)
    assert moved > 1e-4  # of a step over as many rows of either class
    assert apart < 1e-6


def test_clients_run_no_program_that_the_server_sends(federation: Federation, trained: Path, tmp_path: Path) -> None:
    """A server that would run its own program on the clients gets nothing run."""
    app = write_app(tmp_path / "app", client="stolen:app", server="stolen:server")
    proof = tmp_path / "ran"
    (app / "stolen.py").write_text(STOLEN.replace("PROOF", str(proof)))
    run = federation.server.superlink.commands.submit(app, {})
    told = list(federation.server._follow(run, ()))
    assert not any("it ran" in line for line in told)
    assert not proof.exists()


STOLEN = """
import time
from pathlib import Path

from flwr.app import Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import ServerApp

app = ClientApp()
server = ServerApp()


@app.train()
def train(message, context):
    Path("PROOF").write_text("ran")
    return Message(RecordDict(), reply_to=message)


@server.main()
def main(grid, context):
    messages = [Message(RecordDict(), node, "train") for node in grid.get_node_ids()]
    for reply in grid.send_and_receive(messages, timeout=60):
        print(reply.error.reason if reply.has_error() else "it ran", flush=True)
"""


def test_a_client_that_is_killed_is_started_again(killed: Program) -> None:
    assert wait_until(lambda: child_running(killed, "supernode") is not None, seconds=30)


def test_a_client_without_a_registered_key_is_refused(federation: Federation, killed: Program) -> None:
    write_rows(federation.folder / "stranger.jsonl", rows_of("stranger"))
    stranger = federation.join("stranger", "--patience", "0")
    try:
        assert stranger.wait(90) == 2
    finally:
        stranger.stop()
    assert "NodeKeyUnfit: the server refuses the key SHA256:" in stranger.said()
    assert LET_IN not in stranger.said()


def test_a_client_without_any_key_is_refused(federation: Federation) -> None:
    """Flower's own program lets a node register itself, unless the SuperLink demands keys."""
    refused = flower_supernode(federation, federation.server.certificates.authority)
    assert "Exit Code: 305" in refused
    assert is_refused(refused) or "[code: " in refused


def test_a_client_that_trusts_another_authority_does_not_connect(federation: Federation, tmp_path: Path) -> None:
    other = made_certificates(tmp_path).authority
    assert "certificate verify failed" in flower_supernode(federation, other).lower().replace("_", " ")
    ours = federation.join("north", authority=other)
    try:
        assert ours.wait(60) == 2
    finally:
        ours.stop()
    assert "ServerUntrusted: the certificate of 127.0.0.1:" in ours.said()


def test_plain_text_is_refused(federation: Federation) -> None:
    with socket.create_connection((federation.address.host, federation.address.port), timeout=10) as connection:
        connection.sendall(b"POST /v1/fleet/activate-node HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n")
        try:
            answer = connection.recv(1000)
        except ConnectionResetError:
            answer = b""
    assert b"HTTP/1.1 2" not in answer


def test_a_client_that_was_killed_is_let_in_again(killed: Program, federation: Federation) -> None:
    assert wait_until(lambda: killed.said().count(LET_IN) == 2, seconds=150)
    assert set(federation.server.superlink.commands.nodes().values()) == {"online"}


def flower_supernode(federation: Federation, authority: Path) -> str:
    """What Flower's own program says, started without a key, until it gives up."""
    command = [
        str(programs() / "flower-supernode"), "--superlink", str(federation.address), "--root-certificates",
        str(authority), "--port", str(free_port()), "--max-retries", "1",
    ]  # fmt: skip
    log = federation.folder / f"bare-{time.monotonic_ns()}.log"
    program = Program(command, environment=flower_environment(federation.folder / "bare"), log=log)
    try:
        assert program.wait(90) not in (None, 0)
    finally:
        program.stop()
    return program.said()
