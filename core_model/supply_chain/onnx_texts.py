"""What an ONNX graph says and carries: secrets, addresses, and programs or pickles among its texts and numbers.

Texts stand as constants of nodes, as tensors of texts, and as metadata of the file and of its parts.
"""

from __future__ import annotations

import base64
import binascii
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec

from core_model.secret_scan import secrets_in
from core_model.supply_chain import onnx_schema as onnx
from core_model.supply_chain.content import HEAD, Content, Item, content_of
from core_model.supply_chain.disassembly import disassemble
from core_model.supply_chain.issues import Issue, Kind, Level, quoted, remove
from core_model.supply_chain.protobuf import Field, Tree, Wire

BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{40,}={0,2}")
WEB = re.compile(
    r"\b((?:https?|ftps?|wss?|s3|gs|grpcs?|file)://)(?:[^\s/@\"'<>]{0,256}@)?([\w.-]{0,256})", re.IGNORECASE
)
MAIL = re.compile(r"@(?:[\w-]{1,63}\.){1,5}[A-Za-z]{2,24}\b")  # what stands before it is looked for backwards
MAILBOX = re.compile(r"[\w.+-]{1,64}$")
SHORTEST = 16  # bytes of something that could run
LONGEST_TEXT, MOST_TEXT = 2**20, 2**24  # bytes of one text, and of all, that are searched
MOST_BLOBS = 1000
SURE = frozenset({Content.ELF, Content.PE, Content.MACH_O, Content.WASM, Content.ZIP, Content.SEALED})
"""Told by four bytes at least: numbers may begin as a shorter sign does."""
MEND = "take it out of the graph: load it with the package onnx, delete the text, and save it again"


@dataclass(frozen=True)
class Said:
    """A text of the graph: its byte, what it is called, and what it says."""

    at: int
    name: str
    raw: bytes

    @property
    def text(self) -> str:
        """As readers take it."""
        return self.raw.decode("utf-8", "replace")


def scan_texts(item: Item, wire: Wire, tree: Tree) -> Iterator[Issue | Item]:
    """Issues of the texts, and what in them and in the numbers is to be looked into."""
    metadata, constants, rest = _texts(wire, tree)
    if rest is not None:
        yield Issue(
            Kind.NOT_LOOKED_INTO, Level.MEDIUM, item.name, rest, f"more than {MOST_TEXT:,} bytes of texts",
            "what the rest says is not known", remove(item.name),
        )  # fmt: skip
    if find_spec("detect_secrets") is not None:
        yield from _secrets(item, metadata, words=True)
        yield from _secrets(item, constants, words=False)  # a vocabulary has all these words
    yield from _addresses(item, [*metadata, *constants])
    yield from _packed(item, [*metadata, *constants])
    yield from _programs(item, wire, tree)


def _texts(wire: Wire, tree: Tree) -> tuple[list[Said], list[Said], int | None]:
    """Metadata, constants, and the byte from which on they are more than are looked at; None where they are not."""
    found: tuple[list[Said], list[Said]] = [], []
    size = 0
    for some, told in zip(found, (_metadata, _constants), strict=True):
        for one in told(wire, tree):
            size += len(one.raw)
            if size > MOST_TEXT:
                return *found, one.at
            some.append(one)
    return *found, None


def _metadata(wire: Wire, tree: Tree) -> Iterator[Said]:
    paths = {id(one) for tensor in tree.by_kind[onnx.TENSOR] for one in tensor.messages[onnx.EXTERNAL_DATA]}
    for entry in tree.by_kind[onnx.ENTRY]:
        if id(entry) in paths:
            continue  # told by `onnx_data`
        for value in entry.leaves[onnx.VALUE_TEXT]:
            yield Said(value.start, wire.text(entry, onnx.KEY), wire.content(value, LONGEST_TEXT))


def _constants(wire: Wire, tree: Tree) -> Iterator[Said]:
    for field in _text_fields(tree):
        yield Said(field.start, "a text", wire.content(field, LONGEST_TEXT))


def _text_fields(tree: Tree) -> Iterator[Field]:
    for attribute in tree.by_kind[onnx.ATTRIBUTE]:
        yield from (*attribute.leaves[onnx.ATTRIBUTE_TEXT], *attribute.leaves[onnx.ATTRIBUTE_TEXTS])
    for tensor in tree.by_kind[onnx.TENSOR]:
        yield from tensor.leaves[onnx.STRINGS]


def _secrets(item: Item, texts: list[Said], *, words: bool) -> Iterator[Issue]:
    lines = ((f'{one.name}: "{one.text}"' if words else one.text) + "\n" for one in texts)
    for secret in secrets_in(enumerate(lines), words=words):
        one = texts[secret.line]
        said = f"the metadata {quoted(one.name)}" if words else "a text among its constants"
        yield Issue(
            Kind.SECRET, Level.HIGH, item.name, one.at, f"{said} looks like a secret ({secret.kind})",
            "whoever has the checkpoint has it, too", "take it out, and make it void, for it may be known already",
        )  # fmt: skip


def _addresses(item: Item, texts: list[Said]) -> Iterator[Issue]:
    """One issue for each sort of address: the first of them, and how many there are."""
    for search, what, why in (
        (_web, "a web address", "a reader that follows it is told of, and what it fetches can change"),
        (_mail, "an e-mail address", "it names a person or a mailbox to everybody who has the file"),
    ):
        every = ((one, search(one.text)) for one in texts)
        found = [(one.at + len(one.text[: told[0]].encode()), told[1]) for one, told in every if told is not None]
        if found:
            many = f", and {len(found) - 1:,} more texts hold one" if len(found) > 1 else ""
            yield Issue(
                Kind.ADDRESS, Level.LOW, item.name, found[0][0], f"{what}: {quoted(found[0][1])}{many}", why, MEND
            )


def _web(text: str) -> tuple[int, str] | None:
    """Where the first web address begins, and its host: what stands before or behind it may be a password."""
    match = WEB.search(text)
    return None if match is None else (match.start(), match[1] + match[2])


def _mail(text: str) -> tuple[int, str] | None:
    """Where the first e-mail address begins, and its domain: whose it is, is nobody's business."""
    for match in MAIL.finditer(text):
        box = MAILBOX.search(text[max(0, match.start() - 64) : match.start()])
        if box is not None:
            return match.start() - len(box[0]), f"...{match[0]}"
    return None


def _packed(item: Item, texts: list[Said]) -> Iterator[Item]:
    """What base64 in the texts decodes to."""
    count = 0
    for one in texts:
        for match in BASE64.finditer(one.raw):
            data = _decoded(match[0])
            if data is not None and count < MOST_BLOBS:
                count += 1
                yield _inner(item, f"base64 at {one.at + match.start()}", data)


def _decoded(text: bytes) -> bytes | None:
    plain = text.rstrip(b"=").translate(bytes.maketrans(b"-_", b"+/"))
    try:
        return base64.b64decode(plain + b"=" * (-len(plain) % 4))
    except (binascii.Error, ValueError):
        return None


def _programs(item: Item, wire: Wire, tree: Tree) -> Iterator[Item]:
    """Constants and numbers that begin as programs, archives or pickles do."""
    for field in _text_fields(tree):
        head = wire.content(field, HEAD)
        told = field.number == onnx.ATTRIBUTE_TEXT or _content(head, field) is not Content.OTHER
        if told and len(head) >= SHORTEST:
            yield _inner(item, f"bytes at {field.start}", wire.content(field))
    raws = (field for tensor in tree.by_kind[onnx.TENSOR] for field in tensor.leaves[onnx.RAW])
    for field in raws:
        content = _content(wire.content(field, HEAD), field)
        is_pickle = content is Content.PICKLE and disassemble(wire.content(field)).complete > 0
        if content in SURE or is_pickle:
            yield _inner(item, f"bytes at {field.start}", wire.content(field))


def _content(head: bytes, field: Field) -> Content:
    return content_of(Item("", io.BytesIO(head), field.end - field.start))


def _inner(item: Item, name: str, data: bytes) -> Item:
    return Item(f"{item.name}!{name}", io.BytesIO(data), len(data), item.depth + 1)
