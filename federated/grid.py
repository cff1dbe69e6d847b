"""An engine without processes: a Flower Grid that calls the ClientApp directly, one client after the other.

    grid = InProcessGrid(client_app, clients=10, run_config={"federation": settings.to_text()})
    replies = grid.send_and_receive(messages, timeout=60)

The clients count as running side by side: each one's own time is held against the deadline, and a client that is late
is dropped as Flower drops it, without a reply. Nothing here can cut a client short; Flower's own engines can. A client
that raises answers with an error, as in Flower.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from uuid import uuid4

from federated.environment import quiet_flower

quiet_flower()

from flwr.app import ConfigRecord, Context, Error, Message, RecordDict  # noqa: E402
from flwr.clientapp import ClientApp  # noqa: E402
from flwr.common.constant import SUPERLINK_NODE_ID, ErrorCode  # noqa: E402
from flwr.serverapp import Grid  # noqa: E402
from flwr.supercore.run import Run  # noqa: E402
from flwr.supercore.task_identity import TaskIdentity  # noqa: E402

RUN = 1  # there is one run in a process
REASON_CHARACTERS = 2_000  # of a client's error that travel


class InProcessGrid(Grid):
    """See the module's docstring.

    Args:
        app: what each client runs.
        clients: how many; client i is node i + 1, with `partition-id` i.
        run_config: configuration of the run, as every client sees it.
        stopped: asked before each client; when true the round is left by KeyboardInterrupt.
    Attributes:
        contexts: of each node, with the state that stays with it.
    """

    def __init__(
        self,
        app: ClientApp,
        *,
        clients: int,
        run_config: Mapping[str, Any] | None = None,
        stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        be_the_server()
        self.app, self.stopped = app, stopped
        self.contexts = {
            client + 1: Context(
                run_id=RUN,
                node_id=client + 1,
                node_config={"partition-id": client, "num-partitions": clients},
                state=RecordDict(),
                run_config=dict(run_config or {}),
            )
            for client in range(clients)
        }
        self._run = Run.create_empty(run_id=RUN)
        self._replies: dict[str, Message] = {}

    def set_run(self, run: Run) -> None:
        """See `Grid`."""
        self._run = run

    @property
    def run(self) -> Run:
        """See `Grid`."""
        return self._run

    def create_message(
        self, content: RecordDict, message_type: str, dst_node_id: int, group_id: str, ttl: float | None = None
    ) -> Message:
        """See `Grid`."""
        return Message(content, dst_node_id, message_type, ttl=ttl, group_id=group_id)

    def get_node_ids(self) -> Iterable[int]:
        """See `Grid`."""
        return list(self.contexts)

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Run each message's client at once; its reply waits to be pulled."""
        pushed = []
        for message in messages:
            reply = self._call(message)
            self._replies[message.metadata.message_id] = reply
            pushed.append(message.metadata.message_id)
        return pushed

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """See `Grid`."""
        return [self._replies.pop(name) for name in message_ids if name in self._replies]

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterable[Message]:
        """The replies that came in time, in the order of the messages.

        Args:
            timeout: seconds that each client has.
        Raises: KeyboardInterrupt when somebody asked to stop.
        """
        replies = []
        for message in messages:
            begun = time.monotonic()
            reply = self._call(message)
            if timeout is None or time.monotonic() - begun <= timeout:
                replies.append(reply)
        return replies

    def _call(self, message: Message) -> Message:
        if self.stopped():
            raise KeyboardInterrupt
        message.metadata.__dict__["_message_id"] = uuid4().hex  # as Flower's SuperLink does
        context = self.contexts.get(message.metadata.dst_node_id)
        if context is None:
            return _failed(message, ErrorCode.NODE_UNAVAILABLE, "there is no such node")
        # A client may write into what it was sent; others were sent the same records.
        message.content = RecordDict({name: _own(record) for name, record in message.content.items()})
        try:
            reply = self.app(message, context)
        except Exception as error:
            return _failed(message, ErrorCode.CLIENT_APP_RAISED_EXCEPTION, f"{type(error).__name__}: {error}")
        reply.metadata.__dict__["_message_id"] = uuid4().hex
        return reply


def be_the_server() -> None:
    """Flower's messages ask who sends them; in its own engines the process that starts a task says so."""
    TaskIdentity.task_id, TaskIdentity.run_id, TaskIdentity.node_id = 1, RUN, SUPERLINK_NODE_ID


def _own(record: Any) -> Any:
    return ConfigRecord(dict(record)) if isinstance(record, ConfigRecord) else record


def _failed(message: Message, code: int, reason: str) -> Message:
    return Message(Error(code=code, reason=reason[:REASON_CHARACTERS]), reply_to=message)
