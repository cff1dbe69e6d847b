"""What the server holds of a round: who advertised, who shared, who masked, and the sum so far."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import NamedTuple

from flwr.app import ConfigRecord, RecordDict

from federated.secure_aggregation.errors import Refused
from federated.secure_aggregation.masking import BODY, HEAD, Vector
from federated.secure_aggregation.messages import MASKED, PROOF, data, number, pairs, record_of, texts
from federated.secure_aggregation.quantizing import SMALLEST_EXPONENT, Announcement
from federated.secure_aggregation.settings import Terms

LARGEST_EXPONENTS = (128, 40)  # of float32 values, and of examples


class Advertised(NamedTuple):
    """A training reply: public keys with their signature, what was announced, and the proof."""

    keys: dict[str, bytes]
    announced: Announcement
    proof: ConfigRecord


class Shared(NamedTuple):
    """Encrypted shares by the node that each is meant for, and the SHA-256 of the seed of the own mask."""

    ciphertexts: dict[int, bytes]
    commitment: bytes


class Revealed(NamedTuple):
    """Shares by the node whose secret they are of: of survivors' seeds, and of lost clients' mask keys."""

    seeds: dict[int, bytes]
    keys: dict[int, bytes]


@dataclass
class RoundState:
    """One round, stage by stage.

    Attributes:
        terms: what every client was told.
        neighbours: of each node that advertised, itself among them.
        survivors: whose masked vectors are in `total`.
    """

    terms: Terms
    advertised: dict[int, Advertised] = field(default_factory=dict)
    neighbours: dict[int, list[int]] = field(default_factory=dict)
    shared: dict[int, Shared] = field(default_factory=dict)
    survivors: dict[int, None] = field(default_factory=dict)
    total: Vector | None = None

    @property
    def signed(self) -> bool:
        """Whether node keys signed the public keys; the others are left out where some do."""
        return all(one.keys["signature"] for one in self.advertised.values())

    def alive(self, node: int, among: Collection[int]) -> list[int]:
        """Neighbours of a node, itself included, that came as far as `among`."""
        return [other for other in self.neighbours[node] if other in among]


def read_advertised(content: RecordDict, terms: Terms) -> Advertised:
    """Raises: Refused for what is no training reply."""
    record = record_of(content)
    keys = {name: data(record, name) for name in ("mask-public", "cipher-public", "identity", "signature")}
    announced = Announcement(
        range_exponent=number(record, "range-exponent") if terms.clip_range is None else None,
        weight_exponent=number(record, "weight-exponent") if terms.max_weight is None else None,
        metrics=tuple(texts(record, "metrics")),
    )
    most_range, most_weight = LARGEST_EXPONENTS
    if not SMALLEST_EXPONENT <= (announced.range_exponent or 0) <= most_range:
        raise Refused(f"announces values up to 2^{announced.range_exponent}", mend="train anew")
    if not 0 <= (announced.weight_exponent or 0) <= most_weight:
        raise Refused(f"announces up to 2^{announced.weight_exponent} examples", mend="fewer examples")
    return Advertised(keys, announced, content.config_records.get(PROOF, ConfigRecord()))


def read_shared(content: RecordDict, others: set[int]) -> Shared:
    """Raises: Refused for shares that are not for the others of the neighbourhood, each once."""
    record = record_of(content)
    shared = Shared(pairs(record, "nodes", "ciphertexts"), data(record, "commitment"))
    if set(shared.ciphertexts) != others:
        raise Refused("shares for others than its neighbours", mend="a client of this version")
    return shared


def read_masked(content: RecordDict, *, head: int, body: int, bits: int) -> Vector:
    """Raises: Refused for other shapes or types."""
    arrays = content.array_records[MASKED]
    vector = Vector(arrays["head"].numpy(), arrays["body"].numpy())
    found = [(one.shape, one.dtype) for one in (vector.head, vector.body)]
    if found != [((head,), HEAD), ((body,), BODY[bits])]:
        raise Refused(f"a masked vector of {found}", mend="a client of this version")
    return vector


def read_revealed(content: RecordDict) -> Revealed:
    """Raises: Refused for what are no shares."""
    record = record_of(content)
    return Revealed(pairs(record, "survivors", "seed-shares"), pairs(record, "lost", "key-shares"))
