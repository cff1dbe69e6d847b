"""The server asks every client of a stage, and takes down who was lost and why. No stage waits for ever."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TypeVar

from flwr.app import ConfigRecord, Message, RecordDict
from flwr.serverapp import Grid

from core_model.errors import OptionUnfit
from federated.secure_aggregation.errors import Lost, too_few
from federated.secure_aggregation.messages import QUERY, RECORD
from federated.secure_aggregation.settings import Terms

T = TypeVar("T")
REASON_CHARACTERS = 300  # of what a client says, in the record


class Conversation:
    """All stages of one round.

    Args:
        grid: any Flower grid. terms: of the round. group: Flower's group of messages.
    Attributes:
        dropped: who was lost so far.
    """

    def __init__(self, grid: Grid, terms: Terms, group: str) -> None:
        self.grid, self.terms, self.group = grid, terms, group
        self.dropped: list[Lost] = []

    def query(
        self, stage: str, asked: Mapping[int, ConfigRecord], read: Callable[[int, RecordDict], T], *, timeout: float
    ) -> dict[int, T]:
        """Send each node its record, in a stage after the training; see `send`."""
        messages = []
        for node, record in asked.items():
            record["stage"], record["session"], record["round"] = stage, self.terms.session, self.terms.round
            messages.append(Message(RecordDict({RECORD: record}), node, QUERY, group_id=self.group))
        return self.send(stage, messages, read, timeout=timeout)

    def send(
        self, stage: str, messages: Collection[Message], read: Callable[[int, RecordDict], T], *, timeout: float
    ) -> dict[int, T]:
        """What the nodes answered, read; whoever is late, refuses or cannot be read is lost.

        Args:
            read: from node and content; raises anything for what is no answer.
            timeout: seconds for all answers together.
        Raises: RoundUnsafe when fewer than the minimum are left.
        """
        if not timeout > 0:
            raise OptionUnfit(f"a stage of secure aggregation may take {timeout} seconds", mend="--deadline 600")
        waiting = {message.metadata.dst_node_id for message in messages}
        answers: dict[int, T] = {}
        for reply in self._replies(messages, timeout):
            node = reply.metadata.src_node_id
            if node not in waiting:
                continue  # not asked, or a second answer
            waiting.discard(node)
            if reply.has_error():
                self.lose(node, stage, reply.error.reason or f"error {reply.error.code}")
                continue
            try:
                answers[node] = read(node, reply.content)
            except Exception as problem:  # NumPy's reader raises what it likes on bytes that are no array
                self.lose(node, stage, f"an answer that is none: {problem}")
        for node in sorted(waiting):
            self.lose(node, stage, f"no answer within {timeout:g} seconds")
        self.need(len(answers), stage)
        return dict(sorted(answers.items()))

    def lose(self, node: int, stage: str, reason: str) -> None:
        """Go on without a node."""
        self.dropped.append(Lost(node, stage, reason[:REASON_CHARACTERS]))

    def need(self, have: int, stage: str) -> None:
        """Raises: RoundUnsafe when fewer than the minimum are left."""
        if have < self.terms.minimum:
            raise too_few(have, self.terms.minimum, stage=stage, dropped=self.dropped)

    def _replies(self, messages: Collection[Message], timeout: float) -> Iterable[Message]:
        return self.grid.send_and_receive(list(messages), timeout=timeout)
