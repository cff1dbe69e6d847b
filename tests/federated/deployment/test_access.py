"""From another machine a SuperLink answers clients, and nobody who would be its operator: all of Flower's routes."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from federated.deployment.access import LocalControl

HERE, SERVER, ELSEWHERE = "127.0.0.1", "192.0.2.1", "192.0.2.77"


def answer(path: str, client: str | None, *, kind: str = "http") -> list[dict[str, Any]]:
    """What a request gets: the app's "passed", or the middleware's refusal."""
    sent: list[dict[str, Any]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"passed": True})

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {}

    scope = {"type": kind, "path": path, "client": (client, 5000) if client else None, "server": (SERVER, 8000)}
    asyncio.run(LocalControl(app)(scope, receive, send))
    return sent


def flower_paths() -> list[str]:
    """All paths that Flower's SuperLink answers to."""
    from fastapi.routing import iter_route_contexts
    from flwr.superlink.main import create_app

    paths = {getattr(found.route, "path", "") for found in iter_route_contexts(create_app().routes)}
    return sorted(path for path in paths if path)


def test_all_that_is_not_for_clients_is_closed_to_other_machines() -> None:
    paths = flower_paths()
    closed = [path for path in paths if answer(path, ELSEWHERE)[0].get("status") == 403]
    open_ = sorted(set(paths) - set(closed))
    assert {path.split("/")[2] for path in closed if path.startswith("/v1/")} == {"control", "runtime"}
    assert all(path.startswith("/v1/fleet/") or path == "/health" for path in open_)
    assert "/v1/control/start-run" in closed
    assert "/v1/control/register-node" in closed


@pytest.mark.parametrize("client", [HERE, "::1", "::ffff:127.0.0.1", SERVER])
def test_the_machine_itself_may_ask_for_all(client: str) -> None:
    assert answer("/v1/control/start-run", client) == [{"passed": True}]


@pytest.mark.parametrize(
    "path", ["/v1/fleet", "/v1/fleetx/a", "/health/x", "//v1/fleet/a", "/v1/control/../fleet/a", "/"]
)
def test_a_path_that_only_looks_like_the_clients_part_is_closed(path: str) -> None:
    assert answer(path, ELSEWHERE)[0]["status"] == 403


def test_nobody_is_closed_out_by_being_unknown_alone() -> None:
    assert answer("/v1/control/start-run", None)[0]["status"] == 403
    assert answer("/v1/fleet/pull-messages", None) == [{"passed": True}]
    assert answer("/v1/control/x", ELSEWHERE, kind="websocket")[0]["type"] == "websocket.close"
