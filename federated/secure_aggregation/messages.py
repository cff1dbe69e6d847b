"""What the protocol puts into Flower's messages, and how it is read back from somebody who may be hostile."""

from __future__ import annotations

from typing import Any, TypeVar, cast

from flwr.app import ConfigRecord, RecordDict

from federated.secure_aggregation.errors import Refused

RECORD = "secure-aggregation"  # config record of every message of the protocol
ACTION = "secure_aggregation"
QUERY = f"query.{ACTION}"  # message type of every stage after the training
MASKED = "masked"  # array record of a masked update
PROOF = "proof"  # config record of a training reply that passes in clear: what the client says it applied
ADVERTISE, SHARE, MASK, AGREE, UNMASK = STAGES = ("advertise", "share", "mask", "agree", "unmask")

T = TypeVar("T")


def config(**entries: Any) -> ConfigRecord:
    """A record of entries; underscores of their names become dashes."""
    return ConfigRecord({name.replace("_", "-"): value for name, value in entries.items()})


def record_of(content: RecordDict) -> ConfigRecord:
    """The protocol's record of a message.

    Raises: Refused when it has none.
    """
    found = content.config_records.get(RECORD)
    if found is None:
        raise Refused(f"the message has no record {RECORD!r}", mend="server and clients of the same version")
    return found


def text(record: ConfigRecord, name: str) -> str:
    """An entry that is text."""
    return _entry(record, name, str)


def number(record: ConfigRecord, name: str) -> int:
    """An entry that is a whole number."""
    return _entry(record, name, int)


def data(record: ConfigRecord, name: str) -> bytes:
    """An entry that is bytes."""
    return _entry(record, name, bytes)


def numbers(record: ConfigRecord, name: str) -> list[int]:
    """An entry that is a list of whole numbers."""
    return _entries(record, name, int)


def texts(record: ConfigRecord, name: str) -> list[str]:
    """An entry that is a list of text."""
    return _entries(record, name, str)


def datas(record: ConfigRecord, name: str) -> list[bytes]:
    """An entry that is a list of bytes."""
    return _entries(record, name, bytes)


def pairs(record: ConfigRecord, keys: str, values: str) -> dict[int, bytes]:
    """Two entries of one length, as node -> bytes.

    Raises: Refused when their lengths differ, or a node comes twice.
    """
    nodes, found = numbers(record, keys), datas(record, values)
    if len(nodes) != len(found) or len(set(nodes)) != len(nodes):
        raise Refused(f"{len(nodes)} {keys} do not fit {len(found)} {values}", mend="each node once, with one value")
    return dict(zip(nodes, found, strict=True))


def _entry(record: ConfigRecord, name: str, kind: type[T]) -> T:
    found = record.get(name)
    if type(found) is not kind:  # a bool is no number
        raise Refused(f"{name!r} is {type(found).__name__}, not {kind.__name__}", mend="a server of this version")
    return found


def _entries(record: ConfigRecord, name: str, kind: type[T]) -> list[T]:
    found = record.get(name)
    if not isinstance(found, list) or any(type(one) is not kind for one in found):
        raise Refused(f"{name!r} is no list of {kind.__name__}", mend="a server of this version")
    return cast("list[T]", found)
