"""What an ONNX graph computes with: operators that a library of its own would bring, or that run Python.

A graph names operators by domain and name. ONNX's own and those built into ONNX Runtime compute and do nothing else;
every other needs a shared library that runs in the reader's process. Functions of the file may define operators, so
that a foreign one can hide two names deep; branches of If, Loop and Scan are graphs of their own.
Source: https://onnxruntime.ai/docs/reference/operators/add-custom-op.html; onnxruntime-extensions,
https://github.com/microsoft/onnxruntime-extensions, of which some operators are Python functions and some ask services.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from core_model.supply_chain import onnx_schema as onnx
from core_model.supply_chain.content import Item
from core_model.supply_chain.issues import Issue, Kind, Level, quoted
from core_model.supply_chain.protobuf import Message, Tree, Wire

OWN = ("", "ai.onnx", "ai.onnx.ml", "ai.onnx.training", "ai.onnx.preview.training")
BUILT_IN = ("com.microsoft", "com.microsoft.experimental", "com.microsoft.nchwc", "com.ms.internal.nhwc")
EXTENSIONS = ("ai.onnx.contrib", "com.microsoft.extensions")
PYTHON = re.compile(r"Py(thon)?(Custom)?Op(Grad|_\w+)?")
SERVICE = re.compile(r"(Azure|OpenAI)\w+")
COMPILED = "EPContext"
MOST_NODES = 10_000_000  # of a graph whose functions are written out; the largest public ones have some 100,000
MEND = (
    "a graph of ONNX's own operators (aboveboard export CHECKPOINT --data FILE --out DIR); load no library of "
    "operators that you did not build"
)

MOST_TOLD = 10**18  # nodes; beyond it, nobody counts

Name = tuple[str, str, str]  # domain, name and overload of an operator or function


@dataclass(frozen=True)
class Use:
    """An operator that one or more nodes name: where first, in what, and the byte."""

    operator: Name
    where: str
    at: int


def scan_operators(item: Item, wire: Wire, tree: Tree) -> Iterator[Issue]:
    """Issues of the operators and of the functions of a graph."""
    functions = {_function_name(wire, one): one for one in tree.by_kind[onnx.FUNCTION]}
    nodes = [(_operator(wire, node), node) for node in tree.by_kind[onnx.NODE]]
    first: dict[Name, Use] = {}
    times = Counter(name for name, _ in nodes)
    for name, node in nodes:
        if name not in functions and name not in first:
            first[name] = Use(name, _place(wire, node), _byte(node))
    for use in first.values():
        if (found := _judge(use.operator)) is not None:
            level, what, why = found
            many = f", {times[use.operator]:,} times" if times[use.operator] > 1 else ""
            yield Issue(Kind.GRAPH, level, item.name, use.at, f"{what}{use.where}{many}", why, MEND)
    yield from _shadows(item, functions)
    yield from _growth(item, wire, tree, functions)


def _operator(wire: Wire, node: Message) -> Name:
    return _domain(wire.text(node, onnx.NODE_DOMAIN)), wire.text(node, onnx.OPERATOR), wire.text(node, onnx.OVERLOAD)


def _function_name(wire: Wire, function: Message) -> Name:
    domain, name = _domain(wire.text(function, onnx.FUNCTION_DOMAIN)), wire.text(function, onnx.FUNCTION_NAME)
    return domain, name, wire.text(function, onnx.FUNCTION_OVERLOAD)


def _domain(said: str) -> str:
    return "" if said == "ai.onnx" else said  # two names of one domain


def _judge(name: Name) -> tuple[Level, str, str] | None:
    """What is wrong with an operator that no function of the file defines: level, what, why."""
    domain, operator, _ = name
    said = f"operator {quoted(operator)} of the domain {quoted(domain)}"
    if PYTHON.fullmatch(operator):
        return Level.HIGH, f"{said} runs Python", "whoever runs the graph runs the Python function that it names"
    if domain in EXTENSIONS and SERVICE.fullmatch(operator):
        return Level.HIGH, f"{said} asks a service elsewhere", "what it is asked goes to the address that it names"
    if domain in EXTENSIONS:
        return (
            Level.HIGH, f"{said} is one of onnxruntime-extensions",
            "it needs a library of its own, and operators of this domain may be Python functions",
        )  # fmt: skip
    if domain in BUILT_IN and operator == COMPILED:
        return (
            Level.MEDIUM, f"{said} holds a program compiled for one device",
            "what a compiled program does cannot be looked into",
        )  # fmt: skip
    if domain not in (*OWN, *BUILT_IN):
        return (
            Level.HIGH, f"{said} is defined by nobody here",
            "whoever runs the graph has to load a shared library that brings it, and its code",
        )  # fmt: skip
    return None


def _place(wire: Wire, node: Message) -> str:
    """Where a node stands, when it is not in the graph itself."""
    function = node.above(onnx.FUNCTION)
    if function is not None:
        return f", in the function {quoted('.'.join(filter(None, _function_name(wire, function)[:2])))}"
    outer = node.above(onnx.NODE)
    return "" if outer is None else f", in a branch of {quoted(wire.text(outer, onnx.OPERATOR))}"


def _byte(node: Message) -> int:
    """The byte at which the operator's name stands."""
    named = node.leaves[onnx.OPERATOR]
    return named[-1].start if named else node.start


def _shadows(item: Item, functions: dict[Name, Message]) -> Iterator[Issue]:
    for (domain, name, _), function in functions.items():
        if domain in (*OWN, *BUILT_IN):
            yield Issue(
                Kind.GRAPH, Level.MEDIUM, item.name, function.start,
                f"a function takes the name of an operator that is built in: {quoted(name)} of the domain "
                f"{quoted(domain)}",
                "a scanner and a reader may take it for different things", MEND,
            )  # fmt: skip


def _growth(item: Item, wire: Wire, tree: Tree, functions: dict[Name, Message]) -> Iterator[Issue]:
    """Functions that call each other in a circle, or so often that writing them out fills the memory."""
    calls: dict[Name | None, Counter[Name]] = {None: Counter(), **{name: Counter() for name in functions}}
    for node in tree.by_kind[onnx.NODE]:
        function = node.above(onnx.FUNCTION)
        calls[None if function is None else _function_name(wire, function)][_operator(wire, node)] += 1
    sizes: dict[Name | None, int] = {}
    order, open_ = [(one, False) for one in calls], set[Name | None]()  # no recursion: the file may exhaust it
    while order:
        name, done = order.pop()
        if done:
            open_.discard(name)
            written = sum(count * sizes.get(inner, 1) for inner, count in calls[name].items())
            sizes[name] = min(written, MOST_TOLD)
        elif name not in sizes:
            if name in open_:
                continue
            open_.add(name)
            order.append((name, True))
            circle = next((inner for inner in calls[name] if inner in open_), None)
            if circle is not None:
                yield _trap(item, functions[circle], f"the function {quoted(circle[1])} calls itself", "never ends")
                return
            order += [(inner, False) for inner in calls[name] if inner in functions]
    if sizes[None] > MOST_NODES:
        largest = max(functions, key=lambda name: sizes[name])
        yield _trap(
            item, functions[largest], f"its functions, written out, are {sizes[None]:.3g} nodes", "fills the memory"
        )


def _trap(item: Item, function: Message, what: str, end: str) -> Issue:
    return Issue(
        Kind.GRAPH,
        Level.HIGH,
        item.name,
        function.start,
        what,
        f"a reader that puts the functions in place {end}",
        MEND,
    )
