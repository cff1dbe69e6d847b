"""An ONNX graph as a checkpoint's weights: verified byte for byte and held against its task, before anything runs it.

A graph can name operators that a library brings along, and files anywhere on the disk. Here it may use ONNX's own
operators and those that ONNX Runtime has built in, and numbers that lie in its folder.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core_model.checkpoint_files import checked, is_graph
from core_model.checkpoint_fit import LAYER
from core_model.checkpoint_weights import AGAIN, Tensor
from core_model.errors import CheckpointDamaged, CheckpointMissing, CheckpointUnsafe, TaskUnfit
from core_model.onnx_session import require_packages, short
from core_model.onnx_tensors import (
    ROUNDED,
    SIDES_OF_ROUNDING,
    check_tensors,
    count_parameters,
    graphs_of,
    initializers,
)
from core_model.tasks import Task

if TYPE_CHECKING:
    from collections.abc import Sequence

GRAPH = "model.onnx"
LARGEST_GRAPH = 2**31 - 1  # bytes; what a protobuf can hold
DOMAINS = ("", "ai.onnx", "ai.onnx.ml", "com.microsoft")  # the last is built into ONNX Runtime: its rounded operators
DYNAMIC = ("DynamicQuantizeLinear", "DynamicQuantizeMatMul")  # activations get their scale from what is in the batch
PACKED = "MatMulNBits"  # reads several numbers out of each byte
INPUTS = ("input_ids", "attention_mask", "token_type_ids")
OUTPUTS = {
    Task.CLASSIFICATION: ("logits",),
    Task.LANGUAGE_MODELING: ("logits",),
    Task.QUESTION_ANSWERING: ("start_logits", "end_logits"),
}
NEEDED = {
    Task.CLASSIFICATION: "a number for each label of each row",
    Task.LANGUAGE_MODELING: "a number for each token of the vocabulary, after each token of each row",
    Task.QUESTION_ANSWERING: "a number for each token of each row",
}
INT64, FLOATS = 7, (1, 10, 11)
EXPORT = "aboveboard export CHECKPOINT --data FILE --out DIR"


@dataclass(frozen=True)
class Put:
    """What goes into a graph or comes out: ONNX's number of its kind, and its lengths; None where any will do."""

    kind: int
    shape: tuple[int | None, ...]


@dataclass(frozen=True)
class Graph:
    """What a verified graph says of itself.

    Attributes:
        file: its name in the folder; files: it, and the files that hold its numbers.
        opset: version of ONNX's operators. producer: what wrote it.
        inputs, outputs: by name.
        tensors: its own, by name, as headers: their bytes are not at hand.
        parameters: trained numbers; of equal tensors that the exporter kept once, one.
        rounded: what tables were rounded to; None where they are floats.
        by_batch: whether activations are rounded with a scale that the rows of a batch share, so that a row's answer
            hangs on its neighbours.
    """

    file: str
    files: tuple[str, ...]
    opset: int
    producer: str
    inputs: Mapping[str, Put]
    outputs: Mapping[str, Put]
    tensors: Mapping[str, Tensor] = field(repr=False)
    parameters: int
    rounded: str | None
    by_batch: bool

    @property
    def above_layers(self) -> dict[str, Tensor]:
        """Tensors outside of the layers: of equal ones in several layers, exporters keep one under one layer's name."""
        return {name: tensor for name, tensor in self.tensors.items() if not LAYER.search(name)}

    @property
    def words(self) -> str:
        """For a report: "ONNX, opset 20, int8"."""
        return f"ONNX, opset {self.opset}, {self.rounded or 'not quantized'}"

    @property
    def facts(self) -> dict[str, Any]:
        """Lines of `Checkpoint.facts`."""
        scale = "int8 activations (one scale for what is asked at once)" if self.by_batch else "activations as exported"
        return {
            "format": self.words,
            "graph": self.file,
            "producer": self.producer or None,
            **({"quantization": f"{self.rounded} weights, {scale}"} if self.rounded else {}),
        }


def graph_of(checkpoint: object) -> Graph | None:
    """The graph that a checkpoint is; None where there are weights that torch loads (stand-ins have neither)."""
    found = getattr(checkpoint, "graph", None)
    return found if isinstance(found, Graph) else None


def refuse_graph(
    checkpoint: object,
    *,
    mend: str = "name the checkpoint that it was exported from; a graph can be audited, and not changed",
) -> None:
    """Refuse an exported graph where a model is trained, rounded, exported or looked into.

    Raises: TaskUnfit.
    """
    if graph_of(checkpoint) is not None:
        raise TaskUnfit(
            f"{getattr(checkpoint, 'name', 'this')} is an exported graph (ONNX): torch cannot load it",
            mend=mend,
        )


def named_graph(location: str | Path) -> Path | None:
    """The graph that the user named by its file; None where a folder or a hub's name was given."""
    path = Path(str(location)).expanduser()
    return path if is_graph(path) else None


def choose_graph(folder: Path) -> str | None:
    """The graph of a folder that holds no other weights: model.onnx, else the only one; None without any.

    Raises: CheckpointMissing when there are several, and none of them is model.onnx.
    """
    names = sorted(path.name for path in folder.iterdir() if is_graph(path))
    if GRAPH in names or len(names) < 2:
        return GRAPH if GRAPH in names else next(iter(names), None)
    raise CheckpointMissing(
        f"{folder} holds {len(names)} graphs ({', '.join(names[:5])}), and none is called {GRAPH}",
        mend=f"name one of them: {folder / names[0]}",
    )


def read_graph(folder: Path, name: str) -> Graph:
    """Read and verify a graph; nothing in it is run.

    Raises: CheckpointDamaged when it is truncated or no graph, or its numbers are; CheckpointUnsafe for operators or
        files from elsewhere; OptionUnfit without the packages.
    """
    path = checked(folder, name)
    if path is None:
        raise CheckpointMissing(f"{folder} has no file {name}", mend="name the folder that `aboveboard export` wrote")
    require_packages(("onnx", "onnxruntime"), what=f"{path} is an ONNX graph, and reading it")
    import onnx

    size = path.stat().st_size
    if not 0 < size <= LARGEST_GRAPH:
        raise CheckpointDamaged(f"{path} has {size:,} bytes; no ONNX graph has", mend=AGAIN, offset=0)
    try:
        model = onnx.load(str(path), format="protobuf", load_external_data=False)
    except Exception as error:  # protobuf's readers raise kinds of their own
        raise CheckpointDamaged(
            f"{path} is truncated, or no ONNX graph: {short(error)}", mend=AGAIN, offset=size
        ) from None
    _refuse_strange_operators(model, path)
    beside = check_tensors(model, path)
    try:
        onnx.checker.check_model(str(path))
    except Exception as error:  # ValidationError, and what reading again may meet
        raise CheckpointDamaged(f"{path} is no sound ONNX graph: {short(error)}", mend=AGAIN) from None
    tensors = initializers(model, path)
    operators = {node.op_type for graph in graphs_of(model) for node in graph.node}
    held = set(tensors)
    return Graph(
        file=name,
        files=(name, *beside),
        opset=max((int(one.version) for one in model.opset_import if one.domain in DOMAINS[:2]), default=0),
        producer=f"{model.producer_name} {model.producer_version}".strip()[:80],
        inputs={put.name: _put(put) for put in model.graph.input if put.name not in held},
        outputs={put.name: _put(put) for put in model.graph.output},
        tensors=tensors,
        parameters=count_parameters(tensors.values()),
        rounded=_rounded(tensors, operators),
        by_batch=not operators.isdisjoint(DYNAMIC),
    )


def _rounded(tensors: Mapping[str, Tensor], operators: set[str]) -> str | None:
    kinds = {
        tensor.dtype
        for tensor in tensors.values()
        if len(tensor.shape) > 1 and tensor.dtype in ROUNDED and not tensor.name.endswith(SIDES_OF_ROUNDING)
    }
    if not kinds:
        return None
    return "int8" if kinds <= {"I8", "U8"} and PACKED not in operators else "packed integers"


def _refuse_strange_operators(model: Any, path: Path) -> None:
    """Refuse operators that neither ONNX nor ONNX Runtime nor the graph itself defines."""
    own = {(function.domain, function.name) for function in model.functions}
    for node in (node for graph in graphs_of(model) for node in graph.node):
        if node.domain not in DOMAINS and (node.domain, node.op_type) not in own:
            raise CheckpointUnsafe(
                f"{path}: operator {node.op_type!r} is of the domain {node.domain!r}, which a library of its own would "
                "have to bring",
                mend=f"a graph of ONNX's own operators: {EXPORT}; libraries of operators are never loaded",
            )


def _put(put: Any) -> Put:
    said = put.type.tensor_type
    lengths = (int(one.dim_value) if one.HasField("dim_value") else None for one in said.shape.dim)
    return Put(int(said.elem_type), tuple(lengths))


def check_graph(graph: Graph, folder: Path, task: Task, labels: Sequence[str]) -> None:
    """Hold what goes in and comes out against the task.

    Raises: TaskUnfit for a task that is not asked of graphs, or a graph that does not take and give what it needs.
    """
    path = folder / graph.file
    if task not in OUTPUTS:
        raise TaskUnfit(
            f"{path}: an exported graph of {task.value} cannot be audited; graphs for {', '.join(OUTPUTS)} can (one "
            "that reads a source and writes a target has no cache of what it wrote)",
            mend="audit the checkpoint that it was exported from",
        )
    strange = [name for name in graph.inputs if name not in INPUTS]
    if strange or INPUTS[0] not in graph.inputs:
        what = f"asks for {strange[0]!r}" if strange else f"takes no {INPUTS[0]!r}"
        raise _unfit(path, f"{what}; a graph that can be audited takes {', '.join(INPUTS)}")
    for name, put in graph.inputs.items():
        if put.kind != INT64 or put.shape != (None, None):
            raise _unfit(path, f"takes {name} of shape {_said(put)}; any number of rows and tokens, int64, are needed")
    for name in OUTPUTS[task]:
        if name not in graph.outputs:
            raise _unfit(path, f"gives {', '.join(graph.outputs)}; the task {task.value} needs {name}")
        put = graph.outputs[name]
        wide = len(labels) if task is Task.CLASSIFICATION else None
        lengths = 3 if task is Task.LANGUAGE_MODELING else 2
        if put.kind not in FLOATS or len(put.shape) != lengths or put.shape[1] not in (None, wide):
            labelled = f" ({wide})" if wide else ""
            raise _unfit(path, f"gives {name} of shape {_said(put)}; {NEEDED[task]}{labelled} is needed")


def _unfit(path: Path, what: str) -> TaskUnfit:
    return TaskUnfit(f"{path} {what}", mend=f"export it again: {EXPORT}")


def _said(put: Put) -> str:
    shape = ", ".join("any" if length is None else f"{length:,}" for length in put.shape)
    return f"({shape}){'' if put.kind in (INT64, *FLOATS) else f' and kind {put.kind}'}"
