"""What a server knows of its clients' keys, and how it passes on why a run ended. No process is started."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from core_model.errors import OptionUnfit
from federated.deployment.certificates import CertificateUnfit
from federated.deployment.flower_commands import FlowerCommands, RunStatus, _last_object
from federated.deployment.network import Address, free_port
from federated.deployment.node_keys import NodeKeyUnfit, ensure_node_key
from federated.deployment.serving import RunFailed, RunUnfit, Server, _failure
from tests.federated.deployment.listeners import listening, made_certificates


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Server:
    """A server that is not started; Flower's registering is counted instead."""
    numbers = iter(range(100, 200))
    monkeypatch.setattr(FlowerCommands, "register", lambda self, key: next(numbers))
    return Server(tmp_path / "home", hosts=(), address=Address("127.0.0.1", free_port()), tell=lambda line: None)


def test_a_key_is_registered_once_even_by_a_server_that_was_started_again(server: Server, tmp_path: Path) -> None:
    one, two = ensure_node_key(tmp_path / "one"), ensure_node_key(tmp_path / "two")
    assert server.register([one.public]) == [100]
    again = Server(server.home, hosts=(), address=server.superlink.address, tell=lambda line: None)
    assert again.register([one.public, two.public]) == [101]
    assert again.registered() == {one.fingerprint: 100, two.fingerprint: 101}


def test_a_folder_is_looked_at_again(server: Server, tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    folder.mkdir()
    assert server.register([folder]) == []
    (folder / "new.pub").write_bytes(ensure_node_key(tmp_path / "one").public.read_bytes())
    assert server.register([folder]) == [100]


def test_what_is_no_key_is_named(server: Server, tmp_path: Path) -> None:
    (tmp_path / "bad.pub").write_text("ssh-rsa AAAA")
    with pytest.raises(NodeKeyUnfit, match=r"bad\.pub"):
        server.register([tmp_path])
    with pytest.raises(NodeKeyUnfit, match="nowhere is not there"):
        server.register([tmp_path / "nowhere"])


def test_a_port_in_use_is_said_before_anything_is_made(tmp_path: Path) -> None:
    with listening(None) as taken, pytest.raises(OptionUnfit, match=f":{taken.port}"):
        Server(tmp_path / "home", hosts=(), address=taken, tell=lambda line: None)
    assert not (tmp_path / "home").exists()


def test_expired_certificates_are_said_before_anything_is_started(tmp_path: Path) -> None:
    made_certificates(tmp_path / "certificates", "127.0.0.1", "::1", "localhost", days=-0.01)
    with pytest.raises(CertificateUnfit, match=r"server\.crt expired"):
        Server(tmp_path, hosts=(), address=Address("127.0.0.1", free_port()), tell=lambda line: None)


def test_a_letter_of_the_servers_app_stays_one(tmp_path: Path) -> None:
    details = "ServerApp failed with exception: LabelsUnfit: label sets differ: b has x\n  Try: the same names"
    error = _failure(RunStatus("finished:failed", details, 0, 0), tmp_path)
    assert isinstance(error, RunUnfit)
    assert error.exit_code == 2
    assert (error.found, error.mend) == ("LabelsUnfit: label sets differ: b has x", "the same names")


def test_any_other_end_says_how_to_go_on(tmp_path: Path) -> None:
    error = _failure(RunStatus("finished:failed", "Task failed with unknown error.", 0, 0), tmp_path)
    assert isinstance(error, RunFailed)
    assert error.exit_code == 3
    assert "--resume" in error.mend


def test_flowers_answer_is_found_below_what_it_says_before() -> None:
    answer = {"success": True, "runs": []}
    assert _last_object(f"Using SuperLink: federation\n{json.dumps(answer, indent=2)}\n") == answer
    assert _last_object("no answer") == _last_object("{broken") == {}
