"""Protocol buffers, read field by field with the byte of each; no object is built of what the fields hold.

A schema says which fields hold messages; those are gone into, to a fixed depth and a fixed number of fields. A file
that lies about a length spoils the message that the length stands in, and the others are read all the same.
Source: https://protobuf.dev/programming-guides/encoding/.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from core_model.supply_chain.content import LARGEST, Item

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
NUMBER, TEXT, BLOB = "number", "text", "bytes"  # leaves of a schema; everything else in it names a message
DEEPEST = 100  # messages in messages: protobuf's own readers go no deeper
MOST_FIELDS = 1_000_000
HEAD, BLOCK = 20, 4096  # bytes: a tag and a length at their longest; what is read at once

T = TypeVar("T")
Schema = Mapping[str, Mapping[int, str]]


@dataclass(frozen=True, slots=True)
class Field:
    """A field that holds no message: `at` is the byte of its tag, `start` and `end` those of its content."""

    number: int
    wire: int
    at: int
    start: int
    end: int
    value: int = 0  # of a VARINT, unsigned

    @property
    def signed(self) -> int:
        """The value of an int64."""
        return self.value - 2**64 if self.value >= 2**63 else self.value


class Lists(dict[int, list[T]]):
    """Lists by number; one that is not there is empty, and asking makes none: there may be a million."""

    def __missing__(self, number: int) -> list[T]:
        return []

    def add(self, number: int, one: T) -> None:
        """Append to the list of a number."""
        self.setdefault(number, []).append(one)


class Malformed(ValueError):
    """Bytes that are no protocol buffer, and where; `rest`: the field that promises more than there is, cut off."""

    def __init__(self, at: int, what: str, rest: Field | None = None) -> None:
        super().__init__(what)
        self.at, self.what, self.rest = at, what, rest


@dataclass(eq=False, slots=True)
class Message:
    """A message of a kind that the schema knows, its fields by number, in the order of the file.

    `whole` says whether all of it could be read.
    """

    kind: str
    start: int
    end: int
    parent: Message | None = None
    whole: bool = True
    leaves: Lists[Field] = field(default_factory=Lists)
    messages: Lists[Message] = field(default_factory=Lists)

    def above(self, kind: str) -> Message | None:
        """The nearest message of a kind that this one stands in."""
        message = self.parent
        while message is not None and message.kind != kind:
            message = message.parent
        return message


@dataclass(eq=False)
class Tree:
    """A file's messages.

    Attributes:
        root: the file itself; by_kind: every message, in the order in which they were read.
        unknown: fields that the schema does not know. problems: what could not be read.
    """

    root: Message
    by_kind: dict[str, list[Message]] = field(default_factory=lambda: defaultdict(list))
    unknown: list[Field] = field(default_factory=list)
    problems: list[Malformed] = field(default_factory=list)


class Wire:
    """An item's bytes as fields."""

    def __init__(self, item: Item) -> None:
        self.item = item
        self.size = item.stream.seek(0, 2)  # of what is at hand; of a large member of an archive, not all is
        self._block, self._from = b"", 0
        self._count = 0

    def content(self, field: Field, most: int = LARGEST) -> bytes:
        """A field's content, at most so many bytes of it."""
        return self.item.read(min(field.end - field.start, most), at=field.start)

    def text(self, message: Message, number: int) -> str:
        """A text, the last one where there are several, as readers take it; "" where there is none."""
        found = message.leaves[number]
        return self.content(found[-1], BLOCK).decode("utf-8", "replace") if found else ""

    def fields(self, start: int, end: int) -> Iterator[Field]:
        """The fields of a message that stands between two bytes.

        Raises: Malformed.
        """
        at = start
        while at < end:
            self._count += 1
            if self._count > MOST_FIELDS:
                raise Malformed(at, f"more than {MOST_FIELDS:,} fields")
            head = self._peek(at)[: end - at]
            tag, used = _varint(head, 0, at)
            number, wire = tag >> 3, tag & 7
            begins = at + used
            value = 0
            if wire == VARINT:
                value, used = _varint(head, used, at)
                stops = at + used
            elif wire == BYTES:
                length, used = _varint(head, used, at)
                begins = at + used
                stops = begins + length
            elif wire in (FIXED32, FIXED64):
                stops = begins + (4 if wire == FIXED32 else 8)
            else:
                raise Malformed(at, "no field begins so")
            if not number:
                raise Malformed(at, "a field has the number 0")
            if stops > end:
                what = f"a field promises {stops - begins:,} bytes, and {max(0, end - begins):,} follow"
                raise Malformed(at, what, Field(number, wire, at, min(begins, end), end))
            yield Field(number, wire, at, begins, stops, value)
            at = stops

    def tree(self, schema: Schema, kind: str) -> Tree:
        """The whole file as messages; nothing raised: what cannot be read is among the problems."""
        root = Message(kind, 0, self.size)
        tree = Tree(root)
        waiting = [(root, 1)]  # no recursion: the file may be built to exhaust it
        while waiting:
            message, depth = waiting.pop()
            tree.by_kind[message.kind].append(message)
            inner = self._sorted_in(message, schema, tree)
            if inner and depth >= DEEPEST:
                tree.problems.append(Malformed(inner[0].start, f"messages in messages, more than {DEEPEST} deep"))
            else:
                waiting += [(one, depth + 1) for one in reversed(inner)]
        return tree

    def _sorted_in(self, message: Message, schema: Schema, tree: Tree) -> list[Message]:
        """Put a message's fields where they belong; the messages among them, in the order of the file."""
        known, inner = schema[message.kind], []

        def enter(one: Field, what: str) -> None:
            inner.append(Message(what, one.start, one.end, message))
            message.messages.add(one.number, inner[-1])

        try:
            for one in self.fields(message.start, message.end):
                what = known.get(one.number)
                if what in schema and one.wire == BYTES:
                    enter(one, str(what))
                elif what is None or what in schema or (what in (TEXT, BLOB) and one.wire != BYTES):
                    tree.unknown.append(one)
                else:
                    message.leaves.add(one.number, one)
        except Malformed as problem:
            message.whole = False
            tree.problems.append(problem)
            if problem.rest is not None and known.get(problem.rest.number) in schema and problem.rest.wire == BYTES:
                enter(problem.rest, str(known[problem.rest.number]))
        return inner

    def _peek(self, at: int) -> bytes:
        """The bytes that a tag and a length may take."""
        place = at - self._from
        if not 0 <= place <= len(self._block) - HEAD:
            self._block, self._from, place = self.item.read(BLOCK, at=at), at, 0
        return self._block[place : place + HEAD]


def _varint(head: bytes, place: int, at: int) -> tuple[int, int]:
    """A number of 7 bits a byte from `place` on, and the place after it."""
    value = 0
    for count, byte in enumerate(head[place : place + 10]):
        value |= (byte & 0x7F) << (7 * count)
        if byte < 0x80:
            return value & (2**64 - 1), place + count + 1
    raise Malformed(at, "it ends in the middle of a number, or the number has no end")
