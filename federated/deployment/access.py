"""Who may ask the SuperLink for what: its operator's and its own programs' part is for its own machine alone.

Flower 1.41 answers three interfaces on one port. The Fleet interface, for clients, is authenticated by the clients'
keys. The Control interface (register a key, start a run) and the Runtime interface (act as the server's app) ask for no
proof at all unless an account system of Flower's enterprise edition is there: whoever reaches the port could register a
key of his own, or send every client a program of his own. So requests to anything but the Fleet interface are refused
unless they come from the machine itself. A reverse proxy on that machine would make everybody local: let it pass
/v1/fleet and nothing else.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

FOR_CLIENTS = ("/v1/fleet/", "/health")
REFUSAL = b"this part of the server answers on its own machine alone"


class LocalControl:
    """ASGI middleware: 403 for what is not for clients, unless the request comes from this very machine."""

    def __init__(self, app: App) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] == "lifespan" or may_pass(scope):
            await self.app(scope, receive, send)
            return
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 403, "headers": [(b"content-type", b"text/plain")]})
            await send({"type": "http.response.body", "body": REFUSAL})
        else:
            await send({"type": "websocket.close", "code": 1008})


def may_pass(scope: Scope) -> bool:
    """Whether a request is for clients, or from this machine: a loopback address, or the one that it arrived at."""
    path = str(scope["path"])
    if path == FOR_CLIENTS[1] or path.startswith(FOR_CLIENTS[0]):
        return True
    client, server = scope.get("client"), scope.get("server")
    if client is None:
        return False
    return _is_loopback(client[0]) or (server is not None and client[0] == server[0])


def _is_loopback(address: str) -> bool:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    mapped = getattr(parsed, "ipv4_mapped", None)
    return bool((mapped or parsed).is_loopback)
