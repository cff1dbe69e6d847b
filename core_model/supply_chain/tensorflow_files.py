"""TensorFlow's graphs: operators that run Python, and those that read, write or send what the graph says.

Looked into are saved_model.pb and frozen graphs (.pb), field by field. Most operators only compute; those told here
reach beyond the graph. Operators of libraries of somebody's own are not told from TensorFlow's hundreds.
Source: https://github.com/tensorflow/tensorflow/blob/master/SECURITY.md ("models are programs");
https://github.com/tensorflow/tensorflow/tree/master/tensorflow/core/protobuf.
"""

from __future__ import annotations

from collections.abc import Iterator

from core_model.supply_chain.archives import outside
from core_model.supply_chain.content import Content, Item
from core_model.supply_chain.issues import Issue, Kind, Level, quoted, remove
from core_model.supply_chain.protobuf import NUMBER, TEXT, VARINT, Malformed, Tree, Wire

SAVED, META, GRAPH, NODE, FUNCTION, LIBRARY, ASSET = (
    "SavedModel", "MetaGraphDef", "GraphDef", "NodeDef", "FunctionDef", "FunctionDefLibrary", "AssetFileDef",
)  # fmt: skip
SCHEMA = {
    SAVED: {1: NUMBER, 2: META},
    META: {2: GRAPH, 6: ASSET},
    GRAPH: {1: NODE, 2: LIBRARY},
    LIBRARY: {1: FUNCTION},
    FUNCTION: {3: NODE},
    NODE: {1: TEXT, 2: TEXT},
    ASSET: {2: TEXT},
}  # fmt: skip
OPERATOR, FILE_NAME = 2, 2
PYTHON, FILES, SENDS = "it runs a Python function of its reader", "it reads or writes files of this machine", (
    "it sends what passes through it to a file or an address"
)  # fmt: skip
REACHING = {
    **dict.fromkeys(("PyFunc", "PyFuncStateless", "EagerPyFunc"), (Level.HIGH, PYTHON)),
    **dict.fromkeys(("ReadFile", "WriteFile", "DatasetToTFRecord"), (Level.HIGH, FILES)),
    **dict.fromkeys(("DebugIdentity", "DebugIdentityV2", "DebugIdentityV3"), (Level.HIGH, SENDS)),
    **dict.fromkeys(("RpcClient", "RpcServer", "RpcCall", "RpcServerRegister"), (Level.HIGH, SENDS)),
    **dict.fromkeys(
        (
            "MatchingFiles", "ImmutableConst", "TextLineDataset", "TFRecordDataset", "TFRecordDatasetV2",
            "FixedLengthRecordDataset", "FixedLengthRecordDatasetV2", "WholeFileReader", "WholeFileReaderV2",
            "TextLineReader", "TextLineReaderV2",
        ),
        (Level.MEDIUM, "it reads files of this machine, if its name for them leads there"),
    ),
}  # fmt: skip
MEND = "build the model from code that you know, and load its weights alone; or run it where nothing can be lost"


def scan_tensorflow(item: Item, content: Content) -> Iterator[Issue]:
    """Issues of a saved model or a frozen graph; none of another file."""
    name = item.name.lower()
    if content is not Content.OTHER or not item.size or not name.endswith(".pb"):
        return
    wire = Wire(item)
    tree = wire.tree(SCHEMA, SAVED if _is_saved(wire) else GRAPH)
    yield from _operators(item, wire, tree)
    for asset in tree.by_kind[ASSET]:
        file = wire.text(asset, FILE_NAME)
        if file and (problem := outside(file)) is not None:
            yield Issue(
                Kind.GRAPH, Level.HIGH, item.name, asset.leaves[FILE_NAME][-1].start,
                f"an asset in {quoted(file)}, which {problem}", "opening the model reads a file of this machine", MEND,
            )  # fmt: skip
    if tree.problems and name.endswith("saved_model.pb"):
        cut = tree.problems[0]
        yield Issue(
            Kind.NOT_LOOKED_INTO, Level.MEDIUM, item.name, cut.at, f"this is cut, or no model: {cut.what}",
            "what is in it is not known", f"fetch it again, or {remove(item.name)}",
        )  # fmt: skip


def _is_saved(wire: Wire) -> bool:
    """A saved model begins with the number of its version, a graph with a node."""
    try:
        first = next(wire.fields(0, wire.size), None)
    except Malformed:
        return False
    return first is not None and (first.number, first.wire) == (1, VARINT)


def _operators(item: Item, wire: Wire, tree: Tree) -> Iterator[Issue]:
    """One issue for each operator that reaches out, at the byte where it is named first."""
    told: set[str] = set()
    for node in tree.by_kind[NODE]:
        operator = wire.text(node, OPERATOR)
        if operator in REACHING and operator not in told:
            told.add(operator)
            level, why = REACHING[operator]
            where = ", in a function" if node.above(FUNCTION) is not None else ""
            yield Issue(
                Kind.GRAPH, level, item.name, node.leaves[OPERATOR][-1].start,
                f"TensorFlow's operator {quoted(operator)}{where}", why, MEND,
            )  # fmt: skip
