"""What is started is what Flower's own parsers understand, quiet and private; and nothing outlives its end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from federated.deployment.environment import flower_environment, programs
from federated.deployment.network import Address, free_port
from federated.deployment.node_keys import ensure_node_key
from federated.deployment.processes import Program, wait_until
from federated.deployment.superlink import SuperLink
from federated.deployment.supernode import SuperNode
from tests.federated.deployment.listeners import made_certificates

FOREVER = "import time\nwhile True: time.sleep(1)"
PARENT_OF_TWO = f"""
import subprocess, sys
children = [subprocess.Popen([sys.executable, "-c", {FOREVER!r}], start_new_session=own) for own in (True, False)]
print(*(child.pid for child in children), flush=True)
children[0].wait()
"""
DEAF = "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('deaf', flush=True)\n" + FOREVER


def test_the_superlink_gets_tls_node_keys_a_database_and_no_installations(tmp_path: Path) -> None:
    from flwr.superlink.cli.flower_superlink import _parse_args_run_superlink

    files = made_certificates(tmp_path / "certificates")
    link = SuperLink(tmp_path, files, Address("127.0.0.1", free_port()))
    read = _parse_args_run_superlink().parse_args(link.command()[4:])
    assert (read.insecure, read.enable_supernode_auth, read.runtime_dependency_install) == (False, True, False)
    assert (read.ssl_certfile, read.ssl_keyfile) == (str(files.certificate), str(files.key))
    assert read.database == str(tmp_path / "superlink.db")


def test_the_supernode_gets_tls_its_key_and_its_own_rows(tmp_path: Path) -> None:
    from flwr.common.config import parse_config_args
    from flwr.supernode.cli.flower_supernode import _parse_args_run_supernode

    key = ensure_node_key(tmp_path)
    node = SuperNode(
        tmp_path, Address("::1", 8000), tmp_path / "a.crt", key, {"data": 'my "rows".jsonl', "name": "x y"}
    )
    read = _parse_args_run_supernode().parse_args(node.command(9094)[4:])
    assert (read.insecure, read.runtime_dependency_install, read.host) == (False, False, "127.0.0.1")
    assert (read.superlink, read.auth_supernode_private_key) == ("[::1]:8000", str(key.private))
    assert parse_config_args([read.node_config]) == {"data": 'my "rows".jsonl', "name": "x y"}


def test_flower_is_told_to_keep_quiet_and_to_stay_in_its_folder(tmp_path: Path) -> None:
    environment = flower_environment(tmp_path, first=tmp_path / "bin")
    said = subprocess.run(
        [sys.executable, "-c", QUIET], env=environment, capture_output=True, text=True, check=True
    ).stdout.split()
    assert said == ["False", "True", str(tmp_path)]
    assert environment["FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION"] == "1"
    assert environment["PATH"].split(os.pathsep)[:2] == [str(tmp_path / "bin"), str(programs())]


QUIET = """
from flwr.supercore import telemetry, update_check
from flwr.supercore.utils import get_flwr_home
import os
print(bool(int(telemetry.FLWR_TELEMETRY_ENABLED)), os.environ["FLWR_DISABLE_UPDATE_CHECK"] == "1", get_flwr_home())
"""


def started(folder: Path, code: str) -> Program:
    return Program([sys.executable, "-c", code], environment=dict(os.environ), log=folder / "program.log")


def test_what_a_program_started_ends_with_it(tmp_path: Path) -> None:
    program = started(tmp_path, PARENT_OF_TWO)
    assert wait_until(lambda: len(program.said().split()) == 2, seconds=20)
    children = [psutil.Process(int(pid)) for pid in program.said().split()]
    program.stop()
    assert program.code is not None
    psutil.wait_procs(children, timeout=5)
    assert not any(child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in children)


def test_children_of_a_program_that_was_killed_are_ended_as_well(tmp_path: Path) -> None:
    program = started(tmp_path, PARENT_OF_TWO)
    assert wait_until(lambda: len(program.said().split()) == 2, seconds=20)
    children = [int(pid) for pid in program.said().split()]
    os.kill(program.pid, signal.SIGKILL)
    assert program.wait(10) == -signal.SIGKILL
    program.stop()
    assert wait_until(lambda: not any(_alive(child) for child in children), seconds=5)


def test_a_program_that_does_not_listen_is_killed(tmp_path: Path) -> None:
    program = started(tmp_path, DEAF)
    assert wait_until(lambda: "deaf" in program.said(), seconds=20)
    began = time.monotonic()
    program.stop(grace=0.5)
    assert program.code == -signal.SIGKILL
    assert time.monotonic() - began < 5


def test_a_program_says_what_it_said_since_it_began(tmp_path: Path) -> None:
    (tmp_path / "program.log").write_text("of an earlier life\n")
    program = started(tmp_path, "print('of this one')")
    assert program.wait(20) == 0
    assert program.said() == "of this one\n"


def test_flower_ends_when_we_are_killed(tmp_path: Path) -> None:
    """Our programs watch the process that started them: a SuperLink does not outlive a killed `serve`."""
    parent = started(tmp_path, FOREVER)
    log = tmp_path / "orphan.log"
    environment = {**os.environ, "ABOVEBOARD_PARENT_PID": str(parent.pid)}
    lines = ["from federated.deployment import launch", f"launch.PROGRAMS['superlink'] = lambda: exec({FOREVER!r})"]
    code = "\n".join([*lines, "launch.main()"])
    orphan = Program([sys.executable, "-c", code, "superlink"], environment=environment, log=log)
    try:
        time.sleep(0.5)
        assert orphan.code is None
        parent.stop()
        assert orphan.wait(30) is not None
    finally:
        orphan.stop()
        parent.stop()


def test_a_program_that_cannot_end_in_order_is_killed_with_all_that_it_started(tmp_path: Path) -> None:
    """As Flower's SuperLink, which waits for connections to be closed; its children have sessions of their own."""
    parent = started(tmp_path, FOREVER)
    stuck = f"import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n{PARENT_OF_TWO}"
    lines = ["from federated.deployment import launch", "launch.GRACE_SECONDS = 0.5"]
    code = "\n".join([*lines, f"launch.PROGRAMS['superlink'] = lambda: exec({stuck!r}, {{}})", "launch.main()"])
    environment = {**os.environ, "ABOVEBOARD_PARENT_PID": str(parent.pid)}
    orphan = Program([sys.executable, "-c", code, "superlink"], environment=environment, log=tmp_path / "orphan.log")
    try:
        assert wait_until(lambda: len(orphan.said().split()) == 2, seconds=20)
        children = [int(pid) for pid in orphan.said().split()]
        parent.stop()
        assert orphan.wait(30) is not None
        assert wait_until(lambda: not any(_alive(child) for child in children), seconds=5)
    finally:
        orphan.stop()
        parent.stop()


def _alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])  # noqa: S104  # not bound
def test_a_superlink_on_every_address_is_asked_on_loopback(tmp_path: Path, host: str) -> None:
    link = SuperLink(tmp_path, made_certificates(tmp_path / "c"), Address(host, free_port()))
    assert link.own_address.host == "127.0.0.1"
