"""ONNX files: a graph is a program for a machine of operators. It is read field by field, not loaded and not run.

Which operators it would need, where its numbers lie, and what it carries beside them, with the byte of each. Neither
the package onnx nor ONNX Runtime takes part, so that a file that would harm or exhaust them can be looked at.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from core_model.checkpoint_files import GRAPH_SUFFIX
from core_model.supply_chain import onnx_schema as onnx
from core_model.supply_chain.content import Content, Item
from core_model.supply_chain.issues import Issue, Kind, Level, remove
from core_model.supply_chain.onnx_data import scan_tensors
from core_model.supply_chain.onnx_operators import scan_operators
from core_model.supply_chain.onnx_texts import scan_texts
from core_model.supply_chain.protobuf import BYTES, NUMBER, VARINT, Malformed, Tree, Wire

MOST_ISSUES = 200  # told of one file
MOST_PARTS = 10_000  # of a file that does not say by its name that it is a graph


def is_onnx(item: Item, content: Content) -> bool:
    """Whether a file is a graph by its name, or by what it is made of from its first byte to its last."""
    if item.name.lower().endswith(GRAPH_SUFFIX):
        return True
    if content is not Content.OTHER or not item.size:
        return False
    known, seen = onnx.SCHEMA[onnx.MODEL], set()
    wire = Wire(item)
    try:
        for count, field in enumerate(wire.fields(0, wire.size)):
            wanted = VARINT if known.get(field.number) == NUMBER else BYTES
            if count > MOST_PARTS or field.number not in known or field.wire != wanted:
                return False
            seen.add(field.number)
    except Malformed:
        return False
    return {onnx.VERSION, onnx.MODEL_GRAPH} <= seen


def scan_onnx(item: Item) -> Iterator[Issue | Item]:
    """What is wrong with a graph, and what in it is to be looked into."""
    count = 0
    for one in _everything(item):
        if isinstance(one, Issue):
            count += 1
            if count > MOST_ISSUES:
                yield _unread(item, one.offset, f"more than {MOST_ISSUES} issues in one file; no more are told")
                return
        yield one


def _everything(item: Item) -> Iterator[Issue | Item]:
    if not item.size:
        return  # told of every empty file
    wire = Wire(item)
    tree = wire.tree(onnx.SCHEMA, onnx.MODEL)
    graphs = tree.root.messages[onnx.MODEL_GRAPH]
    yield from _shape(item, wire, tree)
    if not graphs:
        if not tree.problems:
            yield _unread(item, 0, "a graph by its name that holds none")
        return
    yield from scan_operators(item, wire, tree)
    yield from scan_tensors(item, wire, tree)
    yield from scan_texts(item, wire, tree)


def _shape(item: Item, wire: Wire, tree: Tree) -> Iterator[Issue]:
    """What does not hold together: several graphs, bytes that nobody knows, places that cannot be read."""
    graphs = tree.root.messages[onnx.MODEL_GRAPH]
    if len(graphs) > 1:
        yield Issue(
            Kind.GRAPH, Level.MEDIUM, item.name, graphs[1].start, f"{len(graphs)} graphs in one file",
            "readers put them together or take one; a scanner may look at another", remove(item.name),
        )  # fmt: skip
    if tree.unknown:
        size = sum(one.end - one.start for one in tree.unknown)
        first = min(tree.unknown, key=lambda one: one.at)
        yield Issue(
            Kind.GRAPH, Level.MEDIUM, item.name, first.at,
            f"{len(tree.unknown):,} fields that ONNX does not know, of {size:,} bytes",
            "bytes without an owner can hide anything, and other readers may know them",
            "leave them out: model = onnx.load(FILE); model.DiscardUnknownFields(); onnx.save(model, FILE)",
        )  # fmt: skip
    if wire.size < item.size:
        yield _unread(item, wire.size, f"of {item.size:,} bytes, {wire.size:,} were looked at")
    else:
        for problem in islice(tree.problems, 1):
            more = f", and {len(tree.problems) - 1:,} places more" if len(tree.problems) > 1 else ""
            yield _unread(item, problem.at, f"this is cut, or no graph: {problem.what}{more}")


def _unread(item: Item, at: int | None, what: str) -> Issue:
    return Issue(
        Kind.NOT_LOOKED_INTO, Level.MEDIUM, item.name, at, what, "what is in it is not known",
        f"fetch it again, or {remove(item.name)}",
    )  # fmt: skip
