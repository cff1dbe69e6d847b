"""The containers of the example: their file fits the Compose Specification, and their commands are ours."""

from __future__ import annotations

import json
import shutil
import subprocess
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import yaml

FOLDER = Path(__file__).parents[3] / "examples" / "federation"
COMPOSE = FOLDER / "compose.yaml"
HOME = "/home/federation"


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load(COMPOSE.read_text())
    return read


def test_it_fits_the_compose_specification() -> None:
    schemas = files("check_jsonschema") / "builtin_schemas" / "vendor"
    schema = json.loads((schemas / "compose-spec.json").read_text())
    import jsonschema

    jsonschema.validators.validator_for(schema)(schema).validate(yaml.safe_load(COMPOSE.read_text()))


@pytest.mark.skipif(
    shutil.which("docker") is None
    or subprocess.run([str(shutil.which("docker")), "compose", "version"], capture_output=True, check=False).returncode
    != 0,
    reason="docker compose is not installed",
)
def test_docker_reads_it() -> None:
    command = [str(shutil.which("docker")), "compose", "-f", str(COMPOSE), "config", "--quiet"]
    subprocess.run(command, check=True, capture_output=True)


def test_every_command_is_one_of_ours_with_flags_that_it_has(compose: dict[str, Any]) -> None:
    from audit.main import cli

    for service in compose["services"].values():
        command = [str(word) for word in service["command"]]
        context = cli.make_context("aboveboard", command)
        name, found, rest = cli.resolve_command(context, [*context._protected_args, *context.args])
        assert found is not None
        found.make_context(name, rest, parent=context)


def test_no_secret_is_inside(compose: dict[str, Any]) -> None:
    from detect_secrets.core.scan import scan_file
    from detect_secrets.settings import default_settings

    with default_settings():
        assert [*scan_file(str(COMPOSE)), *scan_file(str(FOLDER / "Dockerfile"))] == []
    assert not any("environment" in service or "ports" in service for service in compose["services"].values())


def test_a_client_sees_its_own_folder_and_the_servers_public_part_alone(compose: dict[str, Any]) -> None:
    clients = {name: service for name, service in compose["services"].items() if name != "server"}
    assert len(clients) == 3
    for name, client in clients.items():
        mounted = dict(volume.split(":")[:2] for volume in client["volumes"])
        assert mounted == {
            "public": f"{HOME}/public", "./base": f"{HOME}/base", f"./clients/{name}": f"{HOME}/client",
        }  # fmt: skip
    assert compose["networks"]["federation"]["internal"] is True
    assert all(service["cap_drop"] == ["ALL"] for service in compose["services"].values())


def test_the_image_does_not_run_as_root() -> None:
    lines = (FOLDER / "Dockerfile").read_text().splitlines()
    assert lines.index("USER federation") < next(i for i, line in enumerate(lines) if line.startswith("ENTRYPOINT"))
