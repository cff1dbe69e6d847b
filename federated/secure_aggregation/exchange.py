"""The server's side: one secure round over any Flower grid, from the training messages to the sum.

exchange = SecureExchange(grid, SecureSettings(), accept=lambda node, content: None)
total = exchange(strategy.configure_train(...), timeout=600)
total.mean()    # {"layer.weight": float32 array, ...}
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

import numpy as np
from flwr.app import ConfigRecord, Message, RecordDict
from flwr.serverapp import Grid

from core_model.errors import OptionUnfit
from federated.secure_aggregation.conversation import Conversation
from federated.secure_aggregation.errors import Refused
from federated.secure_aggregation.graph import neighbourhoods
from federated.secure_aggregation.masking import Vector
from federated.secure_aggregation.messages import (
    ADVERTISE,
    AGREE,
    MASK,
    RECORD,
    SHARE,
    UNMASK,
    config,
    data,
    number,
    record_of,
)
from federated.secure_aggregation.quantizing import COUNTS, Scale, choose_scale, outliers
from federated.secure_aggregation.round_state import (
    Advertised,
    Revealed,
    RoundState,
    read_advertised,
    read_masked,
    read_revealed,
    read_shared,
)
from federated.secure_aggregation.secure_sum import SecureSum, sum_of
from federated.secure_aggregation.settings import SecureSettings

Accept = Callable[[int, RecordDict], str | None]
UNSIGNED = "its public keys are not signed; aboveboard federate join --roster FILE"


class SecureExchange:
    """A secure round over a grid.

    Args:
        settings: see `SecureSettings`.
        accept: called with every client's node and training reply (its proof, no update); a reason refuses the client
            before anything of it can enter the sum.
    """

    def __init__(self, grid: Grid, settings: SecureSettings, accept: Accept = lambda node, content: None) -> None:
        self.grid, self.settings, self.accept = grid, settings, accept

    def __call__(self, messages: Collection[Message], timeout: float) -> SecureSum:
        """Run one round.

        Args:
            messages: a strategy's training messages: one a client, all with the same "arrays" and a "server-round" in
                "config".
            timeout: seconds that the training may take; the other stages have their own.
        Raises: RoundUnsafe when too few clients are left; OptionUnfit for settings that protect nobody.
        """
        messages = list(messages)
        if not messages:
            raise OptionUnfit("a secure round without clients", mend="--clients 3 or more")
        content = messages[0].content
        shapes = {name: tuple(array.shape) for name, array in content.array_records["arrays"].items()}
        terms = self.settings.terms(number(content.config_records["config"], "server-round"), len(messages))
        talk, current = Conversation(self.grid, terms, messages[0].metadata.group_id), RoundState(terms)
        self._advertise(talk, current, messages, timeout)
        self._share(talk, current)
        scale = choose_scale([current.advertised[node].announced for node in current.shared], self.settings)
        self._mask(talk, current, scale, shapes)
        revealed = self._unmask(talk, current, self._agree(talk, current) if current.signed else {})
        announced = terms.clip_range is None or terms.max_weight is None
        return sum_of(current, scale, shapes, revealed, announced=announced, dropped=talk.dropped)

    def _advertise(self, talk: Conversation, current: RoundState, messages: list[Message], timeout: float) -> None:
        """The training: keys and announcements of those whose proof holds."""

        def read(node: int, content: RecordDict) -> Advertised:
            if content.array_records:
                raise Refused("the update came in clear: the client lacks the mod", mend="secure_aggregation_mod")
            if reason := self.accept(node, content):
                raise Refused(reason, mend="see what the client says that it applied")
            return read_advertised(content, talk.terms)

        def asked(message: Message) -> Message:  # the strategy's messages may share one content: it is not changed
            told = config(stage=ADVERTISE, terms=talk.terms.model_dump_json())
            content, about = RecordDict({**message.content, RECORD: told}), message.metadata
            return Message(content, about.dst_node_id, about.message_type, group_id=about.group_id)

        advertised = talk.send(ADVERTISE, [asked(message) for message in messages], read, timeout=timeout)
        refused = outliers({node: one.announced for node, one in advertised.items()}, self.settings.range_outlier)
        if self.settings.require_signatures or any(one.keys["signature"] for one in advertised.values()):
            unsigned = (node for node, one in advertised.items() if not one.keys["signature"])
            refused |= dict.fromkeys(unsigned, UNSIGNED)
        for node, reason in refused.items():
            talk.lose(node, ADVERTISE, reason)
        current.advertised = {node: one for node, one in advertised.items() if node not in refused}
        talk.need(len(current.advertised), ADVERTISE)

    def _share(self, talk: Conversation, current: RoundState) -> None:
        """Shares of everybody's secrets, encrypted for its neighbours."""
        current.neighbours = neighbourhoods(list(current.advertised), talk.terms.neighbours)
        asked = {}
        for node, around in current.neighbours.items():
            keys = [current.advertised[other].keys for other in around]
            asked[node] = config(
                nodes=around,
                mask_publics=[one["mask-public"] for one in keys],
                cipher_publics=[one["cipher-public"] for one in keys],
                identities=[one["identity"] for one in keys],
                signatures=[one["signature"] for one in keys],
            )
        current.shared = talk.query(
            SHARE,
            asked,
            lambda node, content: read_shared(content, set(current.neighbours[node]) - {node}),
            timeout=self.settings.stage_timeout,
        )

    def _mask(
        self, talk: Conversation, current: RoundState, scale: Scale, shapes: Mapping[str, tuple[int, ...]]
    ) -> None:
        """Everybody's masked vector, added to the sum as it is read."""
        head, body = COUNTS + len(scale.metrics), sum(int(np.prod(shape)) for shape in shapes.values())
        total = Vector.zero(head, body, scale.bits)

        def read(node: int, content: RecordDict) -> None:
            total.add(read_masked(content, head=head, body=body, bits=scale.bits))

        asked = {}
        for node in current.shared:
            sources = [other for other in current.alive(node, current.shared) if other != node]
            asked[node] = config(
                nodes=sources,
                ciphertexts=[current.shared[other].ciphertexts[node] for other in sources],
                scale=scale.model_dump_json(),
            )
        current.survivors = talk.query(MASK, asked, read, timeout=self.settings.stage_timeout)
        current.total = total

    def _agree(self, talk: Conversation, current: RoundState) -> dict[int, bytes]:
        """Everybody's signature of the list of survivors."""
        survivors = list(current.survivors)
        return talk.query(
            AGREE,
            {node: config(survivors=survivors) for node in survivors},
            lambda node, content: data(record_of(content), "signature"),
            timeout=self.settings.stage_timeout,
        )

    def _unmask(self, talk: Conversation, current: RoundState, signatures: Mapping[int, bytes]) -> dict[int, Revealed]:
        """One share for each neighbour, from whoever is left."""
        asked: dict[int, ConfigRecord] = {}
        for node in signatures or current.survivors:
            alive = current.alive(node, current.survivors)
            signers = [other for other in alive if other in signatures]
            asked[node] = config(
                survivors=alive,
                lost=[other for other in current.alive(node, current.shared) if other not in current.survivors],
                signers=signers,
                signatures=[signatures[other] for other in signers],
            )
        return talk.query(
            UNMASK, asked, lambda node, content: read_revealed(content), timeout=self.settings.stage_timeout
        )
