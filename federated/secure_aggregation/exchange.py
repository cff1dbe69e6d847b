"""The server's side: one secure round over any Flower grid, from the training messages to the sum.

exchange = SecureExchange(grid, SecureSettings(), accept=lambda node, content: None)
total = exchange(strategy.configure_train(...), timeout=600)
total.mean()    # {"layer.weight": float32 array, ...}
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from flwr.app import ConfigRecord, Message, RecordDict
from flwr.serverapp import Grid

from core_model.errors import OptionUnfit
from federated.secure_aggregation.adversaries import Holds, adversaries
from federated.secure_aggregation.conversation import Conversation
from federated.secure_aggregation.errors import Lost, Refused, RoundUnsafe
from federated.secure_aggregation.graph import neighbourhoods
from federated.secure_aggregation.masking import BODY, HEAD, Vector
from federated.secure_aggregation.messages import (
    ADVERTISE,
    AGREE,
    MASK,
    MASKED,
    PROOF,
    RECORD,
    SHARE,
    UNMASK,
    config,
    data,
    number,
    pairs,
    record_of,
    texts,
)
from federated.secure_aggregation.quantizing import COUNTS, Announcement, Scale, choose_scale, decode, outliers
from federated.secure_aggregation.settings import SecureSettings, Terms
from federated.secure_aggregation.unmasking import Unrecoverable, remove_own_mask, remove_pairwise_masks

Accept = Callable[[int, RecordDict], str | None]


@dataclass(frozen=True)
class SecureSum:
    """What the server learns of a round.

    Attributes:
        update_sum: sum of weight times update, float64, by parameter. weight_sum: sum of the weights.
        metrics: weighted means of the metrics that all clients measured.
        survivors: nodes in the sum. dropped: nodes that are not, each with stage and reason.
        scale: how updates became integers.
        quantization_error: no value of `mean()` is off by more; measured by the clients, summed under the masks.
        quantization_error_rms: root mean square of that error.
        proofs: what each survivor says that it applied.
        signed: whether node keys signed public keys and lists.
        adversaries: what each part holds against.
    """

    update_sum: dict[str, np.ndarray]
    weight_sum: int
    metrics: dict[str, float]
    survivors: tuple[int, ...]
    dropped: tuple[Lost, ...]
    scale: Scale
    quantization_error: float
    quantization_error_rms: float
    proofs: dict[int, ConfigRecord]
    signed: bool
    adversaries: tuple[Holds, ...]

    def mean(self) -> dict[str, np.ndarray]:
        """The weighted mean of the updates, float32."""
        return {name: (array / self.weight_sum).astype(np.float32) for name, array in self.update_sum.items()}


class _Advertised(NamedTuple):
    keys: dict[str, bytes]
    announced: Announcement
    proof: ConfigRecord


class _Shared(NamedTuple):
    ciphertexts: dict[int, bytes]  # by the node that each is meant for
    commitment: bytes


@dataclass
class _Round:
    """What the server holds of a round, stage by stage."""

    talk: Conversation
    advertised: dict[int, _Advertised] = field(default_factory=dict)
    neighbours: dict[int, list[int]] = field(default_factory=dict)
    shared: dict[int, _Shared] = field(default_factory=dict)
    masked: dict[int, Vector] = field(default_factory=dict)

    @property
    def terms(self) -> Terms:
        return self.talk.terms

    @property
    def signed(self) -> bool:
        return all(one.keys["signature"] for one in self.advertised.values())

    def alive(self, node: int, among: Collection[int]) -> list[int]:
        """Neighbours of a node, itself included, that came as far as `among`."""
        return [other for other in self.neighbours[node] if other in among]


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
        first = next(iter(messages), None)
        if first is None:
            raise OptionUnfit("a secure round without clients", mend="--clients 3 or more")
        shapes = {name: tuple(array.shape) for name, array in first.content.array_records["arrays"].items()}
        server_round = number(first.content.config_records["config"], "server-round")
        terms = self.settings.terms(server_round, len(messages))
        current = _Round(Conversation(self.grid, terms, first.metadata.group_id))
        self._advertise(current, messages, timeout)
        self._share(current)
        scale = choose_scale([current.advertised[node].announced for node in current.shared], self.settings)
        self._mask(current, scale, sum(int(np.prod(shape)) for shape in shapes.values()))
        return self._sum(current, scale, shapes, self._unmask(current))

    def _advertise(self, current: _Round, messages: Collection[Message], timeout: float) -> None:
        """The training: keys and announcements of those whose proof holds."""

        def read(node: int, content: RecordDict) -> _Advertised:
            if content.array_records:
                raise Refused("the update came in clear: the client lacks the mod", mend="secure_aggregation_mod")
            reason = self.accept(node, content)
            if reason:
                raise Refused(reason, mend="")
            return _read_advertised(content, current.terms)

        record = config(stage=ADVERTISE, terms=current.terms.model_dump_json())
        asked = [
            Message(
                RecordDict({**message.content, RECORD: ConfigRecord(dict(record))}),
                message.metadata.dst_node_id,
                message.metadata.message_type,
                group_id=message.metadata.group_id,
            )
            for message in messages
        ]
        advertised = current.talk.send(ADVERTISE, asked, read, timeout=timeout)
        announced = {node: one.announced for node, one in advertised.items()}
        refused = outliers(announced, self.settings.range_outlier)
        some_signed = self.settings.require_signatures or any(one.keys["signature"] for one in advertised.values())
        for node, one in advertised.items():
            if some_signed and not one.keys["signature"]:
                refused[node] = "its public keys are not signed"
        for node, reason in refused.items():
            current.talk.lose(node, ADVERTISE, reason)
        current.advertised = {node: one for node, one in advertised.items() if node not in refused}
        current.talk.need(len(current.advertised), ADVERTISE)

    def _share(self, current: _Round) -> None:
        """Shares of everybody's secrets, encrypted for its neighbours."""
        current.neighbours = neighbourhoods(list(current.advertised), current.terms.neighbours)

        def read(node: int, content: RecordDict) -> _Shared:
            record = record_of(content)
            shared = _Shared(pairs(record, "nodes", "ciphertexts"), data(record, "commitment"))
            if set(shared.ciphertexts) != set(current.neighbours[node]) - {node}:
                raise Refused("shares for others than its neighbours", mend="")
            return shared

        asked = {}
        for node in current.advertised:
            keys = [current.advertised[other].keys for other in current.neighbours[node]]
            asked[node] = config(
                nodes=current.neighbours[node],
                mask_publics=[one["mask-public"] for one in keys],
                cipher_publics=[one["cipher-public"] for one in keys],
                identities=[one["identity"] for one in keys],
                signatures=[one["signature"] for one in keys],
            )
        current.shared = current.talk.query(SHARE, asked, read, timeout=self.settings.stage_timeout)

    def _mask(self, current: _Round, scale: Scale, size: int) -> None:
        """Everybody's masked vector."""

        def read(node: int, content: RecordDict) -> Vector:
            arrays = content.array_records[MASKED]
            vector = Vector(arrays["head"].numpy(), arrays["body"].numpy())
            head, body = (COUNTS + len(scale.metrics),), (size,)
            if (vector.head.shape, vector.body.shape) != (head, body):
                raise Refused(f"shapes {vector.head.shape} and {vector.body.shape}, not {head} and {body}", mend="")
            if (vector.head.dtype, vector.body.dtype) != (HEAD, BODY[scale.bits]):
                raise Refused(f"{vector.head.dtype} and {vector.body.dtype}", mend="")
            return vector

        asked = {}
        for node in current.shared:
            sources = [other for other in current.alive(node, current.shared) if other != node]
            asked[node] = config(
                nodes=sources,
                ciphertexts=[current.shared[other].ciphertexts[node] for other in sources],
                scale=scale.model_dump_json(),
            )
        current.masked = current.talk.query(MASK, asked, read, timeout=self.settings.stage_timeout)

    def _unmask(self, current: _Round) -> dict[int, tuple[dict[int, bytes], dict[int, bytes]]]:
        """Shares that each helper reveals: of survivors' seeds, and of lost clients' keys; by helper, then by owner."""
        survivors = list(current.masked)
        signatures: dict[int, bytes] = {}
        if current.signed:
            signatures = current.talk.query(
                AGREE,
                {node: config(survivors=survivors) for node in survivors},
                lambda node, content: data(record_of(content), "signature"),
                timeout=self.settings.stage_timeout,
            )

        def read(node: int, content: RecordDict) -> tuple[dict[int, bytes], dict[int, bytes]]:
            record = record_of(content)
            return pairs(record, "survivors", "seed-shares"), pairs(record, "lost", "key-shares")

        asked = {}
        for node in signatures or survivors:
            alive = current.alive(node, current.masked)
            signers = [other for other in alive if other in signatures]
            asked[node] = config(
                survivors=alive,
                lost=[other for other in current.alive(node, current.shared) if other not in current.masked],
                signers=signers,
                signatures=[signatures[other] for other in signers],
            )
        return current.talk.query(UNMASK, asked, read, timeout=self.settings.stage_timeout)

    def _sum(
        self,
        current: _Round,
        scale: Scale,
        shapes: Mapping[str, tuple[int, ...]],
        revealed: Mapping[int, tuple[dict[int, bytes], dict[int, bytes]]],
    ) -> SecureSum:
        """Add the masked vectors up, take the masks off, and read the sum."""
        vectors = list(current.masked.values())
        total = Vector.zero(len(vectors[0].head), len(vectors[0].body), scale.bits)
        for vector in vectors:
            total.add(vector)
        publics = {node: one.keys["mask-public"] for node, one in current.advertised.items()}
        node = 0
        try:
            for node, shared in current.shared.items():
                threshold = current.terms.threshold(len(current.neighbours[node]))
                if node in current.masked:
                    shares = [seeds[node] for seeds, _ in revealed.values() if node in seeds]
                    remove_own_mask(total, shares, threshold, shared.commitment)
                else:
                    shares = [keys[node] for _, keys in revealed.values() if node in keys]
                    alive = current.alive(node, current.masked)
                    remove_pairwise_masks(total, node, shares, threshold, publics, alive)
            decoded = decode(total, scale, len(vectors))
        except (Unrecoverable, ValueError) as problem:
            raise RoundUnsafe(
                f"secure aggregation: the masks of node {node} cannot be taken off: {problem}",
                mend="repeat the round without that node, or with more survivors",
                stage=UNMASK,
                dropped=current.talk.dropped,
            ) from problem
        pieces = np.split(decoded.values, np.cumsum([int(np.prod(shape)) for shape in shapes.values()])[:-1])
        announced = self.settings.clip_range is None or (self.settings.weighted and self.settings.max_weight is None)
        return SecureSum(
            update_sum={
                name: piece.reshape(shape) for (name, shape), piece in zip(shapes.items(), pieces, strict=True)
            },
            weight_sum=decoded.weight,
            metrics=decoded.metrics,
            survivors=tuple(current.masked),
            dropped=tuple(current.talk.dropped),
            scale=scale,
            quantization_error=decoded.error_bound,
            quantization_error_rms=decoded.error_rms,
            proofs={node: current.advertised[node].proof for node in current.masked},
            signed=current.signed,
            adversaries=adversaries(
                current.terms,
                shares=min(len(around) for around in current.neighbours.values()),
                signed=current.signed,
                announced=announced,
                survivors=len(vectors),
            ),
        )


def _read_advertised(content: RecordDict, terms: Terms) -> _Advertised:
    record = record_of(content)
    keys = {name: data(record, name) for name in ("mask-public", "cipher-public", "identity", "signature")}
    announced = Announcement(
        range_exponent=number(record, "range-exponent") if terms.clip_range is None else None,
        weight_exponent=number(record, "weight-exponent") if terms.max_weight is None else None,
        metrics=tuple(texts(record, "metrics")),
    )
    if not -24 <= (announced.range_exponent or 0) <= 128 or not 0 <= (announced.weight_exponent or 0) <= 40:
        raise Refused(f"announces {announced}", mend="")
    return _Advertised(keys, announced, content.config_records.get(PROOF, ConfigRecord()))
