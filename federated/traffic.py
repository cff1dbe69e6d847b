"""The grid of one round: it shows the nodes that were chosen, and counts the bytes that go through it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from federated.environment import quiet_flower

quiet_flower()

from flwr.app import Message, RecordDict  # noqa: E402
from flwr.common.serde import message_to_proto  # noqa: E402
from flwr.serverapp import Grid  # noqa: E402
from flwr.supercore.run import Run  # noqa: E402


class RoundGrid(Grid):
    """A grid that shows some of another's nodes, and measures every message on its way.

    Bytes are those of the message as protobuf writes it, before TLS and the frames of HTTP. What all clients are sent
    counts once for each of them.

    Attributes:
        bytes_down, bytes_up: to the clients and from them, so far.
    """

    def __init__(self, grid: Grid, nodes: Sequence[int]) -> None:
        self.grid, self.nodes = grid, list(nodes)
        self.bytes_down = self.bytes_up = 0
        self._measured: tuple[RecordDict, int] | None = None  # the records that were measured last, and their bytes

    def set_run(self, run: Run) -> None:
        """See `Grid`."""
        self.grid.set_run(run)

    @property
    def run(self) -> Run:
        """See `Grid`."""
        return self.grid.run

    def create_message(
        self, content: RecordDict, message_type: str, dst_node_id: int, group_id: str, ttl: float | None = None
    ) -> Message:
        """See `Grid`."""
        return self.grid.create_message(content, message_type, dst_node_id, group_id, ttl)

    def get_node_ids(self) -> Iterable[int]:
        """The chosen nodes."""
        return self.nodes

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """See `Grid`; measured."""
        sent = list(messages)
        self._measure_down(sent)
        return self.grid.push_messages(sent)

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """See `Grid`; measured."""
        replies = list(self.grid.pull_messages(message_ids))
        self.bytes_up += sum(map(bytes_of, replies))
        return replies

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterable[Message]:
        """See `Grid`; measured. Messages go out in the order of the nodes, whatever order a strategy made them in."""
        sent = sorted(messages, key=lambda message: message.metadata.dst_node_id)
        self._measure_down(sent)
        replies = list(self.grid.send_and_receive(sent, timeout=timeout))
        self.bytes_up += sum(map(bytes_of, replies))
        return replies

    def _measure_down(self, messages: Sequence[Message]) -> None:
        """A strategy sends the same records to every node: they are written out once, to be measured."""
        for message in messages:
            content = message.content if message.has_content() else None
            if content is None or self._measured is None or self._measured[0] is not content:
                size = bytes_of(message)
                self._measured = (content, size) if content is not None else None
            else:
                size = self._measured[1]
            self.bytes_down += size


def bytes_of(message: Message) -> int:
    """Length of a message as protobuf writes it."""
    return int(message_to_proto(message).ByteSize())
